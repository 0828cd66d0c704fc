"""Pairs of groups of images that an audit compares: the classes of a label, and two splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.evidence import Evidence

MIN_IMAGES = 10
"""Smallest number of images in each group."""
_MOST = 50_000
"""Number of images of each group that `Comparison.drawn` keeps."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two groups of images: ``y_true`` is true for the first group."""

    kind: Literal["shortcut", "shift"]
    target: str
    groups: tuple[str, str]
    rows: NDArray[np.intp]
    y_true: NDArray[np.bool_]

    @property
    def counts(self) -> tuple[int, int]:
        """Number of images of each group."""
        first = int(self.y_true.sum())
        return first, len(self.rows) - first

    def drawn(self, *, seed: int = 0) -> Comparison:
        """Return the comparison with at most 50,000 images of each group, drawn at random."""
        if max(self.counts) <= _MOST:
            return self
        rng = np.random.default_rng(seed)
        sides = [np.flatnonzero(side) for side in (self.y_true, ~self.y_true)]
        kept = np.sort(np.concatenate([rng.permutation(side)[:_MOST] for side in sides]))
        return replace(self, rows=self.rows[kept], y_true=self.y_true[kept])


def label_comparisons(evidence: Evidence) -> Iterator[Comparison]:
    """Yield the positives and negatives of each label with enough of both."""
    task = evidence.manifest.task
    for label, values in evidence.label_columns():
        rows = np.flatnonzero(~np.isnan(values))
        y_true = values[rows] == 1
        if min(y_true.sum(), (~y_true).sum()) >= MIN_IMAGES:
            negative = task.classes[0] if task.kind == "binary" else f"not {label}"
            yield Comparison("shortcut", label, (label, negative), rows, y_true)


def split_comparisons(evidence: Evidence) -> Iterator[Comparison]:
    """Yield, within each class, the test or validation images and the training images."""
    task = evidence.manifest.task
    for split in ("test", "validation"):
        compared = np.isin(evidence.splits, ("train", split))
        for label, values in evidence.label_columns():
            names = task.classes if task.kind == "binary" else (f"not {label}", label)
            for value in (0, 1):
                rows = np.flatnonzero((values == value) & compared)
                y_true = evidence.splits[rows] == split
                if min(y_true.sum(), (~y_true).sum()) >= MIN_IMAGES:
                    yield Comparison("shift", names[value], (split, "train"), rows, y_true)
