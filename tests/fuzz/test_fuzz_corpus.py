"""The fuzzing of ``script/check --fuzz`` in little: the drawn files, and some damage by chance."""

from __future__ import annotations

import importlib
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fuzz_corpus import draw_corpus
from fuzz_pixels import check
from fuzzing import mutate, run
from run_all import TARGETS

from plainfilm.pixels import read_full_image, read_image
from plainfilm.records import PixelSpec

CORPUS = draw_corpus()


@pytest.mark.parametrize("name", CORPUS)
def test_every_drawn_file_is_an_image(name: str) -> None:
    picture = read_full_image(CORPUS[name])
    assert picture.pixels.size == 40 * 48 and np.ptp(picture.pixels) > 100
    assert read_image(CORPUS[name], PixelSpec(24)).pixels.shape == (24, 24)


def test_damage_ends_as_an_image_or_a_reason() -> None:
    random = np.random.default_rng(11)
    outcomes: Counter[str] = Counter()
    for data in CORPUS.values():
        for _ in range(25):
            broken = bytearray(data)
            for at in random.integers(0, len(data), random.integers(1, 5)):
                broken[at] = random.integers(0, 256)
            outcomes[check(bytes(broken))] += 1
    assert outcomes["image"] > 100 and outcomes["corrupt"] > 20 and outcomes["truncated"] > 5


@pytest.mark.parametrize("target", TARGETS, ids=[path.stem for path in TARGETS])
def test_every_target_runs_without_a_finding(
    target: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)  # it would end this process
    module = importlib.import_module(target.stem)
    assert module.main(["30", "--runs", "100", "--seed", "7", "--keep", str(tmp_path)]) == 0
    assert "number_of_executed_units: 100" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_defect_is_found_and_its_input_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)

    def check_parity(data: bytes) -> None:
        assert len(data) % 7 or not data

    status = run(check_parity, {"a": b"abcd"}, (), ["30", "--seed", "1", "--keep", str(tmp_path)])
    (kept,) = tmp_path.iterdir()
    assert status == 1 and len(kept.read_bytes()) % 7 == 0
    assert kept.name in capsys.readouterr().out


def test_mutations_are_repeatable_and_bounded() -> None:
    def draw() -> list[bytes]:
        chance = random.Random(3)
        return [mutate(chance, b"x" * 19_990, [b"", b"y" * 5000]) for _ in range(200)]

    assert draw() == draw() and len({*draw()}) > 150
    assert max(map(len, draw())) <= 20_000
    assert all(isinstance(mutate(random.Random(n), b"", [b""]), bytes) for n in range(100))
