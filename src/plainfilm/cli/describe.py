"""Describes data sets and results in a few lines of text."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from plainfilm._text import plural
from plainfilm.cli.terminal import table, with_options

# For types only: a training prints the counts of its data before it needs these packages.
if TYPE_CHECKING:
    from plainfilm.audit import Audit
    from plainfilm.data import Manifest
    from plainfilm.evaluation.document import EvaluationDocument, ExternalDocument
    from plainfilm.metrics import Interval
    from plainfilm.records import Finding

_OPTION = re.compile(r"--[a-z][a-z-]*")
_MOST_LABELS = 20
_SHOWN = (
    *("auroc", "average_precision", "exact_match", "accuracy", "sensitivity", "specificity"),
    *("ppv", "npv", "f1", "brier"),
)
_SEVERAL_CLASSES = ("accuracy", "balanced_accuracy", "mcc", "kappa", "auroc", "f1", "brier")


def describe_manifest(manifest: Manifest) -> str:
    """Return the number of images and patients, and a table of classes by split."""
    from plainfilm.data.counts import class_names

    counts = manifest.describe()
    images, patients = plural(counts.images, "image"), plural(counts.patients, "patient")
    lines = [f"{manifest.name}: {images} of {patients}"]
    splits = [split or "all" for split in manifest.records.known_splits.tolist()]
    order = [split for split in ("train", "validation", "test", "all") if split in splits]
    if manifest.task.kind == "multilabel":
        rows = [("positive for", *order), *_count_labels(manifest, splits, order)]
        return "\n".join([*lines, table(rows, right=tuple(range(1, len(order) + 1)))])
    names = class_names(manifest.task, manifest.records.labels).tolist()
    cells = Counter(zip(splits, names, strict=True))
    classes = sorted(set(names))
    rows = [("", *classes)]
    rows += [(split, *(str(cells[split, name]) for name in classes)) for split in order]
    return "\n".join([*lines, table(rows, right=tuple(range(1, len(classes) + 1)))])


def describe_characteristics(manifest: Manifest) -> str:
    """Return a table of age, sex, view and site by split; empty if no column has them."""
    from plainfilm.data.characteristics import characterise_splits
    from plainfilm.report.characteristics_table import characteristics_table

    groups = characterise_splits(manifest)
    if not any(own.has_traits for own in groups):
        return ""
    first, *rows = (
        tuple(cell.replace("\u202f", ",") for cell in row)
        for row in characteristics_table(groups).grid()
    )
    traits = [row for row in rows if row[0].startswith(("Age", "Sex", "View", "Site"))]
    return table([first, *traits], right=tuple(range(1, len(first))))


def _count_labels(
    manifest: Manifest, splits: Sequence[str], order: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return the positive images of the most frequent labels, and all images, in each split."""
    present = manifest.label_array() == 1
    of_split = [[one == split for one in splits] for split in order]
    counts = [present[rows].sum(axis=0).tolist() for rows in of_split]
    none = ~present.any(axis=1)
    totals = present.sum(axis=0).tolist()
    labels = sorted(range(len(totals)), key=lambda label: -totals[label])
    rows = [
        (manifest.task.labels[label], *(str(count[label]) for count in counts))
        for label in labels[:_MOST_LABELS]
    ]
    if hidden := labels[_MOST_LABELS:]:
        rows.append((f"({plural(len(hidden), 'rarer label')})", *("" for _ in order)))
    rows.append(("none of the labels", *(str(int(none[one].sum())) for one in of_split)))
    rows.append(("images", *(str(sum(one)) for one in of_split)))
    return rows


def print_audit(audit: Audit, given: frozenset[str] = frozenset()) -> None:
    """Print to stderr the findings of an audit that the listing of the data did not report."""
    known = set(audit.manifest.findings)
    found = [one for one in audit.findings if one not in known and one.severity != "note"]
    _print(found, given)


def _print(findings: Iterable[Finding], given: frozenset[str]) -> None:
    for finding in findings:
        print(f"{finding.severity}: {with_options(finding.problem)}", file=sys.stderr)
        remedy = with_options(finding.remedy)
        # Advice to give an option that was given has been followed.
        if remedy and given.isdisjoint(_OPTION.findall(remedy)):
            print(f"  remedy: {remedy}", file=sys.stderr)


def print_findings(
    data: Manifest | EvaluationDocument,
    given: frozenset[str] = frozenset(),
    *,
    before: Manifest | None = None,
) -> None:
    """Print to stderr the findings about data and the number of files left out.

    ``given`` are the options of the command, such as ``--patient``; what is printed of the
    manifest ``before`` is not printed again.
    """
    known = set(before.findings if before else ())
    _print([finding for finding in data.findings if finding not in known], given)
    if data.left_out and (before is None or data.left_out != before.left_out):
        reasons = Counter(row.reason for row in data.left_out)
        text = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        print(f"left out: {plural(len(data.left_out), 'file')} ({text})", file=sys.stderr)


def describe_evaluation(document: EvaluationDocument) -> str:
    """Return the main metrics with their intervals."""
    lines = [
        f"{document.dataset.name}, {document.dataset.split}: "
        f"{plural(document.n, 'image')} of {plural(document.patients, 'patient')}"
    ]
    if document.dataset.synthetic_images or document.model.training.synthetic_images:
        lines.append("synthetic images, drawn by plainfilm: the results say nothing about patients")
    rows: list[tuple[str, ...]] = [("metric", "value", "95 % interval")]
    shown = _SEVERAL_CLASSES if document.task.kind == "multiclass" else _SHOWN
    undefined: dict[str, list[str]] = {}
    for name in shown:
        metric = document.main.get(name)
        if metric is None:
            continue
        title = name
        if name in document.macro:
            some, every = document.averaged(name), len(document.labels)
            part = f", {some} of {every} labels" if 0 < some < every else ""
            title = f"{name} (macro{part})"
        if math.isnan(metric.value):
            undefined.setdefault(metric.reason or "no reason is known", []).append(title)
        else:
            rows.append((title, *_cells(metric)))
    lines.append(table(rows, right=(1,)))
    lines += [f"undefined: {', '.join(names)} ({why})" for why, names in undefined.items()]
    lines += [
        f"worse than chance: the whole interval of the AUROC of {label} is below 0.5; "
        + (
            "check whether labels are swapped"
            if column is None
            else f"within {column.column} it is not"
        )
        for label, column in document.worse_than_chance().items()
    ]
    lines += document.mixing
    point = None if document.binary is None else document.binary.default_point
    if point is not None:
        origin = "given" if point.purpose == "custom" else "locked on validation"
        lines.append(f"threshold {point.threshold:.3f}, {origin} ({point.purpose})")
        lines += _undistinguished(document)
        lines += [
            f"threshold {own.threshold:.3f}, given: {_main_results(own.metrics)}"
            for own in document.labels[document.task.labels[0]].operating_points.values()
            if own.purpose == "custom" and own is not point
        ]
    lines += _at_prevalence(document)
    lines += _without_rejected(document)
    lines += _without_overlap(document)
    if document.left_out:
        lines.append(f"left out: {plural(len(document.left_out), 'file')}; see the report")
    return "\n".join(lines)


def _undistinguished(document: EvaluationDocument) -> list[str]:
    """Return the points that have the balanced threshold or do not reach their target."""
    by_rule: dict[str, list[str]] = {}
    for results in document.labels.values():
        for name, point in results.operating_points.items():
            known = point.validation
            if known and (known.same_as_balanced or known.status == "not attainable"):
                by_rule.setdefault(point.rule, []).append(name)
    return [f"{', '.join(names)}: {rule}" for rule, names in by_rule.items()]


def _cells(metric: Interval) -> tuple[str, str]:
    """Return value and limits, or why there is no value."""
    if math.isnan(metric.value):
        return "undefined", metric.reason or ""
    return f"{metric.value:.3f}", limits(metric)


def _at_prevalence(document: EvaluationDocument) -> list[str]:
    """Return the results at the given prevalence as a table."""
    at = document.at_prevalence
    if at is None:
        return []
    rows: list[tuple[str, ...]] = [
        (f"at a prevalence of {at.prevalence:.4g}", "value", "95 % interval")
    ]
    for label, own in at.labels.items():
        start = f"{label}: " if len(at.labels) > 1 else ""
        for point, pair in own.operating_points.items():
            rows.append((f"{start}ppv, {point}", *_cells(pair.ppv)))
            rows.append((f"{start}npv, {point}", *_cells(pair.npv)))
        for name, metric in (
            ("calibration in the large, uncorrected", own.in_the_large_uncorrected),
            ("calibration in the large, corrected", own.in_the_large_corrected),
            ("brier, uncorrected", own.brier_uncorrected),
            ("brier, corrected", own.brier_corrected),
        ):
            rows.append((f"{start}{name}", *_cells(metric)))
    return [table(rows, right=(1,))]


def _without_rejected(document: EvaluationDocument) -> list[str]:
    """Return the number of rejected images, and the main results without them."""
    rejection = document.rejection
    if rejection is None or not rejection.rejected:
        return []
    reasons = ", ".join(f"{count} {reason}" for reason, count in rejection.reasons.items())
    line = f"rejected, without a predicted class: {plural(rejection.rejected, 'image')} ({reasons})"
    kept = rejection.accepted[document.task.labels[0]].metrics
    if document.binary is None or not any(math.isfinite(one.value) for one in kept.values()):
        return [line]
    return [f"{line}; the others: {_main_results(kept)}"]


def _main_results(metrics: Mapping[str, Interval]) -> str:
    return ", ".join(
        f"{name} {metrics[name].value:.3f} ({limits(metrics[name])})"
        for name in ("auroc", "sensitivity", "specificity")
        if name in metrics and math.isfinite(metrics[name].value)
    )


def _without_overlap(document: EvaluationDocument) -> list[str]:
    """Return the main results without the training images among those evaluated."""
    overlap = document.overlap
    if overlap is None or not overlap.images:
        return []
    rest, shown = plural(overlap.others, "image"), _main_results(overlap.metrics)
    return [f"without the overlap with the training images: {rest}; {shown}".rstrip("; ")]


def describe_external(document: ExternalDocument) -> str:
    """Return the results on several data sets as a table."""
    heads = ("data set", "role", "images", "auroc", "95 % interval", "difference")
    rows: list[tuple[str, ...]] = [heads]
    for row in document.rows:
        auroc = row.metrics["auroc"]
        value = "undefined" if math.isnan(auroc.value) else f"{auroc.value:.3f}"
        change = (row.difference or {}).get("auroc")
        shown = ""
        if change is not None and math.isfinite(change.value):
            shown = f"{change.value:+.3f} ({limits(change, '+.3f')})"
        rows.append((row.name, row.role, f"{row.n:,}", value, limits(auroc), shown))
    warnings = [f"serious: {warning}" for warning in document.warnings]
    return "\n".join([*warnings, table(rows, right=(2, 3))])


def limits(metric: Interval, form: str = ".3f") -> str:
    """Return the limits of an interval, or why there are none."""
    if not math.isfinite(metric.high - metric.low):
        return metric.reason or ""
    return f"{metric.low:{form}} to {metric.high:{form}}"
