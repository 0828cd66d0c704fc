"""Reads and writes ``predictions.parquet``, the probabilities of every image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm import _files
from plainfilm.bundle import Bundle
from plainfilm.errors import RunError
from plainfilm.evaluation.scoring import Scored

SCHEMA = 1
_METADATA = "plainfilm"


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions and ground truth by image, and the id of the bundle that predicted."""

    bundle: str
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    labels: NDArray[np.float32]  # (n, labels) of 1, 0 or NaN
    probabilities: NDArray[np.float32]  # (n, labels)

    @classmethod
    def read(cls, path: Path, labels: Sequence[str]) -> Predictions:
        """Read the columns of the given labels; raise a `RunError` where that is impossible."""
        import pyarrow.parquet as parquet

        try:
            table = parquet.read_table(path)
            bundle = json.loads(table.schema.metadata[_METADATA.encode()])["bundle"]
            ids, patients = (tuple(table.column(key).to_pylist()) for key in ("id", "patient"))
            y_true, y_score = (
                np.stack([table.column(f"{key}_{label}").to_numpy() for label in labels], axis=1)
                for key in ("label", "probability")
            )
            if not np.isfinite(y_score).all():
                raise RunError(f"{path} has probabilities that are NaN", remedy="evaluate again")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path} cannot be read",
                received=f"{type(error).__name__}: {error}",
                remedy="evaluate again",
            ) from error
        return cls(bundle, ids, patients, y_true, y_score)


def write_predictions(path: Path, scored: Scored, bundle: Bundle) -> None:
    """Write one row per image: id, patient, labels, probabilities, novelty and further columns."""
    import pyarrow
    import pyarrow.parquet as parquet

    records, labels = scored.manifest.records, scored.manifest.label_array()
    columns: dict[str, Any] = {key: [getattr(r, key) for r in records] for key in ("id", "patient")}
    for column, label in enumerate(bundle.task.labels):
        columns[f"label_{label}"] = labels[:, column]
        columns[f"probability_{label}"] = scored.probabilities[:, column]
    if scored.novelty is not None:
        columns["novelty"] = scored.novelty
    for name in dict.fromkeys(name for record in records for name in record.columns):
        if name in columns or name.startswith(("label_", "probability_")):
            continue
        values = [record.columns.get(name) for record in records]
        if not all(value is None or isinstance(value, int | float) for value in values):
            values = [None if value is None else str(value) for value in values]
        columns[name] = values
    origin = _files.canonical_json({"schema": SCHEMA, "bundle": bundle.id})
    table = pyarrow.table(columns).replace_schema_metadata({_METADATA: origin})
    with _files.atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")
