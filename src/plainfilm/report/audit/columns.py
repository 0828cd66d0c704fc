"""The further columns of a data set that predict a label or a split, with their cross-tables."""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm.audit.document import ColumnResult
from plainfilm.audit.findings import share
from plainfilm.audit.shortcuts import judge_column
from plainfilm.report.html.markup import Html, element, folded, join, lead, quiet
from plainfilm.report.html.table import Row, Table
from plainfilm.report.wording import interval_text, number

_DRAWN = 20
_UNFOLDED = 4


def columns_section(columns: Sequence[ColumnResult]) -> Html:
    """Return a cross-table for each column, the most severe and then the best predictor first."""
    about = (
        "How well each further column of the data set, alone, predicts the label or, within one "
        "class, the split. Columns close to chance are not listed. The AUROC is cross-validated by "
        "patient, and all intervals hold simultaneously with 95 % confidence (Bonferroni)."
    )
    order = ("serious", "warning", "note", "no finding", "inconclusive")
    ranked = sorted(
        columns,
        key=lambda one: (one.kind == "shift", order.index(judge_column(one)), -one.auroc.value),
    )
    parts = [lead(about)]
    for index, one in enumerate(ranked[:_DRAWN]):
        title = f"{one.column}: {one.groups[0]} against {one.groups[1]}"
        if one.kind == "shift":
            title += f", images of {one.target}"
        body = join([_result(one), _table(one)])
        unfolded = index < _UNFOLDED and judge_column(one) in ("serious", "warning")
        parts.append(join([element("h3", title), body]) if unfolded else folded(title, body))
    if len(ranked) > _DRAWN:
        parts.append(quiet(f"The first {_DRAWN} of {len(ranked)} results; audit.json has all."))
    return join(parts)


def _result(one: ColumnResult) -> Html:
    judgement = judge_column(one)
    limits = interval_text(one.auroc) or one.auroc.reason or ""
    class_ = judgement if judgement in ("serious", "warning") else "note"
    badge = element("span", judgement, class_=f"badge {class_}")
    return element("p", f"AUROC {number(one.auroc.value)} ({limits}) ", badge)


def _table(one: ColumnResult) -> Html:
    first, second = one.groups
    rows: list[Row] = [
        {
            "Value": group.value,
            first: group.counts[0],
            second: group.counts[1],
            f"Share of {first}": share(group.counts[0], sum(group.counts)),
        }
        for group in one.table
    ]
    caption = f"Images by {one.column}"
    return Table("columns", caption, rows).to_html()
