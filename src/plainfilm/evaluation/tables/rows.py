"""Defines the rows of a table of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from plainfilm.data import LeftOut
from plainfilm.evaluation.predictions import Cells as Column
from plainfilm.records import Finding, Split, Task

_Cell = TypeVar("_Cell")


@dataclass(frozen=True, slots=True, eq=False)
class ScoredTable:
    """The rows of a table of predictions that have scores and, if it has ground truth, a label.

    ``labels`` is None if the table has no column of the ground truth. ``splits`` are those of a
    column, None without one.
    """

    path: Path
    task: Task
    ids: list[str]
    patients: list[str]
    labels: NDArray[np.float32] | None
    scores: NDArray[np.float64]  # (n, labels)
    splits: list[Split | None]
    columns: dict[str, Column]
    left_out: list[LeftOut]
    findings: list[Finding]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: NDArray[np.bool_]) -> ScoredTable:
        kept = np.flatnonzero(rows).tolist()

        def take(cells: Sequence[_Cell]) -> list[_Cell]:
            return [cells[row] for row in kept]

        return replace(
            self,
            ids=take(self.ids),
            patients=take(self.patients),
            labels=None if self.labels is None else self.labels[rows],
            scores=self.scores[rows],
            splits=take(self.splits),
            columns={name: take(cells) for name, cells in self.columns.items()},
        )
