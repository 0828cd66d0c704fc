"""Tests that copies of a set of images are recognised by hashes, and other images are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from plainfilm.audit.evidence import downsample
from plainfilm.audit.recognition import MIN_IMAGES, find_copies, fit_basis, in_chunks, shrink
from plainfilm.phantom import draw


@pytest.fixture(scope="module")
def pictures(chests):
    """Return 192 drawn radiographs: those of the fixture, and as many with other anatomy."""
    more = [draw(np.random.default_rng([77, n]), size=128) for n in range(64)]
    return np.concatenate([chests, np.stack(more)])


def jpeg(pixels, quality=40):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def resized(pixels, *sides):
    image = Image.fromarray(pixels)
    for side in sides:
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


def brighter(pixels):
    return np.clip(pixels * 0.8 + 30, 0, 255).astype(np.uint8)


def cropped(pixels):
    return resized(pixels[4:-4, 4:-4], 128)  # 3 % a side


def test_altered_copies_are_found_and_other_images_are_not(pictures):
    known, others = pictures[:120], pictures[120:]
    found = fit_basis([known[:50], known[50:]], len(known))
    assert found is not None
    basis, hashes = found
    assert hashes.shape == (120, 8)
    for change in (jpeg, brighter, lambda one: resized(one, 60, 128), lambda one: one[:, ::-1]):
        copies = np.stack([change(one) for one in known])
        assert find_copies(basis, hashes, copies).mean() > 0.95
    # A small set of drawn images has less detail than the public set, where 99 of 100 are found.
    copies = np.stack([cropped(one) for one in known])
    assert find_copies(basis, hashes, copies).mean() > 0.6
    large = np.stack([resized(one, 300) for one in known])
    assert find_copies(basis, hashes, large).all(), "images of any size are compared"
    assert not find_copies(basis, hashes, others).any()


def test_a_small_set_and_blank_images_are_not_compared(pictures):
    assert fit_basis([pictures[: MIN_IMAGES - 1]], MIN_IMAGES) is None
    assert fit_basis([], 0) is None
    blank = np.full((30, 128, 128), 7, np.uint8)
    basis, hashes = fit_basis([pictures[:MIN_IMAGES], blank], MIN_IMAGES + len(blank))
    assert len(hashes) == MIN_IMAGES, "blank images are left out"
    assert not find_copies(basis, hashes, blank).any()


def test_the_mean_over_equal_areas_equals_block_means(pictures):
    small = shrink(pictures[:3])
    assert np.abs(small.astype(int) - downsample(pictures[:3], 16)).max() <= 1
    ramp = np.tile(np.arange(24, dtype=np.uint8) * 10, (24, 1))[None]
    # A side of 24 in 16: each value is 2/3 of one pixel and 1/3 of the next.
    assert shrink(ramp)[0, 0].tolist()[:3] == [3, 17, 33]
    # Zoomed out by half, areas are 3 pixels wide and the first 4 show the repeated border.
    assert shrink(ramp, zoom=0.5)[0, 0].tolist()[:6] == [0, 0, 0, 0, 10, 40]


def test_chunks_cover_all_images():
    assert [(one.start, one.stop) for one in in_chunks(1100)] == [
        (0, 512),
        (512, 1024),
        (1024, 1100),
    ]
    assert list(in_chunks(0)) == []
