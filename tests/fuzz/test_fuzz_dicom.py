"""The fuzzing of DICOM headers in little."""

from __future__ import annotations

import random
from collections import Counter

from fuzz_corpus import draw_corpus
from fuzz_dicom import check, rearrange
from fuzzing import mutate


def test_rearranged_headers_end_as_an_image_or_a_reason() -> None:
    files = [data for name, data in draw_corpus().items() if name.endswith(".dcm")]
    chance, outcomes = random.Random(3), Counter[str]()
    for _ in range(300):
        data = mutate(chance, chance.choice(files), files)
        assert rearrange(data) == rearrange(data)
        outcomes[check(data)] += 1
    assert outcomes["image"] > 40 and outcomes["no-pixels"] > 40 and outcomes["corrupt"] > 5
