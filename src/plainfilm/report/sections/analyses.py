"""The sections on subgroups, on robustness to disturbances, and on rejected images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plainfilm.bundle import REJECTIONS
from plainfilm.evaluation.document.analyses import Rejection, Robustness
from plainfilm.evaluation.document.subgroups import SubgroupColumn, Subgroups
from plainfilm.report.figures import ForestRow, forest_figure, novelty_figure, robustness_figure
from plainfilm.report.html.markup import element, lead
from plainfilm.report.html.page import Folded, Part, Plot, Section
from plainfilm.report.html.table import (
    Cell,
    Row,
    Table,
    change_cell,
    difference_cells,
    interval_cell,
    interval_cells,
    number_cell,
)
from plainfilm.report.wording import change_text, count, counted, interval_text, metric_text, number

_RATES = ("auroc", "sensitivity", "specificity")


def forest_plot(
    name: str,
    about: str,
    rows: Sequence[ForestRow],
    caption: str,
    *,
    zero: float | None = 0.5,
    whole: float | None = None,
) -> Plot:
    """Return a forest plot of AUROCs; its text for screen readers begins with ``about``."""
    values = "; ".join(
        f"{row.text}: {number(row.interval.value)} ({interval_text(row.interval)})"
        for row in rows
        if row.interval is not None and math.isfinite(row.interval.value)
    )
    drawing = forest_figure(rows, zero=zero, whole=whole, name=name)
    return Plot(name, drawing, caption, f"{about} {values}")


def subgroups_section(subgroups: Subgroups, whole: float | None) -> Section | None:
    """Return the results by subgroup, or None if there is no subgroup.

    ``whole`` is the AUROC of all images, for the first label.
    """
    plots: list[Part] = []
    tables: list[Part] = []
    for label, columns in subgroups.labels.items():
        shown = [column for column in columns if column.subgroups or column.too_small]
        if not shown:
            continue
        name = "subgroups" if not plots else f"subgroups-{len(plots) + 1:02d}"
        plot = _forest(label, shown, subgroups.tests, None if plots else whole, name)
        plots += [plot] if plot else []
        tables += _subgroup_tables(label, shown, subgroups.tests)
    if not tables:
        return None
    words = (
        f"Results for a class require at least {counted(subgroups.minimum_patients, 'patient')} "
        "of that class in the subgroup. A difference is the subgroup minus all other images with a "
        "known value. A difference that is not significant may still exist: consider the width of "
        "its interval."
    )
    return Section("Subgroups", [*plots, lead(words), *tables])


def _forest(
    label: str, columns: Sequence[SubgroupColumn], tests: int, whole: float | None, name: str
) -> Plot | None:
    rows = []
    for column in columns:
        rows.append(ForestRow(column.column))
        for own in column.subgroups:
            area, p = own.metrics["auroc"], own.p_adjusted.get("auroc")
            if math.isfinite(area.value):
                marked = p is not None and p < 0.05
                rows.append(ForestRow(f"{own.value}  ({own.n})", area, marked))
    if len(rows) == len(columns):
        return None
    line = "" if whole is None else " The solid line is the AUROC on all images."
    caption = (
        f"AUROC for {label} by subgroup, with 95% confidence intervals that account for several "
        f"images of one patient.{line}"
    )
    if tests:
        caption += (
            " Orange: significant difference from the other images after adjustment for "
            f"{counted(tests, 'test')} (Holm, p < 0.05). The intervals are not adjusted."
        )
    return forest_plot(name, f"AUROC for {label} by subgroup.", rows, caption, whole=whole)


def _subgroup_tables(label: str, columns: Sequence[SubgroupColumn], tests: int) -> list[Table]:
    """Return the results, and the subgroups that are too small for results."""
    rows: list[Row] = []
    small: list[Row] = []
    for column in columns:
        other = column.compared_with
        for own in column.subgroups:
            title = f"{column.column}: {own.value}{f', with {other}' if other else ''}"
            names = {"column": column.column, "subgroup": own.value, "compared_with": other}
            shown = f"{count(own.n)} ({count(own.positives)} positive)"
            sizes = {"images": own.n, "patients": own.patients, "positives": own.positives}
            rows.append(
                {
                    "Label": Cell(None, {"label": label}),
                    "Subgroup": Cell(title, names),
                    "Images": Cell(shown, sizes),
                    **difference_cells(_RATES, own.metrics, own.difference, own.p_adjusted),
                }
            )
        for left in column.too_small:
            names = {"column": column.column, "subgroup": left.value}
            sizes = {"images": left.n, "positives": left.positives}
            small.append(
                {
                    "Label": Cell(None, {"label": label}),
                    "Subgroup": Cell(f"{column.column}: {left.value}", names),
                    "Images": Cell(count(left.n), sizes),
                    "Reason": left.reason,
                }
            )
    caption = (
        f"{label} by subgroup: value and difference from the other images, each with its own 95% "
        "confidence interval (not adjusted)"
    )
    if tests:
        caption += f", and p-value adjusted for {counted(tests, 'test')} (Holm)"
    tables = [
        Table("subgroups", caption, rows),
        Table("small_subgroups", "Subgroups that are too small for results", small),
    ]
    return [table for table in tables if table.rows]


def robustness_section(robustness: Robustness) -> Section:
    """Return the results by kind and strength of disturbance."""
    strongest = "; ".join(
        f"{kind.description}: {metric_text('auroc', kind.steps[-1].auroc)}"
        for kind in robustness.disturbances
    )
    plot = Plot(
        "robustness",
        robustness_figure(robustness),
        "AUROC with its 95% confidence interval, and calibration error, by strength of "
        "disturbance: 0 is the undisturbed image.",
        f"AUROC at the strongest disturbance. {strongest}",
        wide=True,
    )
    about = (
        f"{counted(robustness.images, 'image')} of {counted(robustness.patients, 'patient')} were "
        f"disturbed at a resolution of {robustness.resolution} × {robustness.resolution} pixels "
        f"and scored again for {robustness.label}. A disturbance can shift the probabilities "
        "without lowering the AUROC; sensitivity and specificity at the locked threshold then "
        "change."
    )
    first = lead(_first_drop(robustness))
    table = Folded("All disturbances", [_robustness_table(robustness)])
    return Section("Robustness", [plot, first, element("p", about), table])


def _first_drop(robustness: Robustness) -> str:
    first = robustness.first_drop
    if first is None:
        return "No disturbance lowers the AUROC by more than 0.01 with 95% confidence."
    kind = next(own for own in robustness.disturbances if own.name == first.name)
    return (
        "The mildest disturbance that lowers the AUROC by more than 0.01 with 95% confidence: "
        f"{kind.description.lower()}, {first.strength:g} {kind.unit} (step {first.step} of "
        f"{len(kind.steps)}), change in AUROC {change_text(first.auroc_change)}."
    )


def _robustness_table(robustness: Robustness) -> Table:
    rows: list[Row] = [
        {
            "Disturbance": Cell(
                f"{kind.description}, {step.strength:g} {kind.unit}",
                {"disturbance": kind.name, "strength": step.strength, "unit": kind.unit},
            ),
            "AUROC (95% CI)": interval_cell("auroc", step.auroc),
            "Change in AUROC": change_cell("auroc", step.auroc_change),
            "Calibration error": number_cell("calibration_error", step.calibration_error),
            "Sensitivity": number_cell("sensitivity", step.sensitivity, percent=True),
            "Specificity": number_cell("specificity", step.specificity, percent=True),
            "Changed predictions": number_cell("changed_predictions", step.flipped, percent=True),
        }
        for kind in robustness.disturbances
        for step in kind.steps
    ]
    return Table("robustness", "Results under each disturbance", rows, numeric=True)


def rejection_section(rejection: Rejection) -> Section:
    """Return the numbers of rejected and indeterminate images, and the results without them."""
    parts: list[Part] = []
    far = rejection.unlike_training
    if rejection.novelty is None:
        words = "These predictions do not show which images differ from the training images."
    else:
        threshold = number(rejection.threshold)
        words = (
            f"{counted(far, 'image differs', 'images differ')} so much from the training images "
            f"that the model rejects {'it' if far == 1 else 'them'} "
            f"(novelty of at least {threshold}; the threshold {rejection.rule})."
        )
        parts.append(
            Plot(
                "novelty",
                novelty_figure(rejection.novelty, rejection.threshold),
                "Novelty, the distance of an image from the training images. Images to the right "
                "of the line are rejected: their predictions should not be used.",
                f"Distribution of novelty; {counted(far, 'image')} rejected for it.",
            )
        )
    parts.append(lead(words))
    for reason, others in rejection.other_reasons.items():
        size = counted(others, "further image is", "further images are")
        words = f"{size} rejected: {REJECTIONS.get(reason, reason)} "
        parts.append(element("p", words, "(", element("code", reason), ")."))
    for label, own in rejection.indeterminate_ranges.items():
        size = counted(rejection.indeterminate.get(label, 0), "image is", "images are")
        words = (
            f"{size} in the indeterminate range of {label}, with a probability from "
            f"{own.low:.3f} to below {own.high:.3f} ({own.rule})."
        )
        parts.append(element("p", words))
    return Section("Rejected images", [*parts, _rejection_table(rejection)])


def _rejection_table(rejection: Rejection) -> Table:
    groups = {
        "All images": rejection.all,
        "Without rejected images": rejection.accepted,
        "Without rejected and indeterminate images": rejection.decided,
    }
    rows: list[Row] = [
        {
            "Included": group,
            "Label": Cell(label if len(results) > 1 else None, {"label": label}),
            "Images": own.n,
            **interval_cells((*_RATES, "accuracy"), own.metrics),
        }
        for group, results in groups.items()
        for label, own in results.items()
    ]
    caption = "Results with and without rejected and indeterminate images"
    return Table("rejection", caption, rows, numeric=True)
