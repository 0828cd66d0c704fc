"""The answer of the engine: typed values, and failures with a code."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from pacs_files import write_bundle_of_brightness
from plainfilm._files import hash_bytes
from plainfilm.bundle import Bundle
from plainfilm.decoding.process import _read_region
from plainfilm.inference.answer import Answer, AnswerOptions, ImageFile
from plainfilm.inference.codes import FileError, InferenceError
from plainfilm.inference.limits import InferenceLimits
from plainfilm.inference.registry import BundleSource
from plainfilm.prediction import Prediction

ALL = AnswerOptions("pgm", lambda prediction: "bright", occlusion=False)


def png(height: int = 60, width: int = 1500) -> bytes:
    out = io.BytesIO()
    ramp = np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))
    Pillow.fromarray(ramp).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def answer_with(inline_service: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that predicts on files with a bundle, and returns the log too."""

    def run(
        bundle: Bundle, *requests: tuple[bytes, AnswerOptions], audit_log: Path | None = None
    ) -> Any:
        stream = io.StringIO()

        async def go() -> list[Answer | InferenceError]:
            sources = [BundleSource("bright", bundle.folder)]
            settings = SimpleNamespace(limits=InferenceLimits(), threads=1, audit_log=audit_log)
            engine = inline_service(sources, settings, stream)
            await engine.start()
            loaded = engine.registry.get(None)
            assert loaded is not None
            found: list[Answer | InferenceError] = []
            for data, options in requests:
                try:
                    found.append(await engine.answer(loaded, ImageFile(data), options))
                except InferenceError as error:
                    found.append(error)
            await engine.close()
            return found

        found = asyncio.run(go())
        return found, [json.loads(line) for line in stream.getvalue().splitlines()]

    return run


def test_an_answer_has_what_was_requested(answer_with: Any, tmp_path: Path) -> None:
    bundle = write_bundle_of_brightness(tmp_path / "bright", ("bright",))
    chosen: list[Prediction] = []

    def choose(prediction: Prediction) -> None:
        chosen.append(prediction)

    data = png()
    (bare, full, none, bad), log = answer_with(
        bundle,
        (data, AnswerOptions()),
        (data, ALL),
        (data, AnswerOptions("png", choose)),
        (b"no image", ALL),
    )
    assert bare.display == b"" and bare.heatmap is None
    assert bare.image.pixels.shape == (32, 32)
    assert full.picture.shape == (41, 1024) and full.region == (0, 0, 1, 1)
    assert full.heatmap.shape == (32, 32) and full.heatmap.max() == 1
    assert full.prediction == bare.prediction and full.sha256 == hash_bytes(data)
    assert chosen == [none.prediction] and none.heatmap is None
    assert none.display.startswith(b"\x89PNG")
    assert isinstance(bad, FileError) and bad.sha256 == hash_bytes(b"no image")
    outcomes = [line["outcome"] for line in log if line["event"] == "image"]
    assert outcomes == ["predicted", "predicted", "predicted", "not-an-image"]


def test_a_network_without_activation_maps_has_no_heat_map_without_occlusion(
    answer_with: Any, make_bundle: Callable[..., Bundle]
) -> None:
    occluded = AnswerOptions(heatmap=lambda prediction: "bright")
    (without, with_occlusion), _ = answer_with(make_bundle(), (png(), ALL), (png(), occluded))
    assert without.heatmap is None and with_occlusion.heatmap is not None


def test_a_server_that_cannot_write_its_audit_log_blames_no_file(
    answer_with: Any,
    make_bundle: Callable[..., Bundle],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr("plainfilm.inference.log.AuditLog.write", fail)
    (good, bad), _ = answer_with(
        make_bundle(), (png(), ALL), (b"no image", ALL), audit_log=tmp_path / "audit.jsonl"
    )
    for found in (good, bad):
        assert isinstance(found, InferenceError) and not isinstance(found, FileError)
        assert found.code == "audit-unavailable"


@pytest.mark.parametrize(
    "values",
    [[0, 0, 1], [0, 0, float("nan"), 1], [0, 0, 0, 1], [0, float("-inf"), 1, 1], [2, 0, 1, 1]],
)
def test_a_region_that_is_no_rectangle_is_a_broken_reply(values: list[float]) -> None:
    with pytest.raises(ValueError):
        _read_region(values)
