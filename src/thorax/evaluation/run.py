"""Score images through the shipped bundle, and write what that says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thorax import __version__, _files
from thorax._progress import Progress, silent
from thorax.bundle import Bundle, read_bundle
from thorax.data import LeftOut, Manifest, fill_cache, load_dataset
from thorax.errors import LabelError, SourceError, UsageError
from thorax.evaluation.mistakes import balanced_thresholds, rank_mistakes
from thorax.evaluation.summary import summarise
from thorax.records import Finding, Record, Task
from thorax.runtime import Predictor
from thorax.training import open_run
from thorax.training.run import TRAINED_ON

__all__ = ["SCHEMA", "Evaluation", "Mistake", "evaluate", "official_test", "score"]

SCHEMA = 1
_CHUNK = 4096


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

        A call is wrong at the ``balanced`` operating point of its label, as `thorax predict`
        makes it; of a multi-class task, where the most probable class is not the true one. How
        wrong it is: see `thorax.evaluation.mistakes.rank_mistakes`.

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


def evaluate(
    model: Bundle | str | Path,
    data: Manifest | str | Path | Sequence[str | Path] | None = None,
    *,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    replicates: int = 2000,
    progress: Progress = silent,
) -> Evaluation:
    """Evaluate a bundle on images that it was not made from.

    Parameters
    ----------
    model
        A bundle, or the folder of a bundle or run.
    data
        A manifest, all of which is scored; or what `thorax.load_dataset` takes, whose official test
        partition is scored, or all of it where there is none. None takes the test partition of the
        run.
    out
        Where the files go; None takes the folder ``evaluation`` of the run. A folder that holds
        an evaluation is written again for the same bundle and data only.
    cache, workers
        As for `thorax.train`.
    replicates
        Resamples of each bootstrap interval.

    Returns
    -------
    Evaluation
        Also written as ``evaluation.json`` and ``predictions.parquet``.

    Raises
    ------
    UsageError
        If ``data`` or ``out`` is needed and missing, or ``out`` holds another evaluation.
    SourceError, LabelError
        If there is nothing to score, or the labels are not those of the bundle.
    BundleError
        If the bundle cannot be verified.
    """
    path = model.folder if isinstance(model, Bundle) else Path(model)
    is_run = (path / "plan.json").is_file()
    bundle = model if isinstance(model, Bundle) else read_bundle(path)
    if data is None:
        if not is_run:
            raise UsageError(
                "a bundle alone has no images to be evaluated on",
                todo="give a data set, or the run folder that the bundle came from",
            )
        manifest = open_run(path).manifest.select("test")
        partition = "test"
    else:
        manifest, partition = _chosen(data)
    own = out is None and data is None
    if out is None:
        if not is_run:
            raise UsageError("where should the evaluation go?", todo="name a folder with out=")
        out = path / ("evaluation" if data is None else f"evaluation-{_plain(manifest.name)}")
    if not len(manifest):
        raise SourceError(
            f"{manifest.name} has no {partition} images to evaluate on",
            todo="give a data set with labelled images",
        )
    manifest = align(manifest, bundle.task)
    if not own:  # the one within a run follows the run's bundle
        _check_place(Path(out), bundle, manifest)
    folder = _files.make_folder(Path(out))
    scored, probabilities, left_out, hashes = score(
        bundle, manifest, cache=cache, workers=workers, progress=progress
    )
    scored = scored.with_findings(_seen_in_training(path / TRAINED_ON, scored, hashes))
    progress("computing intervals", 0, 1)
    values = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "thorax": __version__,
        "bundle": _describe(bundle),
        "task": {"kind": bundle.task.kind, "labels": [*bundle.task.labels]}
        | {"classes": [*bundle.task.classes]},
        "dataset": {"name": manifest.name, "partition": partition}
        | {"hash": scored.hash, "asked": manifest.hash},
        **summarise(
            scored.label_array(),
            probabilities,
            bundle.task,
            [str(p) for p in scored.patients],
            bundle.operating_points,
            replicates=replicates,
        ),
        "left_out": [{"id": r.id, "reason": r.reason, "what": r.what} for r in left_out],
    }
    _add_determination(values, bundle)
    _files.write_json(folder / "evaluation.json", values)
    _write_predictions(folder / "predictions.parquet", scored, probabilities, bundle)
    progress("computing intervals", 1, 1)
    return Evaluation(folder, values, scored, probabilities)


def _check_place(folder: Path, bundle: Bundle, manifest: Manifest) -> None:
    """Refuse a folder in which another evaluation would be lost."""
    path = folder / "evaluation.json"
    if not path.is_file():
        return
    try:
        stored = _files.read_json(path)
        data, id_ = stored["dataset"], stored["bundle"]["id"]
        # Those before `asked` know only what was left after unreadable files were left out.
        asked = data.get("asked", data["hash"])
        name = data["name"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        other = "an evaluation.json that this version of thorax cannot read"
    else:
        if (id_, asked) == (bundle.id, manifest.hash):
            return
        what = "another bundle" if id_ != bundle.id else "other images, labels or patients"
        other = f"an evaluation of {what} (the data set {name})"
    raise UsageError(
        f"{folder} holds another evaluation, which would be lost",
        received=other,
        todo="name another folder with out=, or remove this one",
    )


def score(
    bundle: Bundle,
    manifest: Manifest,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> tuple[Manifest, NDArray[np.float32], tuple[LeftOut, ...], tuple[str, ...]]:
    """Return the records that became images, their probabilities (n, labels), the others, and
    the SHA-256 of each scored file.
    """
    images = fill_cache(manifest, bundle.pixels, folder=cache, workers=workers, progress=progress)
    left_out = (*manifest.left_out, *images.left_out)
    manifest = manifest.drop(images.left_out)
    if not len(manifest):
        raise SourceError(
            f"none of the images of {manifest.name} could be read",
            received=left_out[0].what,
            todo="see why with: thorax predict FOLDER",
        )
    predictor = Predictor(bundle)
    order = images.positions(manifest.ids)
    parts = []
    for start in range(0, len(order), _CHUNK):
        progress("scoring", start, len(order))
        parts.append(predictor.probabilities(images.gather(order[start : start + _CHUNK])))
    progress("scoring", len(order), len(order))
    hashes = tuple(images.hashes[position] for position in order)
    return manifest, np.concatenate(parts), left_out, hashes


def _seen_in_training(path: Path, scored: Manifest, hashes: Sequence[str]) -> list[Finding]:
    """Find images that the run was trained or validated on."""
    if not path.is_file():
        return []
    seen = set(path.read_text(encoding="ascii").split())
    ids = [r.id for r, digest in zip(scored.records, hashes, strict=True) if digest in seen]
    if not ids:
        return []
    return [
        Finding(
            check="trained-on",
            severity="serious",
            what=f"{len(ids)} of {len(hashes)} images were trained or validated on",
            count=len(ids),
            files=tuple(ids[:200]),
            why="a model knows the images that it was made from; these numbers flatter it",
            todo="evaluate on images that are not in the training or validation partition",
        )
    ]


def align(manifest: Manifest, task: Task) -> Manifest:
    """Return the manifest with its label columns in the bundle's order, names and direction.

    Raises
    ------
    LabelError
        If the data set is not labelled for what the bundle tells apart.
    """
    theirs = {label.casefold(): column for column, label in enumerate(manifest.task.labels)}
    missing = [label for label in task.labels if label.casefold() not in theirs]
    same_classes = {c.casefold() for c in manifest.task.classes} == {
        c.casefold() for c in task.classes
    }
    # Which of two classes is the positive one is the bundle's to say.
    turned = bool(missing) and same_classes and task.kind == manifest.task.kind == "binary"
    if (missing and not turned) or (task.kind != "multilabel" and not same_classes):
        raise LabelError(
            f"{manifest.name} is not labelled for what this bundle tells apart",
            received=f"{', '.join(manifest.task.classes)}; the bundle: {', '.join(task.classes)}",
            todo="rename the class folders or the label columns",
        )
    columns = [theirs.get(label.casefold(), 0) for label in task.labels]
    records = tuple(
        replace(
            record,
            labels=tuple(
                1.0 - record.labels[column] if turned else record.labels[column]
                for column in columns
            ),
        )
        for record in manifest.records
    )
    return replace(manifest, task=task, records=records)


def _chosen(data: Manifest | str | Path | Sequence[str | Path]) -> tuple[Manifest, str]:
    if isinstance(data, Manifest):
        return data, _partition(data)
    roots = [data] if isinstance(data, str | Path) else [*data]
    manifest = official_test(load_dataset(*roots))
    return manifest, _partition(manifest)


def official_test(manifest: Manifest) -> Manifest:
    """Return the official test partition of a data set, or all of it where there is none.

    The rest of a set that has one is what models are made from; scoring it would flatter them.
    """
    test = tuple(record for record in manifest.records if record.official == "test")
    return replace(manifest, records=test) if test else manifest


def _partition(manifest: Manifest) -> str:
    """Name what is scored: one partition, or ``all`` where there are several or none.

    An official partition counts only where it is a test: another set's train folder is no part of
    what this bundle was made from.
    """
    names = {r.partition or ("test" if r.official == "test" else "all") for r in manifest.records}
    return names.pop() if len(names) == 1 else "all"


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name) or "data"


def _describe(bundle: Bundle) -> dict[str, Any]:
    origin = bundle.provenance
    recipe = origin.get("recipe") or {}
    return {
        "id": bundle.id,
        "recipe": recipe.get("name"),
        "created": origin.get("created"),
        "backend": origin.get("backend"),
        "seed": origin.get("seed"),
        "temperature": bundle.temperature,
        "locked_on": origin.get("locked_on"),
        "assumed_prevalence": origin.get("assumed_prevalence"),
        "train": {
            "dataset": origin.get("dataset"),
            "images": origin.get("train_images"),
            "validation_images": origin.get("validation_images"),
        },
    }


def _add_determination(values: dict[str, Any], bundle: Bundle) -> None:
    """Put beside each threshold how firmly validation settled it."""
    for locked in bundle.points:
        firmness = {"low": locked.low, "high": locked.high, "note": locked.note}
        holders = [values, (values.get("labels") or {}).get(locked.point.label) or {}]
        for holder in holders:
            shown = (holder.get("operating_points") or {}).get(locked.point.name)
            if shown is not None and shown.get("label") == locked.point.label:
                shown["determination"] = firmness


def _write_predictions(
    path: Path, manifest: Manifest, probabilities: NDArray[np.float32], bundle: Bundle
) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    labels = manifest.label_array()
    columns: dict[str, Any] = {
        "id": [r.id for r in manifest.records],
        "patient": [r.patient for r in manifest.records],
    }
    for column, label in enumerate(bundle.task.labels):
        columns[f"label_{label}"] = labels[:, column]
        columns[f"probability_{label}"] = probabilities[:, column]
    for name in _column_names(manifest):
        values = [r.columns.get(name) for r in manifest.records]
        if not all(v is None or isinstance(v, int | float) for v in values):
            values = [None if v is None else str(v) for v in values]
        columns[name] = values
    table = pyarrow.table(columns).replace_schema_metadata(
        {"thorax": _files.canonical_json({"schema": SCHEMA, "bundle": bundle.id})}
    )
    with _files.atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")


def _column_names(manifest: Manifest) -> Iterable[str]:
    taken = {"id", "patient"}
    names = dict.fromkeys(name for record in manifest.records for name in record.columns)
    return [n for n in names if n not in taken and not n.startswith(("label_", "probability_"))]
