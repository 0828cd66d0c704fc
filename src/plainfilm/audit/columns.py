"""Measures how well each further column of a data set predicts a label, or a split, on its own.

A column is grouped: numbers into eight quantile steps, text into its most frequent values, and
blank cells into a group of their own. The groups are ordered by their share of positives among
other patients (cross-validation in five folds), and the AUROC is that of the rank of the group.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.comparisons import Comparison, label_comparisons, split_comparisons
from plainfilm.audit.document import ColumnGroup, ColumnResult
from plainfilm.audit.evidence import Evidence
from plainfilm.metrics.auroc import clustered_delong

Ints = NDArray[np.intp]
Floats = NDArray[np.float64]

BLANK, OTHER = "(blank)", "(other)"
LOWEST_LIMIT = 0.55
"""AUROC up to which a column is not reported."""

_METADATA = ("view", "sex", "age", "manufacturer", "modality", "photometric", "laterality")
_DERIVED = "subgroup"  # the name of the column that file names of one class give
_FOLDS = 5
_STEPS = 8
_VALUES = 20
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LETTERS = re.compile(r"[A-Za-z]+")
_ACQUISITION = frozenset(
    {"acquisition", "age", "batch", "bucky", "center", "centre", "clinic", "cohort", "country"}
    | {
        "database",
        "dataset",
        "department",
        "detector",
        "device",
        "exposure",
        "gender",
        "hospital",
        "institution",
        "kv",
        "kvp",
    }
    | {
        "machine",
        "manufacturer",
        "modality",
        "model",
        "orientation",
        "origin",
        "photometric",
        "portable",
    }
    | {"position", "projection", "room", "scanner", "sex", "site", "source", "station", "tube"}
    | {"vendor", "view", "ward", "year"}
)
"""Words of columns that describe the person or the recording, and never the finding."""


def is_acquisition(column: str) -> bool:
    """Return whether a column describes the person or the recording.

    Examples
    --------
    >>> [is_acquisition(name) for name in ("ViewPosition", "patient_age", "finding_labels")]
    [True, True, False]
    """
    words = [*_WORDS.findall(column), *_LETTERS.findall(column)]
    return not _ACQUISITION.isdisjoint(word.casefold() for word in words)


def measure_columns(evidence: Evidence, *, seed: int = 0) -> tuple[ColumnResult, ...]:
    """Measure every column that varies; those that are close to chance are left out."""
    columns = [(name, *grouped) for name, cells in _cells(evidence) if (grouped := _group(cells))]
    return measure_groups(evidence, columns, seed=seed)


def measure_groups(
    evidence: Evidence, columns: Sequence[tuple[str, Sequence[str], Ints]], *, seed: int = 0
) -> tuple[ColumnResult, ...]:
    """Measure columns of groups: each has a name, the names of its groups, and codes (n,)."""
    comparisons = comparisons_of(evidence)
    tests = len(comparisons) * len(columns)
    patients, groups = np.unique(evidence.groups, return_inverse=True)
    if not tests or len(patients) < 2 * _FOLDS:
        return ()
    order = np.random.default_rng(seed).permutation(len(patients))
    folds = (order % _FOLDS)[groups]
    found = []
    for comparison in comparisons:
        for name, values, codes in columns:
            own = codes[comparison.rows]
            counts = np.stack(
                [np.bincount(own[side], minlength=len(values)) for side in _sides(comparison)],
                axis=1,
            )
            if _best_auroc(counts) <= LOWEST_LIMIT:  # cross-validation can only be lower
                continue
            scores = _ranks(own, comparison.y_true, folds[comparison.rows], len(values))
            auroc = clustered_delong(
                comparison.y_true,
                scores,
                groups[comparison.rows],
                level=1 - 0.05 / tests,  # Bonferroni
            )
            table = [
                ColumnGroup(value, (int(first), int(second)))
                for value, (first, second) in zip(values, counts.tolist(), strict=True)
                if first or second
            ]
            found.append(
                ColumnResult(
                    kind=comparison.kind,
                    column=name,
                    target=comparison.target,
                    groups=comparison.groups,
                    auroc=auroc,
                    table=tuple(table),
                )
            )
    return tuple(found)


def _sides(comparison: Comparison) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return comparison.y_true, ~comparison.y_true


def comparisons_of(evidence: Evidence) -> list[Comparison]:
    """Return the comparisons of each label, and of the splits unless there are several labels."""
    # Many labels would make many comparisons of the same two splits.
    several = evidence.manifest.task.kind == "multilabel"
    splits = [] if several else split_comparisons(evidence)
    return [*label_comparisons(evidence), *splits]


def _cells(evidence: Evidence) -> Iterator[tuple[str, list[str | float | None]]]:
    """Yield the columns of the records, and metadata of files that no column has."""
    names = [name for name in evidence.records.column_names if name != _DERIVED]
    for name in names:
        yield name, evidence.records.column(name)
    taken = {name.casefold() for name in names}
    for name in _METADATA:
        if name in evidence.metadata.names and name not in taken:
            yield name, evidence.metadata.values(name)


def _group(cells: Sequence[str | float | None]) -> tuple[tuple[str, ...], Ints] | None:
    """Return the names of the groups and the group of each cell, or None if there is only one."""
    known = {cell for cell in cells if cell is not None and cell != ""}
    numeric = all(isinstance(cell, int | float) for cell in known)
    if numeric and len(known) > _STEPS:
        numbers = np.array([math.nan if cell in (None, "") else cell for cell in cells], np.float64)
        names, codes = _steps(numbers)
    else:
        texts = [BLANK if cell in (None, "") else _text(cell) for cell in cells]
        values, codes, counts = np.unique(texts, return_inverse=True, return_counts=True)
        names = [str(value) for value in values]
        if len(names) > _VALUES:
            frequent = np.sort(np.argsort(-counts, kind="stable")[:_VALUES])
            numbered = np.full(len(names), _VALUES)
            numbered[frequent] = np.arange(_VALUES)
            names, codes = [*(names[row] for row in frequent), OTHER], numbered[codes]
    return (tuple(names), np.asarray(codes, np.intp)) if len(names) > 1 else None


def _text(cell: object) -> str:
    return f"{cell:g}" if isinstance(cell, int | float) else str(cell)


def _steps(numbers: Floats) -> tuple[list[str], Ints]:
    """Group numbers (n,) by quantiles; NaN is a group of its own, the last one."""
    known = np.isfinite(numbers)
    shares = np.arange(1, _STEPS) / _STEPS
    low, high = numbers[known].min(), numbers[known].max()
    inner = np.unique(np.quantile(numbers[known], shares, method="nearest"))
    inner = inner[inner > low]
    codes = np.where(known, np.searchsorted(inner, numbers, side="right"), len(inner) + 1)
    limits = [f"{edge:g}" for edge in (low, *inner)]
    names = [f"{first} to below {last}" for first, last in pairwise(limits)]
    names.append(f"{limits[-1]} to {high:g}")
    return [*names, *([] if known.all() else [BLANK])], codes


def _best_auroc(counts: NDArray[np.integer]) -> float:
    """Return the AUROC of groups with these counts (k, 2) in the order of their own shares."""
    first, second = counts.astype(np.float64).T
    order = np.argsort(-first / np.maximum(1, first + second))
    first, second = first[order] / first.sum(), second[order] / second.sum()
    below = 1 - np.cumsum(second)
    return float((first * (below + second / 2)).sum())


def _ranks(codes: Ints, y_true: NDArray[np.bool_], folds: Ints, width: int) -> Floats:
    """Return the rank of each image's group (n,) by its share of positives in the other folds."""
    scores = np.empty(len(codes))
    positive, total = (
        np.bincount(folds[mask] * width + codes[mask], minlength=_FOLDS * width)
        .reshape(_FOLDS, width)
        .astype(np.float64)
        for mask in (y_true, np.ones(len(codes), bool))
    )
    share = y_true.mean()
    for fold in range(_FOLDS):
        own = folds == fold
        hits, count = (one.sum(axis=0) - one[fold] for one in (positive, total))
        ranks = np.argsort(np.argsort((hits + share) / (count + 1), kind="stable"))
        scores[own] = ranks[codes[own]]
    return scores
