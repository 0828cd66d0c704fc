"""Tests that a known scale and shift is found, and that different images do not agree."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from plainfilm.audit.alignment import identity_transforms, register
from plainfilm.audit.duplicates import NEAR_DUPLICATE
from plainfilm.audit.evidence import downsample
from plainfilm.audit.hashing import local_contrast


def views(images):
    return local_contrast(downsample(images, 64), 3.0)


def crop(image, left, top, right, bottom):
    height, width = image.shape
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    cropped = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(cropped)


@pytest.mark.parametrize("edges", [(0.03, 0.0, 0.0, 0.0), (0.03, 0.01, 0.02, 0.03), (0, 0, 0, 0)])
def test_scale_and_shift_of_a_crop_are_found(chests, edges):
    left, top, right, bottom = edges
    cropped = np.stack([crop(image, *edges) for image in chests[:8]])
    agreement, found = register(views(cropped), views(chests[:8]), identity_transforms(8), 8)
    assert agreement.min() > 0.95
    # The point at u (-1 to 1) of the cropped image was at scale * u + shift of the whole image.
    assert np.median(found, axis=0) == pytest.approx(
        [1 - left - right, left - right, 1 - top - bottom, top - bottom], abs=0.006
    )


def test_different_chests_do_not_agree(chests):
    agreement, _ = register(views(chests[:40]), views(chests[40:80]), identity_transforms(40), 8)
    assert np.median(agreement) < 0.65
    assert agreement.max() < NEAR_DUPLICATE


def test_zero_steps_measure_the_agreement_without_alignment(chests):
    agreement, found = register(views(chests[:3]), views(chests[:3]), identity_transforms(3), 0)
    assert agreement == pytest.approx(1.0, abs=1e-3)
    assert np.array_equal(found, identity_transforms(3))


def test_blank_images_do_not_agree():
    blank = np.zeros((2, 32, 32), np.float32)
    agreement, found = register(blank, blank, identity_transforms(2), 3)
    assert np.isfinite(agreement).all() and np.isfinite(found).all()
    assert agreement.max() < 0.5
