"""Scores the images of a manifest, and reads and writes ``predictions.parquet``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm import _files
from plainfilm._progress import Progress, silent
from plainfilm.bundle import Bundle
from plainfilm.data import Cache, LeftOut, Manifest, fill_cache
from plainfilm.data.sources.classes.names import fold_class
from plainfilm.errors import LabelError, RunError, SourceError
from plainfilm.records import Task
from plainfilm.runtime import Predictor

SCHEMA = 1
_METADATA = "plainfilm"
_CHUNK = 4096
_DECISIONS = ("predicted", "rejected", "indeterminate", "reason", "problem")


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The records whose files could be read, and the predictions for them in the same order."""

    manifest: Manifest
    probabilities: NDArray[np.float32]  # (n, labels)
    novelty: NDArray[np.float32] | None  # (n,); None where the bundle does not compute it
    metadata: tuple[Mapping[str, str | float], ...]
    hashes: tuple[str, ...]  # SHA-256 of each file
    left_out: tuple[LeftOut, ...]
    decisions: Mapping[str, tuple[Any, ...]]  # (n,) each: the other columns of `Prediction.to_row`
    images: Cache


def score(
    bundle: Bundle,
    manifest: Manifest,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Scored:
    """Score every record; raise a `SourceError` if none of the files could be read."""
    images = fill_cache(manifest, bundle.pixels, folder=cache, workers=workers, progress=progress)
    left_out = (*manifest.left_out, *images.left_out)
    manifest = manifest.drop(images.left_out)
    if not len(manifest) and {image.reason for image in images.left_out} == {"missing"}:
        raise SourceError(
            f"the images of {manifest.name} are not where they were",
            received=images.left_out[0].path,
            remedy="name the folder where they are now with images=",
        )
    if not len(manifest):
        raise SourceError(
            f"none of the images of {manifest.name} could be read",
            received=left_out[0].problem,
            remedy="see why with: plainfilm predict FOLDER",
        )
    predictor = Predictor(bundle)
    order = images.positions(manifest.ids)
    metadata = tuple(images.metadata[position] for position in order)
    values: list[tuple[Any, ...]] = []
    for start in range(0, len(order), _CHUNK):
        progress("scoring", start, len(order))
        part = slice(start, start + _CHUNK)
        for one in predictor.predict_pixels(images.gather(order[part]), metadata[part]):
            row = one.to_row(())
            scores = [one.probabilities[label] for label in predictor.labels]
            values.append((scores, one.novelty, *(row[name] for name in _DECISIONS)))
    progress("scoring", len(order), len(order))
    probabilities, novelty, *decisions = zip(*values, strict=True)
    return Scored(
        manifest,
        np.array(probabilities, np.float32),
        None if novelty[0] is None else np.array(novelty, np.float32),
        metadata,
        tuple(images.hashes[position] for position in order),
        left_out,
        dict(zip(_DECISIONS, decisions, strict=True)),
        images,
    )


def align(manifest: Manifest, task: Task) -> Manifest:
    """Return the manifest with its label columns in the bundle's order, names and direction.

    A data set may lack classes of the bundle. Raises a `LabelError` if its labels or classes are
    not among those of the bundle.
    """
    given = {one.labels for one in manifest.records}
    if task.kind == "multilabel":
        theirs = {label.casefold(): column for column, label in enumerate(manifest.task.labels)}
        if any(label.casefold() not in theirs for label in task.labels):
            raise _misfit(manifest, manifest.task.classes, task)
        columns = [theirs[label.casefold()] for label in task.labels]
        rows = {labels: tuple(labels[column] for column in columns) for labels in given}
    else:
        # By name: the bundle defines which class is the positive one.
        own = {fold_class(name): name for name in task.classes}
        names = {labels: manifest.task.class_of(labels) for labels in given}
        known = {name for labels, name in names.items() if not any(map(math.isnan, labels))}
        if manifest.task.kind == "multilabel" or any(fold_class(one) not in own for one in known):
            raise _misfit(manifest, sorted(known), task)
        rows = {
            labels: tuple(
                float(own[fold_class(name)] == label) if name in known else math.nan
                for label in task.labels
            )
            for labels, name in names.items()
        }
    records = tuple(replace(one, labels=rows[one.labels]) for one in manifest.records)
    return replace(manifest, task=task, records=records)


def _misfit(manifest: Manifest, received: Sequence[str], task: Task) -> LabelError:
    return LabelError(
        f"the labels of {manifest.name} are not those of the bundle",
        received=f"{', '.join(received)}; the bundle: {', '.join(task.classes)}",
        remedy="give class_map= with the names of the bundle",
    )


def official_test(manifest: Manifest) -> Manifest:
    """Return the official test split of a data set, or all of it where there is none.

    Models are trained on the other splits, and results on those would be too optimistic.
    """
    test = tuple(record for record in manifest.records if record.official == "test")
    return replace(manifest, records=test) if test else manifest


def name_split(manifest: Manifest) -> str:
    """Return the name of the split of all records, or ``all`` where there are several or none.

    Of official splits only the test split counts: the training folder of another data set is not
    the training split of this bundle.
    """
    names = {r.split or ("test" if r.official == "test" else "all") for r in manifest.records}
    return names.pop() if len(names) == 1 else "all"


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions and ground truth by image, and the id of the bundle that predicted."""

    bundle: str
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    labels: NDArray[np.float32]  # (n, labels) of 1, 0 or NaN
    probabilities: NDArray[np.float32]  # (n, labels)
    rejected: NDArray[np.bool_]  # (n,)

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
            rejected = np.zeros(len(ids), bool)
            if "rejected" in table.column_names:
                rejected = np.array(table.column("rejected").to_pylist(), bool)
            if not np.isfinite(y_score).all():
                raise RunError(f"{path} has probabilities that are NaN", remedy="evaluate again")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path} cannot be read",
                received=f"{type(error).__name__}: {error}",
                remedy="evaluate again",
            ) from error
        return cls(bundle, ids, patients, y_true, y_score, rejected)


def write_predictions(path: Path, scored: Scored, bundle: Bundle) -> None:
    """Write one row per image: id, patient, labels, prediction and further columns."""
    import pyarrow
    import pyarrow.parquet as parquet

    records, labels = scored.manifest.records, scored.manifest.label_array()
    columns: dict[str, Any] = {key: [getattr(r, key) for r in records] for key in ("id", "patient")}
    for column, label in enumerate(bundle.task.labels):
        columns[f"label_{label}"] = labels[:, column]
        columns[f"probability_{label}"] = scored.probabilities[:, column]
    if scored.novelty is not None:
        columns["novelty"] = scored.novelty
    columns |= {name: list(values) for name, values in scored.decisions.items()}
    for name in dict.fromkeys(name for record in records for name in record.columns):
        if name in ("id", "patient") or name.startswith(("label_", "probability_")):
            continue
        values = [record.columns.get(name) for record in records]
        if not all(value is None or isinstance(value, int | float) for value in values):
            values = [None if value is None else str(value) for value in values]
        columns[f"source_{name}" if name in columns else name] = values
    origin = _files.canonical_json({"schema": SCHEMA, "bundle": bundle.id})
    table = pyarrow.table(columns).replace_schema_metadata({_METADATA: origin})
    with _files.atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")
