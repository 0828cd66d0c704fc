"""A known scale and shift is found again, and two different pictures do not agree."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from plainfilm.audit.alignment import align, unmoved
from plainfilm.audit.copies import SAME
from plainfilm.audit.evidence import shrink
from plainfilm.audit.hashing import local_contrast


def views(pictures):
    return local_contrast(shrink(pictures, 64), 3.0)


def cut(picture, left, top, right, bottom):
    height, width = picture.shape
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    shown = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(shown)


@pytest.mark.parametrize("edges", [(0.03, 0.0, 0.0, 0.0), (0.03, 0.01, 0.02, 0.03), (0, 0, 0, 0)])
def test_scale_and_shift_of_a_cut_are_found(chests, edges):
    left, top, right, bottom = edges
    still = np.stack([cut(picture, *edges) for picture in chests[:8]])
    agreement, found = align(views(still), views(chests[:8]), unmoved(8), 8)
    assert agreement.min() > 0.95
    # What is at u (-1 to 1) in the cut picture was at scale * u + shift in the whole one.
    assert np.median(found, axis=0) == pytest.approx(
        [1 - left - right, left - right, 1 - top - bottom, top - bottom], abs=0.006
    )


def test_different_chests_do_not_agree(chests):
    agreement, _ = align(views(chests[:40]), views(chests[40:80]), unmoved(40), 8)
    assert np.median(agreement) < 0.65
    assert agreement.max() < SAME


def test_no_step_says_how_well_they_agree_as_they_lie(chests):
    agreement, found = align(views(chests[:3]), views(chests[:3]), unmoved(3), 0)
    assert agreement == pytest.approx(1.0, abs=1e-3)
    assert np.array_equal(found, unmoved(3))


def test_pictures_of_nothing_agree_with_nothing():
    nothing = np.zeros((2, 32, 32), np.float32)
    agreement, found = align(nothing, nothing, unmoved(2), 3)
    assert np.isfinite(agreement).all() and np.isfinite(found).all()
    assert agreement.max() < 0.5
