"""Scores images by how much they differ from the rest: other body parts, photographs, documents."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.orientation import draw_images, standardise

Floats = NDArray[np.float64]

_SIDE = 16
_COMPONENTS = 32
_MIN_IMAGES = 60
_MAX_FIT = 8192
_INLIER = 3.0
_CHUNK = 4096
_MAX_MEDIAN = 100_000  # images; of more, as many are drawn at random to compute the median


def outlier_scores(images: NDArray[np.uint8], *, seed: int = 0) -> Floats | None:
    """Score how much each of n images (n, 32, 32) differs from the rest; None below 60 images.

    A principal component analysis is fitted three times, each time without the outliers found so
    far. The score is the larger of the residual outside the components and the Mahalanobis distance
    within them, in robust standard deviations above the median.
    """
    count = len(images)
    if count < _MIN_IMAGES:
        return None
    width = min(_COMPONENTS, count // 20)
    drawn = draw_images(images, _MAX_MEDIAN)
    median = np.median(np.concatenate([_rows(drawn[part]) for part in _parts(len(drawn))]), axis=0)
    # The first fit leaves out the tenth that is least similar to the median image.
    similarity = np.concatenate([_rows(images[part]) @ median for part in _parts(count)])
    inlier = similarity >= np.quantile(similarity, 0.1)
    scores = np.zeros(count)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        chosen = np.flatnonzero(inlier)
        if len(chosen) > _MAX_FIT:
            chosen = rng.choice(chosen, _MAX_FIT, replace=False)
        fitted = _rows(images[chosen])
        mean = fitted.mean(axis=0)
        values, vectors = np.linalg.eigh((fitted - mean).T @ (fitted - mean) / len(chosen))
        order = np.argsort(values)[::-1][:width]
        residual, distance = np.empty(count), np.empty(count)
        for part in _parts(count):
            centred = _rows(images[part]) - mean
            projected = centred @ vectors[:, order]
            residual[part] = (centred**2).sum(axis=1) - (projected**2).sum(axis=1)
            distance[part] = (projected**2 / np.maximum(values[order], 1e-9)).sum(axis=1)
        scores = np.maximum(_robust_z(residual, inlier), _robust_z(distance, inlier))
        inlier = scores < _INLIER
    return scores


def _rows(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return standardise(images, _SIDE).reshape(len(images), -1)


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))


def _robust_z(values: Floats, inlier: NDArray[np.bool_]) -> Floats:
    """Return robust standard deviations of the logarithm above the median of the inliers."""
    logs = np.log(np.maximum(values, 1e-9))
    median = np.median(logs[inlier])
    deviation = 1.4826 * np.median(np.abs(logs[inlier] - median))
    return np.asarray((logs - median) / max(deviation, 1e-6), dtype=np.float64)
