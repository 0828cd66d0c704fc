"""Coarse copies and distances, compared with plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras")

from plainfilm.models import novelty
from plainfilm.models.novelty import FLOOR, SIDE, coarse_copies, fit_novelty


@pytest.mark.parametrize("size", [16, 64, 70])
def test_coarse_copies_are_means_of_areas(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (11, size, size), dtype=np.uint8)
    monkeypatch.setattr(novelty, "_CHUNK", 4)  # three chunks, the last one smaller
    step = size // SIDE
    for image, copy in zip(images, coarse_copies(images), strict=True):
        coarse = np.array(
            [
                [image[y : y + step, x : x + step].mean() for x in range(0, SIDE * step, step)]
                for y in range(0, SIDE * step, step)
            ]
        )
        expected = (coarse - coarse.mean()) / (coarse.std() + FLOOR)
        np.testing.assert_allclose(copy.reshape(SIDE, SIDE), expected, atol=1e-9)


def test_an_image_far_in_either_distance_is_novel() -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(90, 130, (300, 32, 32), dtype=np.uint8)
    features = rng.normal(size=(300, 5))
    classes = np.zeros(300, np.intp)
    fitted = fit_novelty((images, features, classes), (images, features))
    usual = fitted.score(features, images)
    assert np.mean(usual < 1) > 0.97, "99 of 100 validation images are below 1 in each distance"
    odd = images[:1].copy()
    odd[:, :16] = 250
    assert fitted.score(features[:1], odd)[0] > 2 * usual.max()
    assert fitted.score(features[:1] + 50, images[:1])[0] > 2 * usual.max()
