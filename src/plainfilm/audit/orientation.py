"""Which way up, and black or white: learnt from the set itself.

Nearly every set of radiographs stands upright. Turn and invert its images in all eight ways, and
the set teaches a linear classifier to tell the eight apart, without a label and whatever the
camera, age or collimation; each image is then judged by a classifier that has not seen its patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.evidence import shrink

__all__ = ["POSES", "Poses", "judge_poses", "standardise"]

Floats = NDArray[np.float32]

POSES = ("upright", "left", "upside-down", "right")
"""A quarter turn to the left, a half turn, a quarter turn to the right; then the same inverted."""
_SIDE = 16
_FOLDS = 4
_FIT = 1500
_RIDGE = 0.1
_LEAST = 24

# The mean of upright radiographs drawn by plainfilm.phantom, at 8 x 8: which way up a set stands.
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
class Poses:
    """How n images stand.

    Attributes
    ----------
    best
        (n,): 0 to 3 for `POSES`, 4 to 7 for the same, inverted.
    lead
        (n,): by how much that pose is more like the set than upright is; 0 where it is upright.
        Above 0.25 it is hardly ever an error (1 in 1,300 upright radiographs of children).
    whole
        The pose of the set as a whole, 0 to 7.
    """

    best: NDArray[np.intp]
    lead: Floats
    whole: int


def standardise(pictures: NDArray[np.uint8], side: int) -> Floats:
    """Return pictures (n, side, side) of mean 0 and standard deviation 1."""
    values = shrink(pictures, side).astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    return np.asarray(values / (values.std(axis=(1, 2), keepdims=True) + 2), dtype=np.float32)


def judge_poses(
    pictures: NDArray[np.uint8], groups: NDArray[np.intp], *, seed: int = 0
) -> Poses | None:
    """Judge how each picture stands.

    Parameters
    ----------
    pictures
        uint8 (n, 32, 32).
    groups
        (n,) numbers of patients: none is judged by what was learnt from it.
    seed
        Of the folds, and of the patients learnt from where there are many images.

    Returns
    -------
    poses
        None where there are too few patients to learn from.
    """
    patients = np.unique(groups)
    if len(patients) < _LEAST:
        return None
    views = standardise(pictures, _SIDE)
    rng = np.random.default_rng(seed)
    order = np.empty(int(patients.max()) + 1, dtype=np.intp)
    order[patients] = rng.permutation(len(patients))
    fold = order[groups] % _FOLDS
    # Patients beyond what is needed to learn are judged only.
    taught = order[groups] < max(_LEAST, _FIT * len(patients) // len(groups))
    weights = _teach(views[taught], fold[taught])
    rows = _features(views)
    scores = np.empty((len(views), 8), dtype=np.float32)
    for number in range(_FOLDS):
        scores[fold == number] = rows[fold == number] @ weights[number]
    best = scores.argmax(axis=1)
    lead = scores[np.arange(len(scores)), best] - scores[:, 0]
    return Poses(best.astype(np.intp), lead.astype(np.float32), _pose_of_set(pictures))


def _turned(views: Floats) -> list[Floats]:
    turned = [np.ascontiguousarray(np.rot90(views, turns, (1, 2))) for turns in range(4)]
    return turned + [-view for view in turned]


def _features(views: Floats) -> Floats:
    """Return what is the same for a picture and its mirror image, (n, 385)."""
    count, side, _ = views.shape
    mirrored = views[:, :, ::-1]
    half = side // 2
    even = ((views + mirrored) / 2)[:, :, :half].reshape(count, -1)
    odd = np.abs(views - mirrored)[:, :, :half].reshape(count, -1)
    # The magnitudes let a linear model ask for a dark or bright place of either sign.
    return np.concatenate([even, np.abs(even), odd, np.ones((count, 1), np.float32)], axis=1)


def _teach(views: Floats, fold: NDArray[np.intp]) -> list[Floats]:
    """Return for each fold the ridge regression (features, 8) learnt from the others."""
    half_turned, negative = _moves(views.shape[1])
    width = len(negative)
    squares = np.zeros((_FOLDS, width, width))
    sums = np.zeros((_FOLDS, width, 8))
    # A half turn only moves features, and an inversion changes signs: two poses stand for eight.
    for turned in (0, 1):
        rows = _features(np.ascontiguousarray(np.rot90(views, turned, (1, 2))))
        for number in range(_FOLDS):
            part = rows[fold == number]
            squares[number] += part.T @ part
            total = part.sum(axis=0)
            for pose, sum_of_pose in ((turned, total), (turned + 2, total[half_turned])):
                sums[number, :, pose] = sum_of_pose
                sums[number, :, pose + 4] = sum_of_pose * negative
    squares += squares[:, half_turned][:, :, half_turned]
    squares *= 1 + np.outer(negative, negative)
    weights = []
    for number in range(_FOLDS):
        square = squares.sum(axis=0) - squares[number]
        square += _RIDGE * np.trace(square) / width * np.eye(width)
        weights.append(np.linalg.solve(square, sums.sum(axis=0) - sums[number]).astype(np.float32))
    return weights


def _moves(side: int) -> tuple[NDArray[np.intp], Floats]:
    """Return where a half turn takes each feature from, and the signs after an inversion."""
    count = side * (side // 2)
    # What is the same mirrored changes top and bottom in a half turn.
    block = np.arange(count).reshape(side, -1)[::-1].ravel()
    place = np.concatenate([block, block + count, block + 2 * count, [3 * count]])
    sign = np.ones(len(place), dtype=np.float32)
    sign[:count] = -1
    return place.astype(np.intp), sign


def _pose_of_set(pictures: NDArray[np.uint8]) -> int:
    typical = np.median(standardise(pictures, 8), axis=0)[None].astype(np.float32)
    upright = standardise(np.array(_UPRIGHT, dtype=np.uint8)[None], 8)
    return int(np.argmax([float((typical * view).sum()) for view in _turned(upright)]))
