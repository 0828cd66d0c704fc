"""One bundle on several data sets, side by side: how much of what it can do travels."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainfilm import __version__, _files
from plainfilm._progress import Progress, silent
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.data import Manifest
from plainfilm.errors import SourceError, UsageError
from plainfilm.evaluation.result import Evaluation
from plainfilm.evaluation.run import evaluate, find_run, plain_name
from plainfilm.evaluation.scoring import align
from plainfilm.metrics import Interval, independent_difference
from plainfilm.training import open_run

__all__ = ["METRICS", "SCHEMA", "Validation", "validate"]

SCHEMA = 1
METRICS = ("auroc", "average_precision", "accuracy", "sensitivity", "specificity", "brier")
"""What is laid side by side, each with its interval and its drop."""

_TABLE, _VALUES = "external.csv", "external.json"
_INTERNAL = "internal-validation"
_NOTE = (
    "Thresholds and temperature were chosen on the internal validation images, so its row flatters "
    "whatever needs a threshold or calibration. A drop is the row minus the first one; its "
    "interval takes the two as independent, since they share no patient. A drop may come from "
    "other patients, machines, labels or prevalence: the numbers do not say which."
)


@dataclass(frozen=True, slots=True)
class Validation:
    """What `validate` found.

    Attributes
    ----------
    folder
        Where ``external.json`` and ``external.csv`` lie.
    values
        The content of ``external.json``.
    evaluations
        One for each data set that was given.
    """

    folder: Path
    values: Mapping[str, Any]
    evaluations: tuple[Evaluation, ...]


def validate(
    model: Bundle | str | Path,
    data: Sequence[Manifest],
    *,
    out: str | Path | None = None,
    robustness: bool = True,
    prevalence: float | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    replicates: int = 2000,
    progress: Progress = silent,
) -> Validation:
    """Evaluate a bundle on several data sets and lay them side by side.

    The first rows are the internal validation and the test split of the run that the bundle
    came from, where that run is at hand; a bundle that was shipped alone starts with ``data[0]``.

    Parameters
    ----------
    model
        A bundle, or the folder of a bundle or run.
    data
        The data sets, at least one; all of each is scored.
    out
        Where the files go: each evaluation in a folder of its data set's name, or, where there is
        one data set, ``out`` itself. None takes ``external`` in the run's folder
        (``evaluation-NAME`` where there is one data set).
    robustness, prevalence, cache, workers, replicates
        As for `evaluate`.

    Raises
    ------
    UsageError, SourceError, LabelError, BundleError
        As `evaluate` does.
    """
    if not data:
        raise UsageError("there is no data set to evaluate on", remedy="name one or more")
    path = model.folder if isinstance(model, Bundle) else Path(model)
    bundle = model if isinstance(model, Bundle) else read_bundle(path)
    folder = _folder(path, data, out)
    for manifest in data:
        align(manifest, bundle.task)  # labels that do not fit are told before any image is scored
    names = _names(data)
    done: list[Evaluation] = []
    for manifest, name in zip(data, names, strict=True):
        done.append(
            evaluate(
                # The path, where there is one: its run knows which images it was made from.
                path,
                manifest,
                out=folder if len(data) == 1 else folder / name,
                robustness=robustness,
                prevalence=prevalence,
                cache=cache,
                workers=workers,
                replicates=replicates,
                progress=progress,
            )
        )
    rows: list[dict[str, Any]] = []
    missing: list[str] = []
    home = find_run(path)
    if home is not None and read_bundle(home / "bundle").id == bundle.id:
        options: dict[str, Any] = {"cache": cache, "workers": workers, "replicates": replicates}
        for own in (_validation_row, _test_row):
            try:
                rows += own(home, bundle, folder, progress=progress, **options)
            except SourceError as error:  # its images may have been moved since
                missing.append(f" Not shown: {error.problem}.")
    for one, name in zip(done, names, strict=True):
        row = _row(one.values, "external", one.folder)
        # Two tables may both be called "labels".
        alike = sum(plain_name(manifest.name) == plain_name(row["name"]) for manifest in data) > 1
        rows.append({**row, "name": name} if alike else row)
    values = {
        "schema": SCHEMA,
        "plainfilm": __version__,
        "bundle": done[0].values["bundle"],
        "label": bundle.task.labels[0] if bundle.task.kind == "binary" else None,
        "rows": [_with_drop(row, rows[0] if index else None) for index, row in enumerate(rows)],
        "note": _NOTE + "".join(missing),
    }
    _files.write_json(folder / _VALUES, values)
    _files.write_text(folder / _TABLE, _to_csv(values["rows"]))
    return Validation(folder, values, tuple(done))


def _folder(path: Path, data: Sequence[Manifest], out: str | Path | None) -> Path:
    if out is not None:
        return Path(out)
    if not (path / "plan.json").is_file():
        raise UsageError("where should the evaluation go?", remedy="name a folder with out=")
    return path / ("external" if len(data) > 1 else f"evaluation-{plain_name(data[0].name)}")


def _names(data: Iterable[Manifest]) -> list[str]:
    """Return one folder name for each data set, none twice."""
    names: list[str] = []
    for manifest in data:
        base = plain_name(manifest.name)
        name, number = base, 2
        while name in names or name == _INTERNAL:
            name, number = f"{base}-{number}", number + 1
        names.append(name)
    return names


def _validation_row(
    home: Path, bundle: Bundle, folder: Path, **options: Any
) -> list[dict[str, Any]]:
    """Return the row of the run's own validation split."""
    held = evaluate(
        bundle,
        open_run(home).manifest.select("validation"),
        out=folder / _INTERNAL,
        robustness=False,
        **options,
    )
    return [_row(held.values, "internal validation", held.folder)]


def _test_row(home: Path, bundle: Bundle, _: Path, **options: Any) -> list[dict[str, Any]]:
    """Return the row of the run's own test split, if it has one."""
    manifest = open_run(home).manifest
    own = [record for record in manifest.records if record.split == "test"]
    if not own:
        return []
    place = home / "evaluation"
    values = _stored(place / "evaluation.json", bundle)
    if values is None:
        values = evaluate(home, **options).values
    official = any(record.official == "test" for record in own)
    return [_row(values, "official test" if official else "internal test", place)]


def _stored(path: Path, bundle: Bundle) -> Mapping[str, Any] | None:
    """Return an evaluation that was made of this bundle by this version, or None."""
    try:
        values: Mapping[str, Any] = _files.read_json(path)
        same = values["bundle"]["id"] == bundle.id and values["plainfilm"] == __version__
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values if same else None


def _row(values: Mapping[str, Any], role: str, folder: Path) -> dict[str, Any]:
    line = (values.get("curves") or {}).get("calibration") or {}
    rejection = values.get("rejection") or {}
    positives = values.get("positives")
    return {
        "name": values["dataset"]["name"],
        "role": role,
        "folder": folder.name,
        "n": values["n"],
        "patients": values["patients"],
        "positives": positives,
        "prevalence": values["prevalence"],
        **{name: values["metrics"][name] for name in METRICS if name in values["metrics"]},
        "calibration_slope": line.get("slope"),
        "in_the_large": line.get("in_the_large"),
        "rejected": rejection.get("rejected"),
        "indeterminate": rejection.get("indeterminate"),
    }


def _with_drop(row: Mapping[str, Any], first: Mapping[str, Any] | None) -> dict[str, Any]:
    if first is None:
        return {**row, "drop": None}
    drop = {
        name: independent_difference(_read(row[name]), _read(first[name])).to_json()
        for name in METRICS
        if name in row and name in first
    }
    return {**row, "drop": drop}


def _read(values: Mapping[str, Any]) -> Interval:
    """Return the interval that was written as JSON."""
    value, low, high = (
        math.nan if values[name] is None else float(values[name])
        for name in ("value", "low", "high")
    )
    return Interval(value, low, high, values["method"], values.get("reason"))


def _to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    ends = ("value", "low", "high")
    writer.writerow(
        ["name", "role", "n", "patients", "positives", "prevalence"]
        + [f"{name}_{end}" for name in METRICS for end in ends]
        + [f"{name}_drop_{end}" for name in METRICS for end in ends]
    )
    for row in rows:
        drop = row["drop"] or {}
        cells = [row[key] for key in ("name", "role", "n", "patients", "positives", "prevalence")]
        for holder in (row, drop):
            cells += [(holder.get(name) or {}).get(end) for name in METRICS for end in ends]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue()
