"""What an evaluation leaves: its values, its predictions by image, and its mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm import _files
from plainfilm.bundle import Bundle
from plainfilm.data import Manifest
from plainfilm.evaluation.mistakes import balanced_thresholds, rank_mistakes
from plainfilm.evaluation.scoring import Scored
from plainfilm.records import Record

__all__ = ["SCHEMA", "Evaluation", "Mistake", "write_predictions"]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image that the model got wrong.

    Attributes
    ----------
    record
        The image, with its true labels.
    label
        The label that it is wrong in; of a multi-class task, the class it was called.
    probability
        What the model gave that label, 0 to 1.
    threshold
        From which probability on the label is called; None for a multi-class task.
    """

    record: Record
    label: str
    probability: float
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found.

    Attributes
    ----------
    folder
        Where ``evaluation.json`` and ``predictions.parquet`` lie.
    values
        The content of ``evaluation.json``.
    manifest
        The records that were scored.
    probabilities
        (n, labels), in the order of the records.
    """

    folder: Path
    values: Mapping[str, Any]
    manifest: Manifest
    probabilities: NDArray[np.float32]

    def worst(self, count: int = 12) -> tuple[Mistake, ...]:
        """Return the images that are called wrongly, the worst first.

        A call is wrong at the ``balanced`` operating point of its label, as `plainfilm predict`
        makes it; of a multi-class task, where the most probable class is not the true one. How
        wrong it is: see `plainfilm.evaluation.mistakes.rank_mistakes`.

        Parameters
        ----------
        count
            How many at most, 0 or more. Labels without a balanced operating point and unknown
            labels (NaN) count for nothing, so there may be fewer, or none; each image is there
            once, with the label that it is most wrong in.
        """
        task, thresholds = self.manifest.task, balanced_thresholds(self.values)
        ranked = rank_mistakes(self.manifest.label_array(), self.probabilities, task, thresholds)
        return tuple(
            Mistake(
                self.manifest.records[row],
                task.labels[column],
                float(self.probabilities[row, column]),
                None if task.kind == "multiclass" else thresholds[task.labels[column]],
            )
            for row, column in ranked[:count]
        )


def write_predictions(path: Path, scored: Scored, bundle: Bundle) -> None:
    """Write one row an image: id, patient, labels, probabilities, novelty and what is known."""
    import pyarrow
    import pyarrow.parquet as parquet

    manifest, labels = scored.manifest, scored.manifest.label_array()
    columns: dict[str, Any] = {
        "id": [r.id for r in manifest.records],
        "patient": [r.patient for r in manifest.records],
    }
    for column, label in enumerate(bundle.task.labels):
        columns[f"label_{label}"] = labels[:, column]
        columns[f"probability_{label}"] = scored.probabilities[:, column]
    if scored.novelty is not None:
        columns["novelty"] = scored.novelty
    for name in _column_names(manifest, taken=frozenset(columns)):
        values = [r.columns.get(name) for r in manifest.records]
        if not all(v is None or isinstance(v, int | float) for v in values):
            values = [None if v is None else str(v) for v in values]
        columns[name] = values
    table = pyarrow.table(columns).replace_schema_metadata(
        {"plainfilm": _files.canonical_json({"schema": SCHEMA, "bundle": bundle.id})}
    )
    with _files.atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")


def _column_names(manifest: Manifest, *, taken: frozenset[str]) -> Iterable[str]:
    names = dict.fromkeys(name for record in manifest.records for name in record.columns)
    return [n for n in names if n not in taken and not n.startswith(("label_", "probability_"))]
