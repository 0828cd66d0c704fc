"""What every metric asks of its arrays, checked in one place before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.errors import MetricError

__all__ = ["Bools", "Floats", "Ints", "as_labels", "as_scores", "group_index", "known"]

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.intp]


def _as_floats(values: ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MetricError(
            f"{name} must be numbers", received=str(error), remedy="pass an array of numbers"
        ) from error


def _show(values: Floats) -> str:
    few = ", ".join(f"{value:g}" for value in values[:5])
    return few + (f", ... ({values.size} values)" if values.size > 5 else "")


def as_labels(labels: ArrayLike, *, dimensions: int = 1) -> Floats:
    """Return labels as float64; each is 1, 0 or NaN (unknown), or a `MetricError` is raised."""
    array = _as_floats(labels, "labels")
    if array.ndim != dimensions:
        raise MetricError(
            f"labels must have {dimensions} dimension(s)", received=f"shape {array.shape}"
        )
    wrong = array[~(np.isnan(array) | (array == 0) | (array == 1))]
    if wrong.size:
        raise MetricError(
            "labels must be 1, 0 or NaN (unknown)",
            received=_show(wrong),
            remedy="labels come first, scores second; map the classes to 0 and 1",
        )
    return array


def as_scores(
    scores: ArrayLike,
    shape: tuple[int, ...],
    *,
    name: str = "scores",
    low: float = -np.inf,
    high: float = np.inf,
) -> Floats:
    """Return finite scores of ``shape`` within ``low..high`` as float64.

    Scores of images with unknown labels are checked too: NaN out of a model is a defect wherever
    it comes up.
    """
    array = _as_floats(scores, name)
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
            remedy="find the images for which the model answers with NaN",
        )
    outside = array[(array < low) | (array > high)]
    if outside.size:
        raise MetricError(
            f"{name} must lie between {low:g} and {high:g}",
            received=_show(outside),
            remedy="turn logits into probabilities first (apply_temperature)"
            if (low, high) == (0, 1)
            else None,
        )
    return array


def known(
    labels: ArrayLike,
    scores: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    probabilities: bool = False,
) -> tuple[Bools, Floats, Floats]:
    """Check labels, scores and weights, all (n,), and drop the images of unknown label.

    Returns
    -------
    positive
        Whether the label is 1.
    scores
        The scores that go with it.
    weights
        The weights, not negative; ones where none were given.
    """
    truth = as_labels(labels)
    if probabilities:
        values = as_scores(scores, truth.shape, name="probabilities", low=0, high=1)
    else:
        values = as_scores(scores, truth.shape)
    if weights is None:
        mass = np.ones_like(truth)
    else:
        mass = as_scores(weights, truth.shape, name="weights", low=0)
    keep = ~np.isnan(truth)
    return truth[keep] == 1, values[keep], mass[keep]


def group_index(patients: Sequence[str] | NDArray[np.str_] | None, n: int) -> tuple[Ints, int]:
    """Number the patients of ``n`` images: (patient of each image, number of patients).

    None stands for one patient per image.
    """
    if patients is None:
        return np.arange(n, dtype=np.intp), n
    if len(patients) != n:
        raise MetricError(
            "there must be one patient key per image",
            received=f"{n} images, {len(patients)} patient keys",
        )
    numbers: dict[str, int] = {}
    index = [numbers.setdefault(str(patient), len(numbers)) for patient in patients]
    return np.asarray(index, dtype=np.intp), len(numbers)
