"""Sections on several evaluations: external validation and variation across seeds."""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm.evaluation.document import ExternalDocument, SeedsDocument
from plainfilm.evaluation.document.several import ExternalRow
from plainfilm.report.content import auroc_drop
from plainfilm.report.figures import ForestRow
from plainfilm.report.html.markup import element, lead
from plainfilm.report.html.page import Part, Section
from plainfilm.report.html.table import (
    Cell,
    Row,
    Table,
    difference_cells,
    interval_cell,
    number_cell,
)
from plainfilm.report.sections.analyses import forest_plot
from plainfilm.report.wording import count, counted, describe, number, sentence

_METRICS = ("auroc", "sensitivity", "specificity", "brier")


def external_title(external: ExternalDocument) -> str:
    """Return the title of the section: it is no external validation if all sets overlap."""
    some = any(row.role == "external" for row in external.rows)
    return "External validation" if some or not external.warnings else "Other data sets"


def external_section(external: ExternalDocument, title: str | None = None) -> Section:
    """Return the results of one bundle on several data sets, overlaps with training first."""
    rows = [
        ForestRow(f"{own.name}, {own.role}  ({own.n})", own.metrics["auroc"], bool(auroc_drop(own)))
        for own in external.rows
    ]
    caption = (
        "AUROC of the same model on each data set, with 95% confidence intervals. The dashed line "
        "is chance level. Orange: the whole interval of the difference from the first row is below "
        "zero."
    )
    plot = forest_plot("external", "AUROC on each data set.", rows, caption)
    parts: list[Part] = [lead(element("strong", sentence(one))) for one in external.warnings]
    parts += [plot, lead(external.note), _external(external)]
    return Section(title or external_title(external), parts)


def _external(external: ExternalDocument) -> Table:
    within = [*dict.fromkeys(column for row in external.rows for column in row.within)]
    rows: list[Row] = [
        {
            "Data set": Cell(f"{row.name}, {row.role}", {"data_set": row.name, "role": row.role}),
            "Images": Cell(
                f"{count(row.n)} ({counted(row.patients, 'patient')})",
                {"images": row.n, "patients": row.patients},
            ),
            "Prevalence": number_cell("prevalence", row.prevalence, percent=True),
            **difference_cells(_METRICS, row.metrics, row.difference),
            **(_within_cells(row, within) if within else {}),
            **(_overlap_cells(row) if external.warnings else {}),
        }
        for row in external.rows
    ]
    caption = "The same model on each data set, with the difference from the first row"
    return Table("external_validation", caption, rows)


def _within_cells(row: ExternalRow, columns: Sequence[str]) -> dict[str, Cell]:
    """Return the AUROC within the values of each column that some data set has."""
    return {
        f"AUROC within {name}": interval_cell(f"auroc_within_{name}", own)
        if (own := row.within.get(name))
        else Cell("–", {})
        for name in columns
    }


def _overlap_cells(row: ExternalRow) -> dict[str, Cell]:
    if row.overlap is None:  # of the bundle's own run
        none = Cell("–", {})
        return {"Overlap with training": none, "AUROC without it": none}
    area = (row.without if row.overlap else row.metrics) or {}
    return {
        "Overlap with training": Cell(count(row.overlap), {"overlap": row.overlap}),
        "AUROC without it": interval_cell("auroc_without", area.get("auroc")),
    }


def seeds_section(seeds: SeedsDocument) -> Section:
    """Return the results of several trainings of one recipe."""
    rows = [ForestRow(f"seed {row.seed}", row.metrics["auroc"]) for row in seeds.rows]
    if seeds.ensemble is not None:
        rows.append(ForestRow("ensemble", seeds.ensemble.metrics["auroc"]))
    about = "AUROC of each training."
    caption = f"{about} The 95% confidence intervals reflect the sampling of test images only."
    parts: list[Part] = [forest_plot("seeds", about, rows, caption, zero=None), lead(seeds.note)]
    table: list[Row] = [
        {
            "Metric": Cell(describe(name).title, {"metric": name}),
            "Mean over seeds": number_cell("mean", own.mean),
            "SD over seeds": number_cell("sd", own.sd),
            "SE from the test images": number_cell("sampling_se", own.sampling_se),
            "Range": Cell(
                f"{number(own.minimum)} to {number(own.maximum)}",
                {"minimum": own.minimum, "maximum": own.maximum},
            ),
        }
        for name, own in seeds.variation.items()
    ]
    caption = (
        "Variation across seeds: standard deviation (SD) over the trainings, and standard error "
        "(SE) from the choice of test images, which is the mean half width of the 95% confidence "
        "intervals divided by 1.96"
    )
    parts += [Table("seed_variation", caption, table, numeric=True)] if table else []
    return Section("Variation across seeds", parts)
