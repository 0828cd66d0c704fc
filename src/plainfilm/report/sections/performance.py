"""The section on performance: curves, confusion matrices and histograms of each label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from plainfilm.evaluation.document import EvaluationDocument, LabelResults
from plainfilm.metrics import Interval
from plainfilm.report.content import ReportContent, default_point, distinct_points, only_label
from plainfilm.report.figures import (
    benefit_figure,
    calibration_figure,
    confusion_figure,
    precision_recall_figure,
    prevalence_figure,
    roc_figure,
    score_figure,
)
from plainfilm.report.html.markup import element, quiet
from plainfilm.report.html.page import Part, Plot, Plots, Section
from plainfilm.report.wording import count, counted, enumerate_texts, metric_text, number

LABELS = 20
"""Number of labels whose figures are drawn; the tables have all labels."""


def performance_section(content: ReportContent) -> Section:
    """Return the figures of each label."""
    evaluation = content.evaluation
    matrix = _matrix(evaluation)
    parts: list[Part] = [Plots([matrix])] if matrix else []
    single = only_label(evaluation) is not None
    for index, (label, results) in enumerate(list(evaluation.labels.items())[:LABELS], start=1):
        classes = evaluation.task.classes if evaluation.task.kind == "binary" else ()
        plots = _label_plots(label, results, classes, "" if single else f"-{index:02d}")
        parts += [] if single else [element("h3", label)]
        words = f"No figure can be drawn for {label}; the tables below give the reasons."
        parts.append(Plots(plots) if plots else quiet(words))
        if plots and (why := _no_prevalence(results)):
            parts.append(
                quiet(f"PPV and NPV of {label} at other prevalences are not shown: {why}.")
            )
    if len(evaluation.labels) > LABELS:
        words = f"Figures of the first {LABELS} labels; the tables have all "
        parts.append(quiet(f"{words}{len(evaluation.labels)}."))
    return Section("Performance", parts)


def _label_plots(
    label: str, results: LabelResults, classes: Sequence[str], suffix: str
) -> list[Plot]:
    """Return the figures for which the results of a label are sufficient."""
    confusion = _confusion(label, results, classes, f"confusion{suffix}")
    scores = _scores(label, results, f"scores{suffix}")
    if results.positives in (0, results.n):  # the others compare the classes
        return [plot for plot in (confusion, scores) if plot is not None]
    plots = (
        _roc(label, results, f"roc{suffix}"),
        _precision_recall(label, results, f"precision-recall{suffix}"),
        confusion,
        _calibration(label, results, f"calibration{suffix}"),
        scores,
        _benefit(label, results, f"decision{suffix}"),
        _prevalence(label, results, f"prevalence{suffix}"),
    )
    return [plot for plot in plots if plot is not None]


def _drawable(*columns: Sequence[float]) -> bool:
    """Return whether a curve has two or more defined points."""
    return sum(all(map(math.isfinite, row)) for row in zip(*columns, strict=True)) > 1


def _points(results: LabelResults) -> Mapping[str, Mapping[str, Interval]]:
    return {name: point.metrics for name, point in distinct_points(results).items()}


def _roc(label: str, results: LabelResults, name: str) -> Plot | None:
    curve = results.curves.roc
    if not _drawable(curve.fpr, curve.tpr):
        return None
    area = metric_text("auroc", results.metrics.get("auroc"))
    points = _points(results)
    rates = "; ".join(
        f"{point}: sensitivity {metric_text('sensitivity', metrics.get('sensitivity'))}, "
        f"specificity {metric_text('specificity', metrics.get('specificity'))}"
        for point, metrics in points.items()
    )
    marks = "Markers show operating points with 95% confidence intervals. " if points else ""
    return Plot(
        name,
        roc_figure(curve.fpr, curve.tpr, points=points, note=f"AUROC {area}", name=name),
        f"ROC curve for {label}: sensitivity against false positive rate over all thresholds. "
        f"{marks}The dashed line is chance level.",
        f"ROC curve for {label}. AUROC {area}. {rates}",
    )


def _precision_recall(label: str, results: LabelResults, name: str) -> Plot | None:
    curve = results.curves.precision_recall
    if not _drawable(curve.recall, curve.precision):
        return None
    area = metric_text("average_precision", results.metrics.get("average_precision"))
    drawing = precision_recall_figure(
        curve.recall, curve.precision, prevalence=results.prevalence, points=_points(results),
        note=f"Average precision {area}", name=name,
    )  # fmt: skip
    return Plot(
        name,
        drawing,
        f"Precision-recall curve for {label}. Precision depends on prevalence, so the curve is "
        "valid only at the prevalence of these images. The dashed line is chance level.",
        f"Precision-recall curve for {label}. Average precision {area}.",
    )


def _confusion(label: str, results: LabelResults, classes: Sequence[str], name: str) -> Plot | None:
    own = default_point(results)
    if own is None:
        return None
    title, point = own
    cells = point.confusion
    negative, positive = classes if len(classes) == 2 else (f"not {label}", label)
    counts = [[cells.tn, cells.fp], [cells.fn, cells.tp]]
    return Plot(
        name,
        confusion_figure(counts, (negative, positive), name=name),
        f"Confusion matrix at the operating point “{title}” (threshold {number(point.threshold)}): "
        "number of images, and share of each true class. Blue is correct, orange is wrong.",
        f"Confusion matrix: {count(cells.tp)} of {counted(cells.tp + cells.fn, 'image')} with true "
        f"class {positive} and {count(cells.tn)} of {counted(cells.tn + cells.fp, 'image')} with "
        f"true class {negative} are predicted correctly.",
    )


def _calibration(label: str, results: LabelResults, name: str) -> Plot | None:
    bins = results.curves.calibration.bins
    full = [own for own in bins if own.count]
    if not full:
        return None
    brier = metric_text("brier", results.metrics.get("brier"))
    pairs = ", ".join(f"{own.predicted:.2f} and {own.observed.value:.2f}" for own in full)
    return Plot(
        name,
        calibration_figure(bins, note=f"Brier score {brier}", name=name),
        f"Calibration for {label}: observed frequency of positive images against predicted "
        "probability, with 95% confidence intervals. The dashed line is perfect calibration. "
        "Below, the number of images in each bin.",
        f"Calibration of {label}. Brier score {brier}. Predicted and observed: {pairs}.",
    )


def _scores(label: str, results: LabelResults, name: str) -> Plot | None:
    scores = results.curves.scores
    if not any(map(any, scores.counts.values())):
        return None
    thresholds = {key: point.threshold for key, point in results.operating_points.items()}
    one = len({*thresholds.values()}) == 1
    lines = "The dotted line is the threshold" if one else "Dotted lines: threshold"
    names = f" {lines} of {enumerate_texts(list(thresholds))}." if thresholds else ""
    return Plot(
        name,
        score_figure(scores.edges, scores.counts, thresholds=thresholds, name=name),
        f"Distribution of the predicted probability of {label} by true class.{names}",
        f"Histogram of the predicted probability of {label} for {' and '.join(scores.counts)}.",
    )


def _benefit(label: str, results: LabelResults, name: str) -> Plot | None:
    curve = results.curves.decision
    if curve is None or not _drawable(curve.threshold, curve.model):
        return None
    ranges = [
        f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
        for low, high in curve.useful
    ]
    useful = (
        f"At thresholds of {enumerate_texts(ranges)} (blue bar at the bottom) it exceeds that of "
        "treating all and of treating none, with 95% confidence for all of these thresholds "
        "together."
        if ranges
        else "At no threshold is it shown to exceed that of treating all and of treating none."
    )
    return Plot(
        name,
        benefit_figure(curve, name=name),
        f"Decision curve for {label}: net benefit per image of acting on the predictions, where a "
        "false positive is weighted by the odds of the threshold. The band holds at all thresholds "
        f"together with 95% confidence. {useful}",
        f"Decision curve for {label}, the net benefit by threshold. {useful}",
    )


def _prevalence(label: str, results: LabelResults, name: str) -> Plot | None:
    own = default_point(results)
    values = own[1].predictive_values if own else None
    if own is None or values is None or not _drawable(values.prevalence, values.ppv):
        return None
    rows = ((share, *values.at(share)) for share in values.prevalence[::12])
    pairs = "; ".join(
        f"at a prevalence of {share:.1%}, PPV {metric_text('ppv', ppv)} and NPV "
        f"{metric_text('npv', npv)}"
        for share, ppv, npv in rows
        if math.isfinite(ppv.value) and math.isfinite(npv.value)
    )
    return Plot(
        name,
        prevalence_figure(values, here=results.prevalence, name=name),
        f"PPV and NPV for {label} at the operating point “{own[0]}” by prevalence, with 95% "
        "confidence bands, if sensitivity and specificity are as in this test set.",
        f"Predictive values for {label} by prevalence: {pairs}.",
    )


def _no_prevalence(results: LabelResults) -> str | None:
    """Return why predictive values at other prevalences are missing."""
    own = default_point(results)
    return own[1].no_predictive_values if own else None


def _matrix(evaluation: EvaluationDocument) -> Plot | None:
    """Return the confusion matrix of a task with several classes, or None."""
    counts, classes = evaluation.confusion_matrix, evaluation.task.classes
    if not counts:
        return None
    right = sum(row[index] for index, row in enumerate(counts))
    return Plot(
        "confusion-all",
        confusion_figure(counts, classes, name="confusion-all"),
        "Confusion matrix of all classes: number of images, shaded by the share of each true "
        "class. Blue is correct, orange is wrong.",
        f"Confusion matrix of {', '.join(classes)}: {count(right)} of "
        f"{counted(sum(map(sum, counts)), 'image')} are predicted correctly.",
    )
