"""The section with all metrics as tables: whole set, labels, operating points, sample sizes."""

from __future__ import annotations

from collections.abc import Mapping

from plainfilm.bundle.evidence_wording import counts_text, rate_text
from plainfilm.evaluation.document import EvaluationDocument, LabelResults
from plainfilm.evaluation.document.analyses import AtPrevalence
from plainfilm.evaluation.document.label import SampleSizeTarget
from plainfilm.metrics import Interval
from plainfilm.records import ThresholdEvidence
from plainfilm.report.content import ReportContent, default_point, metrics_of, only_label
from plainfilm.report.html.markup import quiet
from plainfilm.report.html.page import Part, Section
from plainfilm.report.html.table import Cell, Row, Table, TableName, interval_cell, interval_cells
from plainfilm.report.sections.performance import LABELS
from plainfilm.report.wording import describe, mean_of, method_of, number, sorted_metrics

_VALIDATION = (
    "Determined by validation",
    "Threshold, 5th to 95th percentile over validation patients",
    "Sensitivity and specificity on validation",
    "Validation images",
)
_SEVERAL = {
    "brier": "sum over the classes of the squared errors of the probabilities, 0 to 2; lower is "
    "better",
    "log_loss": "mean negative log-likelihood of the true class in nats; lower is better",
    "mcc": "Matthews correlation coefficient of all classes: 0 is chance, 1 is perfect",
}
"""Meanings of metrics of several classes that differ from those of two."""


def metrics_section(content: ReportContent) -> Section:
    """Return every metric with its interval."""
    evaluation = content.evaluation
    single = only_label(evaluation)
    parts: list[Part] = []
    if single is not None:
        point = default_point(single[1])
        at = f"; those that require a threshold at “{point[0]}”" if point else ""
        parts.append(_metrics("metrics", metrics_of(single[1]), f"Metrics on all images{at}"))
    else:
        parts += _several(evaluation)
    if evaluation.micro:
        caption = "Metrics over all pairs of an image and a label (micro average)"
        parts.append(_metrics("metrics_micro", evaluation.micro, caption))
    if evaluation.at_prevalence is not None:
        parts.append(_at_prevalence(evaluation.at_prevalence))
        parts.append(quiet(evaluation.at_prevalence.note))
    for label, results in list(evaluation.labels.items())[:LABELS]:
        if rows := _sample_sizes(label, results):
            caption = f"Size of a test set for narrower confidence intervals, {label}"
            parts.append(Table("sample_sizes", caption, rows, numeric=True))
            parts.append(quiet(results.sample_sizes.note))
    for label, results in evaluation.labels.items():
        if results.operating_points:
            parts.append(_operating_points(label, results))
    return Section("All metrics", parts)


def _several(evaluation: EvaluationDocument) -> list[Part]:
    """Return the metrics of a task of several labels, each table with one kind of average."""
    top = evaluation.task.kind == "multiclass"
    whole = (
        "Metrics of the most probable of all classes" if top else "Metrics of all labels at once"
    )
    condition = "; predicted is the most probable class" if top else ""
    macro = f"Means over the labels (macro average){condition}"
    partial = {
        name: f"{mean_of(evaluation, name)}; {describe(name).meaning}"
        for name in evaluation.macro
        if 0 < evaluation.averaged(name) < len(evaluation.labels)
    }
    tables = [
        _metrics("metrics", evaluation.metrics, whole, _SEVERAL if top else {}),
        _metrics("metrics_macro", evaluation.macro, macro, partial),
        _metrics_by_label(evaluation.labels, condition),
    ]
    return [table for table in tables if table.rows]


def _metrics(
    name: TableName,
    metrics: Mapping[str, Interval],
    caption: str,
    meanings: Mapping[str, str] | None = None,
) -> Table:
    rows: list[Row] = [
        {
            "Metric": Cell(describe(own).title, {"metric": own}),
            "Value (95% CI)": interval_cell(own, metrics[own], named=False),
            "Method of the CI": Cell(
                method_of(metrics[own]) or "–", {"method": method_of(metrics[own])}
            ),
            "Meaning": Cell((meanings or {}).get(own, describe(own).meaning), {}),
        }
        for own in sorted_metrics(metrics)
    ]
    return Table(name, caption, rows)


def _metrics_by_label(labels: Mapping[str, LabelResults], condition: str) -> Table:
    names = sorted_metrics(name for own in labels.values() for name in own.metrics)
    rows: list[Row] = [
        {"Label": label, **interval_cells(names, own.metrics)} for label, own in labels.items()
    ]
    caption = f"Metrics of each label, with 95% confidence intervals{condition}"
    return Table("metrics_by_label", caption, rows, numeric=True)


def _operating_points(label: str, results: LabelResults) -> Table:
    points = results.operating_points
    names = sorted_metrics(name for own in points.values() for name in own.metrics)
    rows: list[Row] = []
    for name, own in points.items():
        cells = own.confusion
        rows.append(
            {
                "Label": Cell(None, {"label": label}),
                "Operating point": name,
                "Purpose": own.purpose,
                "Threshold": Cell(f"{own.threshold:.3f}", {"threshold": own.threshold}),
                "Rule": own.rule,
                **_validation_cells(own.validation),
                **interval_cells(names, own.metrics),
                "True positives": cells.tp,
                "False positives": cells.fp,
                "True negatives": cells.tn,
                "False negatives": cells.fn,
            }
        )
    caption = f"Operating points for {label}; metrics of these images with 95% confidence intervals"
    return Table("operating_points", caption, rows, numeric=True, transposed=True)


def _validation_cells(known: ThresholdEvidence | None) -> dict[str, Cell]:
    """Return what validation shows about a threshold, which is no result of this test."""
    if known is None:
        return dict.fromkeys(_VALIDATION, Cell("–", {}))
    rates = {
        f"validation_{rate}{suffix}": getattr(own, rate)
        for rate in ("sensitivity", "specificity")
        for suffix, own in (("", known.unchanged), ("_with_copies", known.all_copies))
    }
    sides = ("positives", "negatives", "positive_patients", "negative_patients")
    both = f"{rate_text(known, 'sensitivity') or '–'} and {rate_text(known, 'specificity') or '–'}"
    cells = (
        Cell(known.status, {"status": known.status, "target": known.target}),
        Cell(
            f"{known.low:.3f}–{known.high:.3f}",
            {"threshold_p5": known.low, "threshold_p95": known.high},
        ),
        Cell(both, rates),
        Cell(counts_text(known), {f"validation_{one}": getattr(known, one) for one in sides}),
    )
    return dict(zip(_VALIDATION, cells, strict=True))


def _sample_sizes(label: str, results: LabelResults) -> list[Row]:
    sizes = results.sample_sizes
    rows: list[Row] = []
    for name, own in (
        ("auroc", sizes.auroc),
        ("sensitivity", sizes.sensitivity),
        ("specificity", sizes.specificity),
    ):
        if own is None:
            continue
        kind = describe(name)
        here = SampleSizeTarget(own.half_width, results.n, results.patients, results.positives)
        for target in (here, *own.targets):
            words = f"± {number(target.half_width, kind.percent)}"
            words += " (this test set)" if target is here else ""
            rows.append(
                {
                    "Label": Cell(None, {"label": label}),
                    "Metric": Cell(kind.title, {"metric": name}),
                    "Half width of the 95% CI": Cell(words, {"half_width": target.half_width}),
                    "Images": target.images,
                    "Patients": target.patients,
                    "Positive images": target.positives,
                }
            )
    return rows


def _at_prevalence(at: AtPrevalence) -> Table:
    rows: list[Row] = []

    def add(label: str, name: str, condition: str, interval: Interval) -> None:
        rows.append(
            {
                "Label": Cell(label if len(at.labels) > 1 else None, {"label": label}),
                "Metric": Cell(
                    f"{describe(name).title}, {condition}", {"metric": name, "condition": condition}
                ),
                "Value (95% CI)": interval_cell(name, interval, named=False),
            }
        )

    for label, own in at.labels.items():
        for condition, shift, brier in (
            ("uncorrected", own.in_the_large_uncorrected, own.brier_uncorrected),
            ("corrected", own.in_the_large_corrected, own.brier_corrected),
        ):
            add(label, "calibration_in_the_large", condition, shift)
            add(label, "brier", condition, brier)
        for point, pair in own.operating_points.items():
            add(label, "ppv", point, pair.ppv)
            add(label, "npv", point, pair.npv)
    return Table("at_prevalence", f"Results at a prevalence of {at.prevalence:.1%}", rows)
