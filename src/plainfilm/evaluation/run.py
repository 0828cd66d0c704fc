"""Evaluate a bundle: score images through what is shipped, and write what that says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plainfilm import __version__, _files
from plainfilm._progress import Progress, silent
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import SourceError, UsageError
from plainfilm.evaluation.prevalence import check_prevalence, describe_prevalence
from plainfilm.evaluation.rejection import describe_rejection
from plainfilm.evaluation.result import SCHEMA, Evaluation, write_predictions
from plainfilm.evaluation.robustness import measure_robustness
from plainfilm.evaluation.scoring import Scored, align, name_split, official_test, score
from plainfilm.evaluation.subgroups import describe_subgroups
from plainfilm.evaluation.summary import summarise
from plainfilm.records import Finding
from plainfilm.runtime import Predictor
from plainfilm.training import open_run
from plainfilm.training.run import TRAINED_ON

__all__ = ["evaluate", "find_run", "plain_name"]

_MANIFEST = "manifest.parquet"


def evaluate(
    model: Bundle | str | Path,
    data: Manifest | str | Path | Sequence[str | Path] | None = None,
    *,
    out: str | Path | None = None,
    robustness: bool = True,
    prevalence: float | None = None,
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
        A manifest, all of which is scored; or what `plainfilm.load_dataset` takes, whose official
        test split is scored, or all of it where there is none. None takes the test split
        of the run.
    out
        Where the files go; None takes the folder ``evaluation`` of the run. A folder that holds
        an evaluation is written again for the same bundle and data only.
    robustness
        Whether to score the images under graded disturbances as well, which takes about as long
        as everything else.
    prevalence
        A share of positives, 0 to 1, for which probabilities are corrected and PPV and NPV are
        told as well; None leaves that out.
    cache, workers
        As for `plainfilm.train`.
    replicates
        Resamples of each bootstrap interval.

    Returns
    -------
    Evaluation
        Also written as ``evaluation.json``, ``predictions.parquet`` and ``manifest.parquet``.

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
    bundle = model if isinstance(model, Bundle) else read_bundle(path)
    if prevalence is not None:
        check_prevalence(bundle, prevalence)
    manifest, split = _asked(path, data)
    folder = _place(path, manifest, own=data is None, out=out)
    if not len(manifest):
        raise SourceError(
            f"{manifest.name} has no {split} images to evaluate on",
            remedy="give a data set with labelled images",
        )
    manifest = align(manifest, bundle.task)
    if out is not None or data is not None:  # the one within a run follows the run's bundle
        _check_place(folder, bundle, manifest)
    _files.make_folder(folder)
    scored = score(bundle, manifest, cache=cache, workers=workers, progress=progress)
    found = scored.manifest.with_findings(_seen_in_training(path, scored))
    progress("computing intervals", 0, 1)
    values = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "plainfilm": __version__,
        "bundle": _describe(bundle),
        "task": {"kind": bundle.task.kind, "labels": [*bundle.task.labels]}
        | {"classes": [*bundle.task.classes]},
        "dataset": {"name": manifest.name, "split": split}
        | {"hash": found.hash, "asked": manifest.hash},
        **_measure(bundle, scored, replicates, prevalence),
        "left_out": [
            {"id": r.id, "reason": r.reason, "problem": r.problem} for r in scored.left_out
        ],
    }
    progress("computing intervals", 1, 1)
    if robustness:
        values["robustness"] = _disturb(bundle, found, cache, workers, progress)
    _files.write_json(folder / "evaluation.json", values)
    write_predictions(folder / "predictions.parquet", scored, bundle)
    found.write(folder / _MANIFEST)
    return Evaluation(folder, values, found, scored.probabilities)


def find_run(path: Path) -> Path | None:
    """Return the folder of the run that a bundle or run folder belongs to, or None."""
    for place in (path, path.parent):
        if (place / "plan.json").is_file() and (place / "bundle").is_dir():
            return place
    return None


def _asked(
    path: Path, data: Manifest | str | Path | Sequence[str | Path] | None
) -> tuple[Manifest, str]:
    """Return the records that are to be scored, and the name of their split."""
    if data is None:
        if not (path / "plan.json").is_file():
            raise UsageError(
                "a bundle alone has no images to be evaluated on",
                remedy="give a data set, or the run folder that the bundle came from",
            )
        return open_run(path).manifest.select("test"), "test"
    if isinstance(data, Manifest):
        return data, name_split(data)
    roots = [data] if isinstance(data, str | Path) else [*data]
    manifest = official_test(load_dataset(*roots))
    return manifest, name_split(manifest)


def _place(path: Path, manifest: Manifest, *, own: bool, out: str | Path | None) -> Path:
    """Return the folder for the evaluation."""
    if out is not None:
        return Path(out)
    if not (path / "plan.json").is_file():
        raise UsageError("where should the evaluation go?", remedy="name a folder with out=")
    return path / ("evaluation" if own else f"evaluation-{plain_name(manifest.name)}")


def plain_name(name: str) -> str:
    """Return a name that is safe as that of a folder."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name) or "data"


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
        other = "an evaluation.json that this version of plainfilm cannot read"
    else:
        if (id_, asked) == (bundle.id, manifest.hash):
            return
        what = "another bundle" if id_ != bundle.id else "other images, labels or patients"
        other = f"an evaluation of {what} (the data set {name})"
    raise UsageError(
        f"{folder} holds another evaluation, which would be lost",
        received=other,
        remedy="name another folder with out=, or remove this one",
    )


def _measure(
    bundle: Bundle, scored: Scored, replicates: int, prevalence: float | None
) -> dict[str, Any]:
    """Return every number that needs no further image."""
    manifest, labels = scored.manifest, scored.manifest.label_array()
    patients = [str(patient) for patient in manifest.patients]
    values = summarise(
        labels,
        scored.probabilities,
        bundle.task,
        patients,
        bundle.operating_points,
        replicates=replicates,
    )
    _add_determination(values, bundle)
    values["subgroups"] = describe_subgroups(
        manifest,
        scored.probabilities,
        bundle.operating_points,
        metadata=_by_name(scored.metadata),
        replicates=replicates,
    )
    if bundle.rejection is not None or bundle.indeterminate:
        values["rejection"] = describe_rejection(
            bundle,
            labels,
            scored.probabilities,
            scored.novelty,
            patients,
            [record.id for record in manifest.records],
            replicates=replicates,
        )
    if prevalence is not None:
        values["at_prevalence"] = describe_prevalence(
            bundle, labels, scored.probabilities, patients, prevalence, replicates=replicates
        )
    return values


def _by_name(metadata: Sequence[Mapping[str, str | float]]) -> dict[str, list[str | float | None]]:
    names = dict.fromkeys(name for one in metadata for name in one)
    return {name: [one.get(name) for one in metadata] for name in names}


def _disturb(
    bundle: Bundle,
    manifest: Manifest,
    cache: str | Path | None,
    workers: int | None,
    progress: Progress,
) -> dict[str, Any]:
    return measure_robustness(
        Predictor(bundle), manifest, cache=cache, workers=workers, progress=progress
    )


def _seen_in_training(path: Path, scored: Scored) -> list[Finding]:
    """Find images that the run was trained or validated on."""
    run = find_run(path)
    if run is None or not (run / TRAINED_ON).is_file():
        return []
    seen = set((run / TRAINED_ON).read_text(encoding="ascii").split())
    pairs = zip(scored.manifest.records, scored.hashes, strict=True)
    ids = [record.id for record, digest in pairs if digest in seen]
    if not ids:
        return []
    return [
        Finding(
            check="trained-on",
            severity="serious",
            problem=f"{len(ids)} of {len(scored.hashes)} images were trained or validated on",
            count=len(ids),
            files=tuple(ids[:200]),
            consequence="a model knows the images that it was made from; these numbers flatter it",
            remedy="evaluate on images that are not in the training or validation split",
        )
    ]


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
