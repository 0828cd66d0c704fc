"""The fuzzing of ``script/check --fuzz`` in little: the drawn files, and some damage by chance."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from fuzz_corpus import draw_corpus
from fuzz_pixels import check

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
