"""Two evaluations of the same images: which model is better, by how much, and could one tell?"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm import __version__, _files
from plainfilm.errors import UsageError
from plainfilm.evaluation.pairing import Side, check_same, describe_side, read_side
from plainfilm.metrics import (
    BOOTSTRAP_METRICS,
    Interval,
    PairedTest,
    clustered_bootstrap,
    clustered_difference,
    delong_test,
    detectable_difference,
    holm,
    judge_margin,
    mcnemar_test,
)

__all__ = ["METRICS", "SCHEMA", "Comparison", "compare"]

SCHEMA = 1
METRICS = ("auroc", "average_precision", "brier", "accuracy", "sensitivity", "specificity")
"""What is compared unless something else is asked for."""

_LOWER_IS_BETTER = frozenset({"brier", "log_loss", "lr_negative"})
# How far two values of a metric can be apart; 1 unless it stands here.
_MOST = {"mcc": 2.0, "log_loss": math.inf, "lr_positive": math.inf, "lr_negative": math.inf}
_TESTED = ("auroc", "accuracy", "sensitivity", "specificity")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    values
        The content of ``comparison.json``.
    folder
        Where that and ``comparison.csv`` lie; None where nothing was written.
    """

    values: Mapping[str, Any]
    folder: Path | None


def compare(
    first: str | Path,
    second: str | Path,
    *,
    metrics: Sequence[str] = METRICS,
    margins: Mapping[str, float] | None = None,
    out: str | Path | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two models by their evaluations of the same images.

    Parameters
    ----------
    first, second
        Folders of evaluations, or of runs, whose ``evaluation`` is taken. A difference is the
        second less the first.
    metrics
        Names of `plainfilm.metrics.BOOTSTRAP_METRICS`. Those that need calls take each model's own
        ``balanced`` operating point, which was locked on its validation.
    margins
        Metric to how much worse the second may be and still count as no worse; fixed before
        looking.
    out
        Folder for ``comparison.json`` and ``comparison.csv``; None writes nothing.
    replicates, seed
        Of the bootstrap.

    Raises
    ------
    UsageError
        If a folder holds no evaluation, or the two are not of the same images, patients and
        labels, or a metric or margin cannot be used.
    """
    margins = dict(margins or {})
    metrics = tuple(dict.fromkeys(metrics))  # one named twice would be tested twice
    _check(metrics, margins)
    one, other = read_side(Path(first)), read_side(Path(second))
    check_same(one, other)
    labels = {
        label: _label(one, other, label, metrics, margins, replicates, seed) for label in one.labels
    }
    tested = [
        (test, row) for rows in labels.values() for row in rows if (test := row["p"]) is not None
    ]
    for (_, row), p in zip(tested, holm([test for test, _ in tested]), strict=True):
        row["p_adjusted"] = p
    values = {
        "schema": SCHEMA,
        "plainfilm": __version__,
        "first": describe_side(one),
        "second": describe_side(other),
        "dataset": one.values["dataset"],
        "n": len(one.ids),
        "patients": len(set(one.patients)),
        "tests": len(tested),
        "labels": labels,
    }
    folder = None if out is None else _files.make_folder(Path(out))
    if folder is not None:
        _files.write_json(folder / "comparison.json", values)
        _files.write_text(folder / "comparison.csv", _to_csv(labels))
    return Comparison(values, folder)


def _check(metrics: Sequence[str], margins: Mapping[str, float]) -> None:
    for name in (*metrics, *margins):
        if name not in BOOTSTRAP_METRICS:
            raise UsageError(
                "there is no such metric",
                received=name,
                remedy=f"one of {', '.join(BOOTSTRAP_METRICS)}",
            )
    for name, margin in margins.items():
        if name not in metrics:
            raise UsageError(f"a margin is given for {name}, which is not compared")
        if not (margin > 0 and math.isfinite(margin)):
            raise UsageError(f"the margin of {name} must be above 0", received=margin)


def _label(
    one: Side,
    other: Side,
    label: str,
    metrics: Sequence[str],
    margins: Mapping[str, float],
    replicates: int,
    seed: int,
) -> list[dict[str, Any]]:
    truth = one.labels[label]
    clustered = len(set(one.patients)) < len(one.patients)
    patients = np.asarray(one.patients) if clustered else None
    chances = (one.chances[label], other.chances[label])
    cuts = (one.threshold(label), other.threshold(label))
    known = truth[~np.isnan(truth)]
    rows = []
    for name in metrics:
        needs_calls = name not in (
            "auroc",
            "average_precision",
            "partial_auroc",
            "brier",
            "log_loss",
        )
        if needs_calls and None in cuts:
            rows.append(_missing(name, "no balanced operating point is locked for this label"))
            continue
        if len(set(known)) < 2:
            rows.append(_missing(name, "one class is missing"))
            continue
        thresholds = (cuts[0] or 0.0, cuts[1] or 0.0)
        test = _test(name, truth, chances, thresholds, patients)
        gap = clustered_difference(
            name, truth, *chances, patients,
            thresholds=thresholds, replicates=replicates, seed=seed,
        )  # fmt: skip
        # The formula is steadier than a bootstrap where there is one.
        gap = test.difference if test is not None and name == "auroc" else gap
        row: dict[str, Any] = {"metric": name, "higher_is_better": name not in _LOWER_IS_BETTER}
        for key, values, cut in zip(("first", "second"), chances, thresholds, strict=True):
            row[key] = clustered_bootstrap(
                name, truth, values, patients, threshold=cut, replicates=replicates, seed=seed
            ).to_json()
        row |= {"difference": gap.to_json(), **_tested(test), **_detectable(name, test, gap)}
        margin = margins.get(name)
        row["margin"] = margin
        row["verdict"] = (
            None
            if margin is None
            else judge_margin(gap, margin, higher_is_better=name not in _LOWER_IS_BETTER)
        )
        rows.append(row)
    return rows


def _missing(name: str, why: str) -> dict[str, Any]:
    nothing = Interval(math.nan, math.nan, math.nan, "none", why).to_json()
    return {
        "metric": name,
        "higher_is_better": name not in _LOWER_IS_BETTER,
        **dict.fromkeys(("first", "second", "difference"), nothing),
        **dict.fromkeys(("p", "p_adjusted", "test", "detectable", "margin", "verdict")),
    }


def _test(
    name: str,
    truth: NDArray[np.float64],
    chances: tuple[NDArray[np.float64], NDArray[np.float64]],
    thresholds: tuple[float, float],
    patients: NDArray[np.str_] | None,
) -> PairedTest | None:
    """Return the paired test of a metric that has one."""
    if name == "auroc":
        return delong_test(truth, *chances, patients)
    if name not in _TESTED:
        return None
    where = {"accuracy": ~np.isnan(truth), "sensitivity": truth == 1, "specificity": truth == 0}
    rows = where[name]
    right = [
        (values[rows] >= cut) == (truth[rows] == 1)
        for values, cut in zip(chances, thresholds, strict=True)
    ]
    keys = None if patients is None else patients[rows]
    if keys is not None and len(np.unique(keys)) == len(keys):
        keys = None
    return mcnemar_test(right[0], right[1], keys)


def _tested(test: PairedTest | None) -> dict[str, Any]:
    if test is None or not math.isfinite(test.p):
        return {"p": None, "p_adjusted": None, "test": None if test is None else test.method}
    return {"p": test.p, "p_adjusted": None, "test": test.method}


def _detectable(name: str, test: PairedTest | None, gap: Interval) -> dict[str, Any]:
    """Return the difference that this many images would have shown with 80 % power.

    None where the error is not known, or where it would be more than the metric can differ by.
    """
    error = math.nan if test is None else test.standard_error
    if not error > 0 and math.isfinite(gap.high - gap.low):
        error = (gap.high - gap.low) / (2 * 1.959964)
    found = detectable_difference(error) if error > 0 else math.inf
    return {"detectable": found if found < _MOST.get(name, 1.0) else None}


def _to_csv(labels: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    ends = ("value", "low", "high")
    parts = ("first", "second", "difference")
    last = ("p", "p_adjusted", "test", "detectable", "margin", "verdict")
    writer.writerow(["label", "metric", *(f"{p}_{e}" for p in parts for e in ends), *last])
    for label, rows in labels.items():
        for row in rows:
            cells = [row[part][end] for part in parts for end in ends]
            cells += [row[key] for key in last]
            written = ["" if cell is None else cell for cell in cells]
            writer.writerow([label, row["metric"], *written])
    return text.getvalue()
