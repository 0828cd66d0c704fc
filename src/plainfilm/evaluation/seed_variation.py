"""How much results vary from one training to the next, beside what the test images leave open."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from plainfilm import __version__, _files
from plainfilm.evaluation.result import Evaluation
from plainfilm.training import Run

__all__ = ["METRICS", "SCHEMA", "write_spread"]

SCHEMA = 1
METRICS = ("auroc", "average_precision", "accuracy", "sensitivity", "specificity", "brier")


def write_spread(
    folder: str | Path,
    runs: Sequence[tuple[Run, Evaluation | Mapping[str, Any]]],
    ensemble: tuple[Run, Evaluation | Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Write ``seeds.json`` and ``seeds.csv``, and return the content of the former.

    Parameters
    ----------
    folder
        Above the runs.
    runs
        Two or more, each with its evaluation (or its values) on the same test images.
    ensemble
        The bundle of all of them, if there is one.
    """
    folder = Path(folder)
    rows = [_row(run, _values(found)) for run, found in runs]
    spread = {
        name: found
        for name in METRICS
        if (found := _spread([row[name] for row in rows if name in row])) is not None
    }
    values = {
        "schema": SCHEMA,
        "plainfilm": __version__,
        "seeds": [row["seed"] for row in rows],
        "runs": [row["folder"] for row in rows],
        "rows": rows,
        "spread": spread,
        "ensemble": None if ensemble is None else _row(ensemble[0], _values(ensemble[1])),
        "note": _note(spread, len(rows)),
    }
    _files.write_json(folder / "seeds.json", values)
    _files.write_text(folder / "seeds.csv", _to_csv(values))
    return values


def _values(found: Evaluation | Mapping[str, Any]) -> Mapping[str, Any]:
    return found.values if isinstance(found, Evaluation) else found


def _row(run: Run, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "seed": run.plan["identity"]["seed"],
        "folder": run.folder.name,
        "bundle": run.bundle.id,
        **{name: values["metrics"][name] for name in METRICS if name in values["metrics"]},
    }


def _spread(metrics: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """Return mean, standard deviation and range over seeds, and half the mean interval."""
    known = [metric["value"] for metric in metrics if metric["value"] is not None]
    if len(known) < 2:
        return None
    halves = [
        (metric["high"] - metric["low"]) / 2
        for metric in metrics
        if metric["low"] is not None and metric["high"] is not None
    ]
    found = {"mean": mean(known), "sd": stdev(known), "low": min(known), "high": max(known)}
    return {**found, "sampling_half_width": mean(halves)} if halves else found


def _note(spread: Mapping[str, Mapping[str, float]], count: int) -> str:
    area = spread.get("auroc") or {}
    sampling = area.get("sampling_half_width")
    if sampling is None:
        return f"{count} trainings of the same recipe on the same splits."
    reach = 2 * area["sd"]
    which = (
        "the choice of test images leaves more open than the choice of seed"
        if sampling > reach
        else "the choice of seed matters as much as the choice of test images"
    )
    return (
        f"{count} trainings of the same recipe on the same splits. The AUROC varies by "
        f"{area['sd']:.3f} (standard deviation) from seed to seed; the test images alone leave "
        f"± {sampling:.3f} open: {which}. An interval of one training holds the latter only."
    )


def _to_csv(values: Mapping[str, Any]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    ends = ("value", "low", "high")
    writer.writerow(["run", "bundle", *(f"{name}_{end}" for name in METRICS for end in ends)])
    rows = [*values["rows"], *([values["ensemble"]] if values["ensemble"] else [])]
    for row in rows:
        cells = [(row.get(name) or {}).get(end) for name in METRICS for end in ends]
        written = ["" if cell is None else cell for cell in cells]
        writer.writerow([row["folder"], row["bundle"], *written])
    return text.getvalue()
