"""Estimates which images are rotated or inverted, from the data set itself and without labels.

Most radiographs of a data set are upright. Its images, rotated and inverted in all eight ways,
train a linear classifier of the eight orientations, whatever the age of the patients, the device or
the collimation. Each image is judged by a classifier that was trained without its patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.evidence import downsample

Floats = NDArray[np.float32]

ORIENTATIONS = ("upright", "rotated left", "upside down", "rotated right")
"""Quarter turns to the left, 0 to 3."""
_SIDE = 16
_FOLDS = 4
_TRAINING_IMAGES = 1500
_CHUNK = 4096
_MAX_MEDIAN = 100_000  # images; of more, as many are drawn at random to compute the median
_RIDGE = 0.1
_MIN_PATIENTS = 24

# Mean of upright radiographs of plainfilm.phantom, at 8 x 8, to orient the whole data set.
_UPRIGHT = (
    (4, 12, 44, 114, 114, 44, 12, 4),
    (49, 93, 125, 144, 144, 125, 93, 49),
    (79, 126, 99, 130, 130, 99, 126, 79),
    (45, 94, 71, 137, 137, 71, 94, 45),
    (23, 59, 78, 168, 168, 78, 59, 23),
    (17, 48, 97, 177, 177, 97, 48, 17),
    (15, 66, 134, 188, 188, 134, 66, 15),
    (14, 85, 154, 194, 194, 154, 85, 14),
)


@dataclass(frozen=True, slots=True, eq=False)
class Orientation:
    """Orientation of n images: 0 to 3 for `ORIENTATIONS`, 4 to 7 for the same, inverted."""

    best: NDArray[np.intp]  # (n,)
    # (n,) score of the best orientation minus that of upright, at least 0. About 1 in 1,300 upright
    # radiographs of children exceeds 0.25.
    margin: Floats
    overall: int  # of the data set as a whole


def standardise(images: NDArray[np.uint8], side: int) -> Floats:
    """Return images (n, side, side) of mean 0 and standard deviation 1."""
    values = downsample(images, side).astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    return np.asarray(values / (values.std(axis=(1, 2), keepdims=True) + 2), dtype=np.float32)


def estimate_orientation(
    images: NDArray[np.uint8], groups: NDArray[np.intp], *, seed: int = 0
) -> Orientation | None:
    """Estimate the orientation of images (n, 32, 32); None with fewer than 24 patients.

    ``groups`` (n,) are the numbers of the patients. Images of a patient are in the same fold.
    """
    patients = np.unique(groups)
    if len(patients) < _MIN_PATIENTS:
        return None
    order = np.empty(int(patients.max()) + 1, dtype=np.intp)
    order[patients] = np.random.default_rng(seed).permutation(len(patients))
    fold = order[groups] % _FOLDS
    # In a large data set, a sample of the patients is enough for training.
    training = order[groups] < max(_MIN_PATIENTS, _TRAINING_IMAGES * len(patients) // len(groups))
    weights = _train(standardise(images[training], _SIDE), fold[training])
    scores = np.empty((len(images), 8), dtype=np.float32)
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        rows, own = _features(standardise(images[part], _SIDE)), fold[part]
        for number in range(_FOLDS):
            scores[part][own == number] = rows[own == number] @ weights[number]
    best = scores.argmax(axis=1)
    margin = scores[np.arange(len(scores)), best] - scores[:, 0]
    return Orientation(best.astype(np.intp), margin.astype(np.float32), _overall(images))


def _features(views: Floats) -> Floats:
    """Return features (n, 385) that are equal for an image and its mirror image."""
    count, side, _ = views.shape
    mirrored = views[:, :, ::-1]
    half = side // 2
    even = ((views + mirrored) / 2)[:, :, :half].reshape(count, -1)
    odd = np.abs(views - mirrored)[:, :, :half].reshape(count, -1)
    # With the magnitudes, a linear model can use a dark or bright place of either sign.
    return np.concatenate([even, np.abs(even), odd, np.ones((count, 1), np.float32)], axis=1)


def _train(views: Floats, fold: NDArray[np.intp]) -> list[Floats]:
    """Return for each fold the ridge regression (features, 8) trained on the other folds."""
    half_turned, negative = _feature_maps(views.shape[1])
    width = len(negative)
    squares = np.zeros((_FOLDS, width, width))
    sums = np.zeros((_FOLDS, width, 8))
    # A half turn permutes the features, and an inversion changes signs: two orientations give all
    # eight.
    for turns in (0, 1):
        rows = _features(np.ascontiguousarray(np.rot90(views, turns, (1, 2))))
        for number in range(_FOLDS):
            chosen = rows[fold == number]
            squares[number] += chosen.T @ chosen
            total = chosen.sum(axis=0)
            for orientation, vector in ((turns, total), (turns + 2, total[half_turned])):
                sums[number, :, orientation] = vector
                sums[number, :, orientation + 4] = vector * negative
    squares += squares[:, half_turned][:, :, half_turned]
    squares *= 1 + np.outer(negative, negative)
    weights = []
    for number in range(_FOLDS):
        square = squares.sum(axis=0) - squares[number]
        square += _RIDGE * np.trace(square) / width * np.eye(width)
        weights.append(np.linalg.solve(square, sums.sum(axis=0) - sums[number]).astype(np.float32))
    return weights


def _feature_maps(side: int) -> tuple[NDArray[np.intp], Floats]:
    """Return the permutation of the features by a half turn, and their signs after an inversion."""
    count = side * (side // 2)
    # For features that ignore mirroring, a half turn exchanges top and bottom.
    block = np.arange(count).reshape(side, -1)[::-1].ravel()
    permutation = np.concatenate([block, block + count, block + 2 * count, [3 * count]])
    sign = np.ones(len(permutation), dtype=np.float32)
    sign[:count] = -1
    return permutation.astype(np.intp), sign


def draw_images(images: NDArray[np.uint8], most: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return all images, or ``most`` of them that are drawn at random."""
    if len(images) <= most:
        return images
    return images[np.sort(np.random.default_rng(seed).choice(len(images), most, replace=False))]


def _overall(images: NDArray[np.uint8]) -> int:
    drawn = draw_images(images, _MAX_MEDIAN)
    median = np.median(standardise(drawn, 8), axis=0)[None].astype(np.float32)
    upright = standardise(np.array(_UPRIGHT, dtype=np.uint8)[None], 8)
    turned = [np.rot90(upright, turns, (1, 2)) for turns in range(4)]
    return int(
        np.argmax([float((median * view).sum()) for view in [*turned, *(-v for v in turned)]])
    )
