"""Checks the arrays that every metric takes, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm._text import plural
from plainfilm.errors import MetricError

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.intp]
Patients: TypeAlias = Sequence[str] | NDArray[np.str_] | NDArray[np.intp] | None
"""One patient key or number per image, or None for one patient per image."""


def _as_floats(values: ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MetricError(
            f"{name} must be numbers", received=str(error), remedy="pass an array of numbers"
        ) from error


def _show(values: Floats) -> str:
    first = ", ".join(f"{value:g}" for value in values[:5])
    return first + (f", ... ({values.size} values)" if values.size > 5 else "")


def as_labels(y_true: ArrayLike, *, dimensions: int = 1) -> Floats:
    """Return labels as float64; raise a `MetricError` unless each is 1, 0 or NaN (unknown)."""
    array = _as_floats(y_true, "labels")
    if array.ndim != dimensions:
        raise MetricError(
            f"labels must have {dimensions} dimension(s)", received=f"shape {array.shape}"
        )
    wrong = array[~(np.isnan(array) | (array == 0) | (array == 1))]
    if wrong.size:
        raise MetricError(
            "labels must be 1, 0 or NaN (unknown)",
            received=_show(wrong),
            remedy="pass labels first and scores second; map the classes to 0 and 1",
        )
    return array


def as_scores(
    y_score: ArrayLike,
    shape: tuple[int, ...],
    *,
    name: str = "scores",
    low: float = -np.inf,
    high: float = np.inf,
) -> Floats:
    """Return finite scores of ``shape`` between ``low`` and ``high`` as float64.

    Scores of images with unknown labels are checked, too: NaN from a model is always a defect.
    """
    array = _as_floats(y_score, name)
    if array.shape != shape:
        raise MetricError(
            f"labels and {name} must have the same shape",
            received=f"labels {shape}, {name} {array.shape}",
        )
    bad = array[~np.isfinite(array)]
    if bad.size:
        raise MetricError(
            f"{name} must be finite",
            received=f"{bad.size} of {array.size} are NaN or infinite",
            remedy="find the images for which the model returns NaN",
        )
    outside = array[(array < low) | (array > high)]
    if outside.size:
        raise MetricError(
            f"{name} must be between {low:g} and {high:g}",
            received=_show(outside),
            remedy="convert logits to probabilities first (apply_temperature)"
            if (low, high) == (0, 1)
            else None,
        )
    return array


def known(
    y_true: ArrayLike,
    y_score: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    probabilities: bool = False,
) -> tuple[Bools, Floats, Floats]:
    """Check labels, scores and weights, all (n,), and drop the images with unknown label.

    Returns whether the labels are 1, the scores, and the weights, 0 or more; 1 by default.
    """
    labels = as_labels(y_true)
    if probabilities:
        values = as_scores(y_score, labels.shape, name="probabilities", low=0, high=1)
    else:
        values = as_scores(y_score, labels.shape)
    if sample_weight is None:
        weights = np.ones_like(labels)
    else:
        weights = as_scores(sample_weight, labels.shape, name="weights", low=0)
    keep = ~np.isnan(labels)
    return labels[keep] == 1, values[keep], weights[keep]


def group_index(patients: Patients, n: int) -> tuple[Ints, int]:
    """Number the patients of ``n`` images: (patient of each image, number of patients)."""
    if patients is None:
        return np.arange(n, dtype=np.intp), n
    if len(patients) != n:
        raise MetricError(
            "there must be one patient key per image",
            received=f"{plural(n, 'image')}, {plural(len(patients), 'patient key')}",
        )
    if isinstance(patients, np.ndarray) and patients.dtype.kind in "iu":
        _, first, inverse = np.unique(patients, return_index=True, return_inverse=True)
        place = np.empty(len(first), np.intp)
        place[np.argsort(first)] = np.arange(len(first))
        return place[inverse.reshape(-1)], len(first)
    keys = patients.tolist() if isinstance(patients, np.ndarray) else patients
    texts = list(map(str, keys))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(texts))}
    return np.fromiter(map(numbers.__getitem__, texts), np.intp, n), len(numbers)


def known_groups(y_true: ArrayLike, patients: Patients) -> tuple[Ints, int]:
    """Number the patients of the images with known label; the number counts all patients."""
    groups, count = group_index(patients, np.shape(y_true)[0])
    return groups[~np.isnan(np.asarray(y_true, dtype=np.float64))], count
