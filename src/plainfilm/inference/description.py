"""Public description of a bundle: labels, thresholds and test results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plainfilm._files import read_json
from plainfilm.bundle import Bundle
from plainfilm.records import LockedPoint

__all__ = ["NOTICE", "describe", "read_evaluation"]

NOTICE = "Not a medical device. For research and teaching only; do not use it for decisions about patients."


def describe(
    bundle: Bundle, identity: Mapping[str, str], evaluation: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the description of a bundle with its evaluation, if there is one."""
    task, pixels, origin = bundle.task, bundle.pixels, bundle.provenance
    prevalence = origin.get("training_prevalence")
    if isinstance(prevalence, Mapping) and len(prevalence) == 1:
        [prevalence] = prevalence.values()
    return {
        "bundle": dict(identity),
        "task": {"kind": task.kind, "labels": [*task.labels], "classes": [*task.classes]},
        "pixels": {
            "size": pixels.size,
            "geometry": pixels.geometry,
            "trim": pixels.trim,
            "frame": pixels.frame,
        },
        "operating_points": [_point(locked) for locked in bundle.points],
        "indeterminate": {
            label: {"low": band.low, "high": band.high, "rule": band.rule}
            for label, band in bundle.indeterminate.items()
        },
        "rejection": None
        if bundle.rejection is None
        else {"threshold": bundle.rejection.threshold, "rule": bundle.rejection.rule},
        "assumed_prevalence": origin.get("assumed_prevalence"),
        "training_prevalence": prevalence,
        "has_activation_map": bundle.has_activation_map,
        "trained_on": {
            "dataset": origin.get("dataset"),
            "images": origin.get("train_images"),
        },
        "tested_on": None if evaluation is None else _tested(evaluation),
        "notice": NOTICE,
    }


def _point(locked: LockedPoint) -> dict[str, Any]:
    point = locked.point
    return {
        "name": point.name,
        "purpose": point.purpose,
        "label": point.label,
        "threshold": point.threshold,
        "rule": point.rule,
        "sensitivity": _number(locked.sensitivity),
        "specificity": _number(locked.specificity),
        "determined": locked.determined,
        "note": locked.note,
    }


def _tested(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    # With several labels, each label has its own operating points.
    points = evaluation.get("operating_points") or {
        f"{label}/{name}": point
        for label, section in (evaluation.get("labels") or {}).items()
        for name, point in (section.get("operating_points") or {}).items()
    }
    return {
        "dataset": evaluation["dataset"]["name"],
        "images": evaluation.get("n"),
        "patients": evaluation.get("patients"),
        "auroc": _interval((evaluation.get("metrics") or {}).get("auroc")),
        "points": {
            name: {
                rate: _interval(point["metrics"].get(rate))
                for rate in ("sensitivity", "specificity")
            }
            for name, point in points.items()
        },
    }


def _interval(metric: Mapping[str, Any] | None) -> dict[str, float | None] | None:
    if metric is None or metric.get("value") is None:
        return None
    return {end: metric.get(end) for end in ("value", "low", "high")}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def read_evaluation(folder: Path, bundle: Bundle) -> Mapping[str, Any] | None:
    """Return the evaluation in a folder if it is complete and belongs to this bundle."""
    try:
        evaluation = read_json(folder / "evaluation.json")
        of_this = evaluation["bundle"]["id"] == bundle.id and bool(evaluation["dataset"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return evaluation if of_this else None
