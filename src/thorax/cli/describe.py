"""Data and results in a few lines of text."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from thorax.cli.terminal import table
from thorax.data import Manifest

__all__ = ["describe_evaluation", "describe_manifest", "print_findings"]

_SHOWN: tuple[str, ...] = (
    "auroc",
    "average_precision",
    "accuracy",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "brier",
)


def describe_manifest(manifest: Manifest) -> str:
    """Return how many images of how many patients there are in each class and partition."""
    told = manifest.describe()
    lines = [f"{manifest.name}: {told['images']} images of {told['patients']} patients"]
    officials: dict[str, dict[str, int]] = {}
    for record in manifest.records:
        place = officials.setdefault(record.partition or record.official or "all", {})
        name = manifest.task.class_of(record.labels)
        place[name] = place.get(name, 0) + 1
    classes = sorted({name for counts in officials.values() for name in counts})
    order = [p for p in ("train", "validation", "test", "all") if p in officials]
    rows = [("", *classes)] + [
        (place, *(str(officials[place].get(name, 0)) for name in classes)) for place in order
    ]
    return "\n".join([*lines, table(rows, right=tuple(range(1, len(classes) + 1)))])


def print_findings(manifest: Manifest) -> None:
    """Print on stderr what a reader must know about the data."""
    for finding in manifest.findings:
        if finding.severity != "note":
            print(f"{finding.severity}: {finding.what}", file=sys.stderr)
            if finding.todo:
                print(f"  to do: {finding.todo}", file=sys.stderr)
    if manifest.left_out:
        reasons: dict[str, int] = {}
        for row in manifest.left_out:
            reasons[row.reason] = reasons.get(row.reason, 0) + 1
        text = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        print(f"left out: {len(manifest.left_out)} files ({text})", file=sys.stderr)


def describe_evaluation(values: Mapping[str, Any]) -> str:
    """Return the main metrics with their intervals."""
    data = values["dataset"]
    lines = [
        f"{data['name']}, {data['partition']}: "
        f"{values['n']} images of {values['patients']} patients"
    ]
    rows: list[tuple[str, ...]] = [("metric", "value", "95 % interval")]
    for name in _SHOWN:
        metric = values["metrics"].get(name)
        if metric is None:
            continue
        if metric["value"] is None:
            rows.append((name, "undefined", str(metric.get("reason") or "")))
        else:
            rows.append((name, f"{metric['value']:.3f}", _interval(metric)))
    lines.append(table(rows, right=(1,)))
    point = (values.get("operating_points") or {}).get("balanced")
    if point is not None:
        lines.append(f"threshold {point['threshold']:.3f}, locked on validation (balanced)")
    if values["left_out"]:
        lines.append(f"left out: {len(values['left_out'])} files; the report lists them")
    return "\n".join(lines)


def _interval(metric: Mapping[str, Any]) -> str:
    if metric["low"] is None or metric["high"] is None:
        return str(metric.get("reason") or "")
    return f"{metric['low']:.3f} to {metric['high']:.3f}"
