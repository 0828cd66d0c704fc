"""Which figures an evaluation gives, each with its caption and with words for those who listen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.report.content import ReportContent, default_point, value_of
from plainfilm.report.html.frames import Plot
from plainfilm.report.html.pictures import SAMPLES, WORST
from plainfilm.report.wording import count, metric_text, number

__all__ = ["history_plots", "label_plots", "matrix_plot", "only_epoch", "sheets"]


def label_plots(label: str, view: Mapping[str, Any], suffix: str) -> list[Plot]:
    """Return the figures of one label, those that its evaluation has content for."""
    curves = view.get("curves") or {}
    made = (
        _roc(label, view, curves.get("roc"), f"roc{suffix}"),
        _precision_recall(label, view, curves.get("precision_recall"), f"precision-recall{suffix}"),
        _confusion(label, view, f"confusion{suffix}"),
        _calibration(label, view, curves.get("calibration"), f"calibration{suffix}"),
        _scores(label, view, curves.get("scores"), f"scores{suffix}"),
        _benefit(label, curves.get("decision"), f"decision{suffix}"),
        _prevalence(label, view, f"prevalence{suffix}"),
    )
    return [plot for plot in made if plot is not None]


def _drawable(curve: Any, *columns: str) -> bool:
    """Tell whether a curve has two points or more; one of a single class has none."""
    if not curve or not all(curve.get(column) for column in columns):
        return False
    rows = zip(*(curve[column] for column in columns), strict=True)
    return sum(all(value is not None for value in row) for row in rows) > 1


def _points(view: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the operating points with the three rates that figures mark."""
    points = []
    for name, point in (view.get("operating_points") or {}).items():
        metrics = point.get("metrics") or {}
        rates = {key: metrics.get(key) or {} for key in ("sensitivity", "specificity", "ppv")}
        points.append({"name": name, **rates})
    return points


def _roc(label: str, view: Mapping[str, Any], curve: Any, name: str) -> Plot | None:
    from plainfilm.report.figures import roc_figure

    if not _drawable(curve, "fpr", "tpr"):
        return None
    area = metric_text("auroc", (view.get("metrics") or {}).get("auroc"))
    points = _points(view)
    told = "; ".join(
        f"{point['name']}: sensitivity {metric_text('sensitivity', point['sensitivity'])}, "
        f"specificity {metric_text('specificity', point['specificity'])}"
        for point in points
    )
    marks = "Marks are operating points, arms their 95% intervals. " if points else ""
    return Plot(
        name,
        roc_figure(curve, points=points, note=f"AUROC {area}", name=name),
        f"Receiver operating characteristic for {label}: what share of the positive images is "
        f"flagged, for each share of false alarms. {marks}The dashed line is guessing.",
        f"ROC curve for {label}. AUROC {area}. {told}",
    )


def _precision_recall(label: str, view: Mapping[str, Any], curve: Any, name: str) -> Plot | None:
    from plainfilm.report.figures import precision_recall_figure

    if not _drawable(curve, "recall", "precision"):
        return None
    area = metric_text("average_precision", (view.get("metrics") or {}).get("average_precision"))
    prevalence = value_of(view, "prevalence")
    svg = precision_recall_figure(
        curve,
        prevalence=prevalence,
        points=_points(view),
        note=f"Average precision {area}",
        name=name,
    )
    return Plot(
        name,
        svg,
        f"Precision against recall for {label}: how often a flag is right, for each share of the "
        "positive images that is found. It holds at the prevalence of these images only.",
        f"Precision-recall curve for {label}. Average precision {area}.",
    )


def _confusion(label: str, view: Mapping[str, Any], name: str) -> Plot | None:
    from plainfilm.report.figures import confusion_figure

    point = default_point(view)
    cells = (point[1].get("confusion") or {}) if point else {}
    if point is None or not all(
        value_of(cells, key) is not None for key in ("tp", "fp", "tn", "fn")
    ):
        return None
    classes = (view.get("task") or {}).get("classes") or (f"not {label}", label)
    negative, positive = (str(classes[0]), str(classes[1])) if len(classes) == 2 else ("no", "yes")
    table = [[cells["tn"], cells["fp"]], [cells["fn"], cells["tp"]]]
    threshold = value_of(point[1], "threshold")
    at = "" if threshold is None else f" (threshold {threshold:.3f})"
    return Plot(
        name,
        confusion_figure(table, (negative, positive), name=name),
        f"Confusion matrix at the operating point “{point[0]}”{at}: counts, and the share of each "
        "true class. Blue is right, orange is wrong.",
        f"Confusion matrix: of {count(cells['tp'] + cells['fn'])} {positive} images "
        f"{count(cells['tp'])} are called {positive}; of {count(cells['tn'] + cells['fp'])} "
        f"{negative} images {count(cells['tn'])} are called {negative}.",
    )


def _benefit(label: str, curve: Any, name: str) -> Plot | None:
    from plainfilm.report.figures import benefit_figure

    if not _drawable(curve, "threshold", "model"):
        return None
    ranges = [f"{low:.2f} to {high:.2f}" for low, high in curve.get("useful") or ()]
    told = (
        f"It beats acting on everybody and on nobody, with 95% confidence, from {_listed(ranges)} "
        "(blue along the bottom)."
        if ranges
        else "At no threshold is it shown to beat acting on everybody and on nobody."
    )
    return Plot(
        name,
        benefit_figure(curve, name=name),
        f"Decision curve for {label}: what acting on the model's calls gains per image, a false "
        f"alarm costing the threshold's odds. {told}",
        f"Decision curve for {label}. {told}",
    )


def _listed(texts: Sequence[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _prevalence(label: str, view: Mapping[str, Any], name: str) -> Plot | None:
    from plainfilm.report.figures import prevalence_figure

    point = default_point(view)
    values = (point[1].get("predictive_values") or {}) if point else {}
    if point is None or not _drawable(values, "prevalence", "ppv"):
        return None
    rows = zip(values["prevalence"], values["ppv"], values["npv"], strict=True)
    told = "; ".join(
        f"at {share:.1%} positive, PPV {ppv:.2f} and NPV {npv:.2f}"
        for number, (share, ppv, npv) in enumerate(rows)
        if number % 12 == 0 and ppv is not None and npv is not None
    )
    return Plot(
        name,
        prevalence_figure(values, here=value_of(view, "prevalence"), name=name),
        f"PPV and NPV of “{point[0]}” where {label} is rarer or more frequent, with 95% bands, as "
        "long as sensitivity and specificity stay what they are here.",
        f"Predictive values of {label} over prevalence: {told}.",
    )


def _calibration(label: str, view: Mapping[str, Any], curve: Any, name: str) -> Plot | None:
    from plainfilm.report.figures import calibration_figure

    bins = (curve or {}).get("bins") or []
    full = [row for row in bins if value_of(row, "observed") is not None]
    if not full:
        return None
    brier = metric_text("brier", (view.get("metrics") or {}).get("brier"))
    told = ", ".join(f"{row['mean']:.2f} is {row['observed']:.2f}" for row in full)
    return Plot(
        name,
        calibration_figure(bins, note=f"Brier score {brier}", name=name),
        f"Calibration for {label}: among the images given a probability, the share that is "
        "positive, with 95% intervals; on the dashed line the probability is honest. Below, how "
        "many images each point rests on.",
        f"Calibration of {label}. Brier score {brier}. Predicted against observed: {told}.",
    )


def _scores(label: str, view: Mapping[str, Any], curve: Any, name: str) -> Plot | None:
    from plainfilm.report.figures import score_figure

    if not curve or not curve.get("edges") or not curve.get("counts"):
        return None
    thresholds = {
        str(key): point["threshold"]
        for key, point in (view.get("operating_points") or {}).items()
        if value_of(point, "threshold") is not None
    }
    lines = (
        "The dotted line is the threshold" if len(thresholds) == 1 else "Dotted lines: thresholds"
    )
    told = f" {lines} of {', '.join(thresholds)}." if thresholds else ""
    return Plot(
        name,
        score_figure(curve["edges"], curve["counts"], thresholds=thresholds, name=name),
        f"Distribution of the probability of {label} in each true class.{told}",
        f"Histogram of the probability of {label} for {' and '.join(curve['counts'])}.",
    )


def matrix_plot(evaluation: Mapping[str, Any]) -> Plot | None:
    """Return the confusion matrix of a task with several classes, or None."""
    from plainfilm.report.figures import confusion_figure

    found = evaluation.get("confusion_matrix")
    if not found:
        return None
    classes = (evaluation.get("task") or {}).get("classes") or ()
    counts: Sequence[Sequence[float]] = found
    if isinstance(found, Mapping):
        classes, counts = found.get("classes") or classes, found["counts"]
    right = sum(row[index] for index, row in enumerate(counts))
    total = sum(map(sum, counts))
    return Plot(
        "confusion-all",
        confusion_figure(counts, classes, name="confusion-all"),
        "Confusion matrix of all classes: counts, shaded by the share of each true class. Blue is "
        "right, orange is wrong.",
        f"Confusion matrix of {', '.join(map(str, classes))}: {count(right)} of "
        f"{count(total)} right.",
    )


HISTORY = (("loss", "loss"), ("accuracy", "accuracy"), ("auroc", "AUROC"))


def only_epoch(content: ReportContent) -> str:
    """Say in a sentence what the history of a single epoch holds."""
    row = content.history[0]
    parts = []
    for key, words in HISTORY:
        sides = (("training", value_of(row, key)), ("validation", value_of(row, f"val_{key}")))
        told = [f"{number(value)} on {where}" for where, value in sides if value is not None]
        if told:
            parts.append(f"{words} {' and '.join(told)}")
    numbers = f": {'; '.join(parts)}" if parts else ""
    return f"It was trained for one epoch, so there is no course to draw{numbers}."


def history_plots(content: ReportContent) -> list[Plot]:
    """Return loss, accuracy and AUROC over the epochs, those that were recorded."""
    from plainfilm.report.figures import history_figure

    plots = []
    for key, words in HISTORY:
        if not any(
            value_of(row, part) is not None
            for row in content.history
            for part in (key, f"val_{key}")
        ):
            continue
        kept = [row for row in content.history if row.get("epoch") == content.best_epoch]
        best = value_of(kept[0], f"val_{key}") if kept else None
        told = "" if best is None else f" Kept: epoch {content.best_epoch}, {number(best)}."
        name = f"history-{key}"
        svg = history_figure(
            content.history, best_epoch=content.best_epoch, quantities=(key,), name=name
        )
        title = words[0].upper() + words[1:]
        caption = f"{title} on training and validation images after each epoch.{told}"
        plots.append(Plot(name, svg, caption, f"{caption} {len(content.history)} epochs."))
    return plots


def sheets(content: ReportContent) -> dict[str, bytes]:
    """Return the pictures as sheets for the folder of figures: file name to PNG."""
    from plainfilm.explain import overlay
    from plainfilm.report.figures import sample_grid

    made = {}
    for name, samples in (("samples", content.samples), ("augmented", content.augmented)):
        some = samples[:SAMPLES]
        if some:
            captions = [f"{sample.label}  {sample.caption}" for sample in some]
            made[name] = sample_grid([sample.pixels for sample in some], captions)
    pixels: list[NDArray[Any]] = []
    captions = []
    for case in (content.worst or ())[:WORST]:
        pixels.append(case.pixels)
        captions.append(f"{case.truth}, given {case.probability:.3f}")
        blank = np.full_like(case.pixels, 235)
        pixels.append(blank if case.heat is None else overlay(case.pixels, case.heat))
        captions.append(case.id)
    if pixels:
        made["worst"] = sample_grid(pixels, captions)
    return made
