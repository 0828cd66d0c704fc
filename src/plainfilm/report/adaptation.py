"""Builds the page of an adaptation to another site, ``adaptation.html``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from plainfilm._text import plural
from plainfilm.metrics import Interval
from plainfilm.report.html.markup import Html, element, lead
from plainfilm.report.html.page import Part, Section, page_header
from plainfilm.report.html.table import Cell, Row, Table, interval_cell, number_cell
from plainfilm.report.sections.summary import synthetic_notice
from plainfilm.report.wording import bounded, change_text, interval_text, number

if TYPE_CHECKING:
    from plainfilm.adaptation.document import (
        AdaptationDocument,
        LabelAdaptation,
        LabelShiftResults,
        PointChange,
    )


def adaptation_first_screen(document: AdaptationDocument) -> Html:
    """Return the top of the page: the conclusion first."""
    own, rest = document.adaptation, document.held_out
    facts = (
        f"{document.parent.name} (bundle {document.parent.id[:12]}), adapted on "
        f"{plural(own.images, 'image')} of {plural(own.patients, 'patient')} of {document.dataset}"
    )
    if rest is not None:
        facts += f"; held out: {plural(rest.images, 'image')} of {plural(rest.patients, 'patient')}"
    left = document.left_out
    facts += (
        f". Left out: {left.overlapping} of training or validation, {left.rejected} rejected, "
        f"{left.unreadable} unreadable, {left.unlabelled} without a label."
    )
    if left.unchecked:
        facts += f" Training images may be among them: {'; '.join(left.unchecked)}."
    notice = lead(element("strong", "For research and teaching. Not a medical device."))
    notices = [synthetic_notice(), notice] if document.synthetic else [notice]
    title, conclusion = f"Adaptation to {document.dataset}", lead(document.conclusion)
    return page_header("adaptation", title, conclusion, element("p", facts), *notices)


def adaptation_sections(document: AdaptationDocument) -> list[Section]:
    """Return the sections: one for each label, and the correction without labels."""
    sections = [
        Section(label, [*_label_parts(label, results)])
        for label, results in document.labels.items()
    ]
    if document.label_shift is not None:
        sections.append(Section("Shares of the classes", _shift_parts(document.label_shift)))
    return sections


def _label_parts(label: str, results: LabelAdaptation) -> Iterator[Part]:
    if not results.changed:
        yield element("p", f"Unchanged: {results.reason}.")
    elif results.slope is not None and results.intercept is not None:
        yield element(
            "p",
            f"On the adaptation images, the log odds get a slope of {_text(results.slope)} "
            f"and an intercept of {_text(results.intercept)}. The AUROC there is "
            f"{_text(results.auroc)}; an adaptation does not change it.",
        )
        if results.reason:
            yield element("p", f"Not determined: {results.reason}.")
    line = results.calibration
    lines = (
        ("Calibration slope (1 is ideal)", line.slope_before, line.slope_after, None),
        (
            "Calibration in the large (0 is ideal)",
            line.in_the_large_before,
            line.in_the_large_after,
            None,
        ),
        ("Brier score", results.brier.before, results.brier.after, results.brier.difference),
        ("Log loss", results.log_loss.before, results.log_loss.after, results.log_loss.difference),
    )
    rows: list[Row] = [
        {
            "Label": Cell(None, {"label": label}),
            "Held-out images": name,
            "Before": _cell("before", before),
            "After": _cell("after", after),
            "Difference": Cell(
                "–" if difference is None else change_text(difference),
                interval_cell("difference", difference).values,
            ),
        }
        for name, before, after, difference in lines
    ]
    yield Table("adaptation", f"Probabilities of {label} before and after", rows, numeric=True)
    if results.points:
        points = [_point_row(label, point) for point in results.points]
        yield Table("adaptation_points", f"Operating points of {label}", points, numeric=True)
    if plan := [*_plan_rows(label, results)]:
        yield Table("adaptation_plan", "Images for narrower 95 % intervals", plan)


def _cell(name: str, interval: Interval | None) -> Cell:
    return Cell(_text(interval), interval_cell(name, interval).values)


def _text(interval: Interval | None) -> str:
    """Return a value with its limits."""
    if interval is None or math.isnan(interval.value):
        return "–" if interval is None else f"undefined: {interval.reason}"
    shown = number(interval.value)
    return f"{shown} ({interval_text(interval)})" if bounded(interval) else shown


def _point_row(label: str, point: PointChange) -> Row:
    return {
        "Label": Cell(None, {"label": label}),
        "Operating point": point.name,
        "Threshold before": number_cell("threshold_before", point.threshold_before),
        "Threshold (5th to 95th percentile)": Cell(
            f"{number(point.threshold)} ({number(point.low)}–{number(point.high)})",
            {"threshold": point.threshold, "low": point.low, "high": point.high},
        ),
        "Sensitivity before": _cell("sensitivity_before", point.sensitivity_before),
        "Sensitivity": _cell("sensitivity", point.sensitivity),
        "Specificity before": _cell("specificity_before", point.specificity_before),
        "Specificity": _cell("specificity", point.specificity),
        "Adaptation images show": f"{point.status}{'; ' if point.note else ''}{point.note}",
    }


def _plan_rows(label: str, results: LabelAdaptation) -> Iterator[Row]:
    for one in results.plan:
        sizes_of = one.half_width, one.target, one.images, one.patients
        yield _plan_row(label, one.quantity, "adaptation", *sizes_of)
    sizes = results.sample_sizes
    if sizes is None:
        return
    for name, size in (("sensitivity", sizes.sensitivity), ("specificity", sizes.specificity)):
        for target in () if size is None else size.targets:
            now = math.nan if size is None else size.half_width
            sizes_of = now, target.half_width, target.images, target.patients
            yield _plan_row(label, name, "held-out", *sizes_of)


def _plan_row(
    label: str, name: str, part: str, now: float, target: float, images: int, patients: int
) -> Row:
    return {
        "Label": Cell(None, {"label": label}),
        "Quantity": name,
        "Half width now": number_cell("half_width", now),
        "Target": number_cell("target", target),
        "Part": part,
        "Images": images,
        "Patients": patients,
    }


def _shift_parts(results: LabelShiftResults) -> list[Part]:
    rows: list[Row] = [
        {
            "Label": label,
            "Assumed share": number_cell("assumed", share.assumed),
            "Estimated share": _cell("estimated", share.estimated),
            "Best mixture": number_cell("mixture", share.mixture),
            "p of the test": number_cell("p_adjusted", results.tests[label].p_adjusted),
        }
        for label, share in results.shares.items()
    ]
    return [
        element("p", results.assumption),
        Table("adaptation_shares", "Shares of the classes", rows, numeric=True),
    ]
