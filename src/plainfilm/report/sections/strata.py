"""The section on results within strata: columns that are related to a label."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plainfilm.evaluation.document import EvaluationDocument, LabelResults
from plainfilm.evaluation.document.subgroups import Subgroup, SubgroupColumn
from plainfilm.report.content import distinct_points
from plainfilm.report.figures import ForestRow
from plainfilm.report.html.markup import element, lead
from plainfilm.report.html.page import Part, Section
from plainfilm.report.html.table import (
    Cell,
    Row,
    Table,
    change_cell,
    interval_cell,
    interval_cells,
    number_cell,
)
from plainfilm.report.sections.analyses import forest_plot
from plainfilm.report.wording import count, p_text, sentence

TITLE = "Results within strata"
_RATES = ("sensitivity", "specificity")


def strata_section(evaluation: EvaluationDocument) -> Section | None:
    """Return the AUROC within strata, and the results of each stratum; None without strata."""
    plots: list[Part] = []
    areas: list[Row] = []
    points: list[Row] = []
    for label, every in evaluation.subgroups.labels.items():
        columns = [column for column in every if column.within is not None]
        if not columns:
            continue
        name = "strata" if not plots else f"strata-{len(plots) + 1:02d}"
        plots.append(_forest(label, columns, name))
        areas += [_area_row(label, column) for column in columns]
        results = evaluation.labels[label]
        points += [
            row
            for column in columns
            for own in column.subgroups
            for row in _point_rows(label, column.column, own, results)
        ]
    if not plots:
        return None
    words = (
        "A column such as the view of the images may be related to the label. The AUROC over all "
        "pairs of images then depends on how the model ranks the values of that column. The AUROC "
        "within strata compares only images that share a value."
    )
    parts: list[Part] = [lead(element("strong", sentence(one))) for one in evaluation.mixing]
    tables = [
        Table(
            "strata",
            "AUROC over all pairs and within strata, with the difference; p-values of the "
            "difference are adjusted for all columns and labels (Holm)",
            areas,
        ),
        Table("strata_points", "Results of each stratum at each operating point", points),
    ]
    return Section(TITLE, [*parts, *plots, lead(words), *(one for one in tables if one.rows)])


def _forest(label: str, columns: Sequence[SubgroupColumn], name: str) -> Part:
    rows = []
    for column in columns:
        own = column.within
        if own is None:
            continue
        rows.append(ForestRow(f"within {column.column}", own.auroc, own.differs))
        rows += [
            ForestRow(f"{column.column}: {one.value}  ({count(one.n)})", one.metrics["auroc"])
            for one in column.subgroups
            if math.isfinite(one.metrics["auroc"].value)
        ]
    each = ", and of each value" if any(not row.text.startswith("within ") for row in rows) else ""
    pooled = {round(column.within.pooled, 3) for column in columns if column.within is not None}
    whole = pooled.pop() if len(pooled) == 1 else None
    line = "" if whole is None else " The solid line is the AUROC over all pairs of images."
    about = f"AUROC for {label} within strata."
    caption = (
        f"AUROC for {label} within the values of a column{each}, with 95% confidence "
        f"intervals by patient.{line} Orange: significant difference from the AUROC over all pairs "
        "(Holm, p < 0.05)."
    )
    return forest_plot(name, about, rows, caption, whole=whole)


def _area_row(label: str, column: SubgroupColumn) -> Row:
    own = column.within
    assert own is not None
    shown = f"{p_text(own.related)}"
    return {
        "Column": Cell(column.column, {"label": label, "column": column.column}),
        "Relation with the label": Cell(shown, {"related_p": own.related}),
        "AUROC over all pairs": number_cell("auroc_all_pairs", own.pooled),
        "AUROC within strata": interval_cell("auroc", own.auroc),
        "Difference": change_cell("auroc", own.difference),
        "p, adjusted": Cell(p_text(own.p_adjusted), {"p_adjusted": own.p_adjusted}),
        "Pairs within strata": number_cell("pairs", own.pairs, percent=True),
    }


def _point_rows(label: str, column: str, own: Subgroup, results: LabelResults) -> list[Row]:
    """Return a row for each operating point with a threshold of its own."""
    default = results.default_point
    rows: list[Row] = []
    for names, point in distinct_points(results).items():
        same = default is not None and point.threshold == default.threshold
        rates = own.metrics if same else own.operating_points.get(names.partition(", ")[0], {})
        sizes = {"images": own.n, "positives": own.positives}
        rows.append(
            {
                "Stratum": Cell(
                    f"{column}: {own.value}",
                    {"label": label, "column": column, "subgroup": own.value},
                ),
                "Images": Cell(f"{count(own.n)} ({count(own.positives)} positive)", sizes),
                "Operating point": Cell(names, {"operating_point": names}),
                **interval_cells(_RATES, rates),
            }
        )
    return rows
