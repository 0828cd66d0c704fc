"""Predictions and ground truth in columns, and the file ``predictions.parquet``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm import _files
from plainfilm.errors import RunError
from plainfilm.records import Task

Cells = Sequence[Any]
"""A column: a sequence or array (n,) of text, numbers or None."""

SCHEMA = 2
_METADATA = "plainfilm"
_OWN = ("id", "patient")
_PREFIXES = ("label_", "probability_")
_THRESHOLD = "threshold_"
FOLD = "fold"
"""The decision that holds the fold of each image of a cross-validation."""
_DECISIONS = ("predicted", "rejected", "indeterminate", "reason", "problem", FOLD)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions and ground truth, one row for each image, without pixels.

    Attributes
    ----------
    task
        Its labels name the columns of the arrays.
    ids, patients
        Id and patient key of each image, (n,).
    labels, probabilities
        (n, labels): 1, 0 or NaN for unknown; and 0 to 1.
    columns
        Further columns of the data (view, sex, age, site, ...) by name, (n,) each.
    decisions
        What the model says besides the probabilities, by name, (n,) each: ``predicted``,
        ``rejected``, ``reason`` and others of `Prediction.to_row`.
    novelty
        (n,), or None.
    thresholds
        Thresholds that differ between images, (n,) by label and name of the operating point: each
        image of a cross-validation has those of the model of its fold.
    """

    task: Task
    ids: Sequence[str]
    patients: Sequence[str]
    labels: NDArray[np.float32]
    probabilities: NDArray[np.floating[Any]]
    columns: Mapping[str, Cells] = field(default_factory=dict)
    decisions: Mapping[str, Cells] = field(default_factory=dict)
    novelty: NDArray[np.float32] | None = None
    thresholds: Mapping[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Return whether the model rejects each image, (n,)."""
        cells = self.decisions.get("rejected")
        return np.zeros(len(self), bool) if cells is None else np.array(cells, bool)

    @property
    def reasons(self) -> Cells:
        """Return the reason of each rejection, (n,); None for other images."""
        return self.decisions.get("reason") or [None] * len(self)

    @property
    def folds(self) -> NDArray[np.intp] | None:
        """Return the fold of each image of a cross-validation, (n,); None for others."""
        cells = self.decisions.get(FOLD)
        return None if cells is None else np.array(cells, np.intp)

    def cuts(self, column: int, point: str, threshold: float) -> NDArray[np.float64]:
        """Return the threshold of each image at an operating point of a label, (n,).

        It is the given one unless the thresholds differ between images.
        """
        own = self.thresholds.get((self.task.labels[column], point))
        return np.full(len(self), threshold) if own is None else own

    def write(self, path: Path, model: str) -> None:
        """Write the table of the predictions of the model with the given id."""
        import pyarrow
        import pyarrow.parquet as parquet

        columns: dict[str, Any] = {"id": self.ids, "patient": self.patients}
        for column, label in enumerate(self.task.labels):
            columns[f"label_{label}"] = self.labels[:, column]
            columns[f"probability_{label}"] = self.probabilities[:, column]
        if self.novelty is not None:
            columns["novelty"] = self.novelty
        for (label, point), cuts in self.thresholds.items():
            columns[f"{_THRESHOLD}{label}_{point}"] = cuts
        columns |= self.decisions
        for name, cells in self.columns.items():
            if name not in _OWN and not name.startswith((*_PREFIXES, _THRESHOLD)):
                columns[f"source_{name}" if name in columns else name] = _of_one_type(cells)
        table = pyarrow.table({name: pyarrow.array(own) for name, own in columns.items()})
        origin = _files.canonical_json({"schema": SCHEMA, "model": model})
        with _files.atomic_path(path) as temporary:
            parquet.write_table(
                table.replace_schema_metadata({_METADATA: origin}), temporary, compression="zstd"
            )

    @classmethod
    def read(cls, path: Path, task: Task) -> tuple[str, Predictions]:
        """Return the id of the model and its predictions.

        Raises
        ------
        RunError
            If the table cannot be read or has no column of a label of the task.
        """
        import pyarrow.parquet as parquet

        try:
            _files.open_regular(path).close()
            table = parquet.read_table(path)
            model = json.loads(table.schema.metadata[_METADATA.encode()])["model"]
            ids, patients = (tuple(table.column(key).to_pylist()) for key in _OWN)
            y_true, y_score = (
                np.stack([table.column(key + label).to_numpy() for label in task.labels], axis=1)
                for key in _PREFIXES
            )
            known = (*_OWN, "novelty")
            cells = {
                name: table.column(name).to_pylist()
                for name in table.column_names
                if name not in known and not name.startswith((*_PREFIXES, _THRESHOLD))
            }
            decisions = {name: cells.pop(name) for name in _DECISIONS if name in cells}
            columns = {name.removeprefix("source_"): own for name, own in cells.items()}
            thresholds = {
                (label, name.removeprefix(start)): table.column(name).to_numpy()
                for label in task.labels
                for name in table.column_names
                if name.startswith(start := f"{_THRESHOLD}{label}_")
            }
            if not ((y_score >= 0) & (y_score <= 1)).all():  # also where one is NaN
                raise RunError(
                    f"{path} has probabilities that are not from 0 to 1", remedy="evaluate again"
                )
            if not all(np.isfinite(cuts).all() for cuts in thresholds.values()):
                raise RunError(
                    f"{path} has thresholds that are not finite", remedy="evaluate again"
                )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path} cannot be read",
                received=_files.reason_of(error),
                remedy="evaluate again",
            ) from error
        return model, cls(
            task, ids, patients, y_true, y_score, columns, decisions, thresholds=thresholds
        )


def _of_one_type(cells: Cells) -> Cells:
    """Return a column of numbers unchanged, and another one as text; blank cells are None."""
    values = [None if cell == "" else cell for cell in cells]
    if all(value is None or isinstance(value, int | float) for value in values):
        return values
    return [None if value is None else str(value) for value in values]
