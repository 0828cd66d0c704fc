"""Computes a metric of several readers of the same images, and their covariance over patients."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, Patients, as_labels, known_groups
from plainfilm.metrics.auroc import placements

READER_METRICS = ("auroc", "sensitivity", "specificity")
"""Metrics of readers that have a covariance."""


def reader_covariance(
    metric: str,
    y_true: ArrayLike,
    ratings: ArrayLike,
    patients: Patients = None,
    *,
    method: Literal["delong", "jackknife"] = "delong",
) -> tuple[Floats, Floats]:
    """Return a metric of several readers of the same images, and their covariance.

    Parameters
    ----------
    metric
        ``auroc`` of ratings on any scale; ``sensitivity`` or ``specificity`` of calls, 1 or 0.
    y_true, patients
        See `plainfilm.metrics`.
    ratings
        Ratings or calls (k, n), one row per reader (and modality), NaN where an image was not read.
    method
        ``delong`` sums the components of each image by patient; ``jackknife`` leaves out one
        patient at a time.

    Returns
    -------
    values, covariance
        Shapes (k,) and (k, k). A value is NaN if the reader read no image of a class, and so is
        its covariance if these are of fewer than two patients.

    References
    ----------
    N. A. Obuchowski, Biometrics 53 (1997) 567-578; jackknife: S. L. Hillis, Stat. Med. 33 (2014)
    330-360.
    """
    if metric not in READER_METRICS:
        raise MetricError(
            "there is no such metric of readers",
            received=metric,
            remedy=f"use one of {', '.join(READER_METRICS)}",
        )
    labels = as_labels(y_true)
    matrix = np.atleast_2d(np.asarray(ratings, dtype=np.float64))
    if matrix.ndim != 2 or matrix.shape[1] != labels.size or np.isinf(matrix).any():
        raise MetricError(
            "ratings need a row per reader and a finite value or NaN per image",
            received=f"shape {matrix.shape} for {labels.size} labels",
        )
    groups, _ = known_groups(y_true, patients)
    keep = ~np.isnan(labels)
    matrix, positive = matrix[:, keep], labels[keep] == 1
    if metric != "auroc":
        used = positive if metric == "sensitivity" else ~positive
        calls = matrix if metric == "sensitivity" else 1 - matrix
        wrong = calls[~np.isnan(calls) & (calls != 0) & (calls != 1)]
        if wrong.size:
            raise MetricError(f"{metric} needs calls of 1 or 0", received=f"{wrong[0]:g}")
        matrix = np.where(used, calls, np.nan)
        positive = used
    read = ~np.isnan(matrix)
    # A patient without a read image is no patient of the study.
    groups = np.where(read.any(axis=0), groups, -1)
    groups = np.unique(groups, return_inverse=True)[1].reshape(-1) - int((groups < 0).any())
    count = int(groups.max(initial=-1)) + 1
    both = metric == "auroc"
    if method == "jackknife":
        leave = _left_out_areas if both else _left_out_shares
        rows = [leave(positive, row, groups, count) for row in matrix]
        values = np.array([value for value, _ in rows])
        apart = np.stack([left for _, left in rows])
        apart -= apart.mean(axis=1, keepdims=True)
        return values, (count - 1) / max(count, 1) * (apart @ apart.T)
    parts = [_components(positive, row, groups, count, both=both) for row in matrix]
    values = np.array([value for value, _, _ in parts])
    ill, well = (np.stack([part[side] for part in parts]) for side in (1, 2))
    sides = [len(np.unique(groups[read.any(axis=0) & side])) for side in (positive, ~positive)]
    covariance = _inflate(sides[0]) * (ill @ ill.T)
    if both:
        mixed = ill @ well.T
        covariance = (
            covariance + _inflate(sides[1]) * (well @ well.T) + _inflate(count) * (mixed + mixed.T)
        )
    return values, covariance


def _inflate(patients: int) -> float:
    """Return n / (n - 1), NaN for fewer than two patients."""
    return patients / (patients - 1) if patients > 1 else math.nan


def _components(
    positive: Bools, row: Floats, groups: Ints, count: int, *, both: bool
) -> tuple[float, Floats, Floats]:
    """Return a value, and by patient its components of positive and of negative images."""
    read = ~np.isnan(row)
    ill, well = read & positive, read & ~positive
    m, n = int(ill.sum()), int(well.sum())
    if not both:
        value = float(row[ill].mean()) if m else math.nan
        return value, np.bincount(groups[ill], row[ill] - value, count) / max(m, 1), row[:0]
    if not (m and n):
        empty = np.full(count, math.nan)
        return math.nan, empty, empty
    above, below = placements(positive[read], row[read])
    value = float(above.mean())
    return (
        value,
        np.bincount(groups[ill], above - value, count) / m,
        np.bincount(groups[well], below - value, count) / n,
    )


def _left_out_shares(used: Bools, row: Floats, groups: Ints, count: int) -> tuple[float, Floats]:
    """Return a share, and the shares without each patient."""
    where = used & ~np.isnan(row)
    if not where.any():
        return math.nan, np.full(count, math.nan)
    total = np.bincount(groups[where], row[where], count)
    size = np.bincount(groups[where], minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = (total.sum() - total) / (size.sum() - size)
    return float(row[where].mean()), left


def _left_out_areas(positive: Bools, row: Floats, groups: Ints, count: int) -> tuple[float, Floats]:
    """Return an AUROC, and the AUROCs without each patient."""
    read = ~np.isnan(row)
    positive, row, groups = positive[read], row[read], groups[read]
    m, n = int(positive.sum()), int((~positive).sum())
    if not (m and n):
        return math.nan, np.full(count, math.nan)
    above, below = placements(positive, row)
    ill = np.bincount(groups[positive], minlength=count)
    well = np.bincount(groups[~positive], minlength=count)
    won = np.bincount(groups[positive], n * above, count)
    won += np.bincount(groups[~positive], m * below, count)
    for patient in np.flatnonzero((ill > 0) & (well > 0)):  # counted on both sides
        own = groups == patient
        pairs = row[own & positive][:, None] - row[own & ~positive]
        won[patient] -= ((pairs > 0) + (pairs == 0) / 2).sum()
    value = float(above.mean())
    with np.errstate(invalid="ignore", divide="ignore"):
        return value, (value * m * n - won) / ((m - ill) * (n - well))
