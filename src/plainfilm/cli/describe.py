"""Describes data sets and results in a few lines of text."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from plainfilm._text import plural
from plainfilm.audit.run import Audit
from plainfilm.cli.terminal import table, with_options
from plainfilm.data import Manifest
from plainfilm.records import Finding

__all__ = [
    "describe_evaluation",
    "describe_external",
    "describe_manifest",
    "describe_variation",
    "print_audit",
    "print_findings",
]

_OPTION = re.compile(r"--[a-z][a-z-]*")
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
    """Return the number of images and patients, and a table of classes by split."""
    counts = manifest.describe()
    images, patients = plural(counts.images, "image"), plural(counts.patients, "patient")
    lines = [f"{manifest.name}: {images} of {patients}"]
    officials: dict[str, dict[str, int]] = {}
    for record in manifest.records:
        place = officials.setdefault(record.split or record.official or "all", {})
        name = manifest.task.class_of(record.labels)
        place[name] = place.get(name, 0) + 1
    classes = sorted({name for counts in officials.values() for name in counts})
    order = [p for p in ("train", "validation", "test", "all") if p in officials]
    rows = [("", *classes)] + [
        (place, *(str(officials[place].get(name, 0)) for name in classes)) for place in order
    ]
    return "\n".join([*lines, table(rows, right=tuple(range(1, len(classes) + 1)))])


def print_audit(audit: Audit, given: frozenset[str] = frozenset()) -> None:
    """Print to stderr the findings of an audit that the listing of the data did not report."""
    known = set(audit.manifest.findings)
    _print([finding for finding in audit.findings if finding not in known], given)


def _print(findings: Iterable[Finding], given: frozenset[str]) -> None:
    for finding in findings:
        if finding.severity != "note":
            print(f"{finding.severity}: {with_options(finding.problem)}", file=sys.stderr)
            remedy = with_options(finding.remedy)
            # Advice to give an option that was given has been followed.
            if remedy and given.isdisjoint(_OPTION.findall(remedy)):
                print(f"  remedy: {remedy}", file=sys.stderr)


def print_findings(manifest: Manifest, given: frozenset[str] = frozenset()) -> None:
    """Print to stderr the findings about a data set and the number of files left out.

    ``given`` are the options of the command, such as ``--patient``.
    """
    _print(manifest.findings, given)
    if manifest.left_out:
        reasons: dict[str, int] = {}
        for row in manifest.left_out:
            reasons[row.reason] = reasons.get(row.reason, 0) + 1
        text = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        print(f"left out: {plural(len(manifest.left_out), 'file')} ({text})", file=sys.stderr)


def describe_evaluation(values: Mapping[str, Any]) -> str:
    """Return the main metrics with their intervals."""
    data = values["dataset"]
    lines = [
        f"{data['name']}, {data['split']}: "
        f"{plural(values['n'], 'image')} of {plural(values['patients'], 'patient')}"
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
    lines += [_below_chance(label) for label in _worse_than_chance(values)]
    point = (values.get("operating_points") or {}).get("balanced")
    if point is not None:
        lines.append(f"threshold {point['threshold']:.3f}, locked on validation (balanced)")
    if values["left_out"]:
        lines.append(f"left out: {plural(len(values['left_out']), 'file')}; see the report")
    return "\n".join(lines)


def describe_external(values: Mapping[str, Any]) -> str:
    """Return the results on several data sets as a table."""
    rows: list[tuple[str, ...]] = [("data set", "role", "images", "auroc", "95 % interval", "drop")]
    for row in values["rows"]:
        area = row["auroc"]
        change = (row["drop"] or {}).get("auroc") or {"value": None}
        rows.append(
            (
                row["name"],
                row["role"],
                f"{row['n']:,}",
                "undefined" if area["value"] is None else f"{area['value']:.3f}",
                _interval(area),
                ""
                if change["value"] is None
                else f"{change['value']:+.3f} ({_interval(change, signed=True)})",
            )
        )
    return table(rows, right=(2, 3))


def describe_variation(values: Mapping[str, Any]) -> str:
    """Return the variation of results across seeds as a table and a sentence."""
    rows: list[tuple[str, ...]] = [("metric", "mean", "sd", "range", "sampling", "ensemble")]
    for name, spread in values["spread"].items():
        half = spread.get("sampling_half_width")
        own = ((values["ensemble"] or {}).get(name) or {}).get("value")
        rows.append(
            (
                name,
                f"{spread['mean']:.3f}",
                f"{spread['sd']:.3f}",
                f"{spread['low']:.3f} to {spread['high']:.3f}",
                "" if half is None else f"± {half:.3f}",
                "" if own is None else f"{own:.3f}",
            )
        )
    return f"{table(rows, right=(1, 2))}\n{values['note']}"


def _worse_than_chance(values: Mapping[str, Any]) -> list[str]:
    """Return the labels for which the whole interval of the AUROC is below 0.5."""
    from plainfilm.report.content import worse_than_chance

    labels: Mapping[str, Any] = values.get("labels") or {}
    return [name for name, one in labels.items() if worse_than_chance(one["metrics"].get("auroc"))]


def _below_chance(label: str) -> str:
    return f"worse than chance: the AUROC of {label} is below 0.5; are labels swapped?"


def _interval(metric: Mapping[str, Any], *, signed: bool = False) -> str:
    if metric["low"] is None or metric["high"] is None:
        return str(metric.get("reason") or "")
    form = "+.3f" if signed else ".3f"
    return f"{metric['low']:{form}} to {metric['high']:{form}}"
