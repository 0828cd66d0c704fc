"""The section on subgroups: results by column of the data and by image metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plainfilm.evaluation.document.analyses import SubgroupColumn, Subgroups
from plainfilm.report.figures import ForestRow, forest_figure
from plainfilm.report.html.markup import element
from plainfilm.report.html.section import Part, Plot, Section
from plainfilm.report.html.table import Cell, Row, Table, difference_cell
from plainfilm.report.wording import count, counted, describe, list_intervals

_METRICS = ("auroc", "sensitivity", "specificity")


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
        tables += [*_table(label, shown), *_too_small(label, shown)]
    if not tables:
        return None
    words = (
        f"Results for a class require at least {counted(subgroups.minimum_patients, 'patient')} "
        "of that class in the subgroup. A difference is the subgroup minus all other images with a "
        "known value. A difference that is not significant may still exist: consider the width of "
        "its interval."
    )
    return Section("Subgroups", [*plots, element("p", words, class_="lead"), *tables])


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
    areas = [(row.text, row.interval) for row in rows if row.interval is not None]
    if not areas:
        return None
    line = "" if whole is None else " The solid line is the AUROC on all images."
    return Plot(
        name,
        forest_figure(rows, whole=whole, name=name),
        f"AUROC for {label} by subgroup, with 95% confidence intervals that account for several "
        f"images of one patient.{line} Orange: significant difference from the other images after "
        f"adjustment for {counted(tests, 'test')} (Holm, p < 0.05).",
        f"AUROC for {label} by subgroup. {list_intervals(areas)}",
        wide=True,
    )


def _table(label: str, columns: Sequence[SubgroupColumn]) -> list[Table]:
    rows: list[Row] = []
    for column in columns:
        other = column.compared_with
        for own in column.subgroups:
            names = {"column": column.column, "subgroup": own.value, "compared_with": other}
            sizes = {"images": own.n, "patients": own.patients, "positives": own.positives}
            shown = f"{count(own.n)} ({count(own.positives)} positive)"
            title = f"{column.column}: {own.value}{f', with {other}' if other else ''}"
            metrics = {
                describe(name).title: difference_cell(
                    name,
                    own.metrics.get(name),
                    own.difference.get(name),
                    own.p_adjusted.get(name),
                )
                for name in _METRICS
            }
            head = {"Label": Cell(None, {"label": label}), "Subgroup": Cell(title, names)}
            rows.append({**head, "Images": Cell(shown, sizes), **metrics})
    caption = f"{label} by subgroup: value, difference from the other images, adjusted p-value"
    return [Table("subgroups", caption, rows)] if rows else []


def _too_small(label: str, columns: Sequence[SubgroupColumn]) -> list[Table]:
    rows: list[Row] = [
        {
            "Label": Cell(None, {"label": label}),
            "Subgroup": Cell(
                f"{column.column}: {own.value}", {"column": column.column, "subgroup": own.value}
            ),
            "Images": Cell(count(own.n), {"images": own.n, "positives": own.positives}),
            "Reason": own.reason,
        }
        for column in columns
        for own in column.too_small
    ]
    caption = "Subgroups that are too small for results"
    return [Table("small_subgroups", caption, rows)] if rows else []
