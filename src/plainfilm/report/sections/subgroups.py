"""The section of a report that says for whom: results by column and by fact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from plainfilm.report.html.frames import Plot
from plainfilm.report.html.markup import Html, element, join
from plainfilm.report.html.tables import table
from plainfilm.report.wording import count, describe, metric_text, read_out, signed

__all__ = ["subgroups_section"]

Section = tuple[Html, list[Plot]]
_RATES = ("auroc", "sensitivity", "specificity")


def subgroups_section(part: Mapping[str, Any], whole: float | None) -> Section | None:
    """Return the results by column and fact; None where there is no column."""
    from plainfilm.report.figures import forest_figure

    plots: list[Plot] = []
    parts: list[Html] = []
    minimum = (part.get("minimum") or {}).get("patients")
    for label, columns in (part.get("labels") or {}).items():
        told = [column for column in columns if column["cells"] or column["refused"]]
        if not told:
            continue
        rows = list(_forest_rows(told))
        if any(row.get("value") is not None for row in rows):
            name = "subgroups" if not plots else f"subgroups-{len(plots) + 1:02d}"
            plots.append(
                Plot(
                    name,
                    forest_figure(rows, whole=whole if not plots else None, name=name),
                    f"AUROC of {label} in subgroups, with 95% intervals over patients. The line is "
                    "the whole test; orange marks a difference that holds after adjusting for "
                    f"{count(part.get('tests') or 0)} tests (Holm, p below 0.05).",
                    f"AUROC of {label} in subgroups. "
                    + "; ".join(read_out(row) for row in rows if row.get("value") is not None),
                )
            )
        parts.append(_subgroup_table(label, told))
        parts += [_refused(told)] if any(column["refused"] for column in told) else []
    if not parts:
        return None
    words = (
        f"A cell needs {minimum} patients of a class before that class is judged in it; a "
        "difference is the cell less all other images of known value. One that is not shown to be "
        "there may still be there: see how wide its interval is."
    )
    return join([element("p", words, class_="lead"), *parts]), plots


def _forest_rows(columns: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    for column in columns:
        yield {"words": column["column"]}
        for cell in column["cells"]:
            area = cell["auroc"]
            if area["value"] is None:
                continue
            adjusted = cell["p_adjusted"].get("auroc")
            yield {
                "words": f"{cell['value']}  ({cell['n']})",
                **{key: area[key] for key in ("value", "low", "high")},
                "marked": adjusted is not None and adjusted < 0.05,
            }


def _subgroup_table(label: str, columns: Iterable[Mapping[str, Any]]) -> Html:
    rows = []
    for column in columns:
        against = f", against {column['against']}" if column.get("against") else ""
        for cell in column["cells"]:
            sizes = f"{count(cell['n'])} ({count(cell['positives'])} positive)"
            rows.append(
                (
                    f"{column['column']}: {cell['value']}{against}",
                    sizes,
                    *(_with_difference(cell, name) for name in _RATES),
                )
            )
    head = ("Subgroup", "Images", *(f"{describe(name).title}" for name in _RATES))
    return table(f"{label} by subgroup: value, difference from the others, adjusted p", head, rows)


def _with_difference(cell: Mapping[str, Any], name: str) -> Html:
    kind = describe(name)
    parts: list[str] = [element("p", metric_text(name, cell[name]))]
    gap = cell["difference"].get(name)
    if gap is not None and gap["value"] is not None:
        p = cell["p_adjusted"].get(name)
        told = f"; p {_p(p)}" if p is not None else ""
        parts.append(element("p", f"{signed(gap, kind.percent)}{told}", class_="quiet"))
    return join(parts)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _refused(columns: Iterable[Mapping[str, Any]]) -> Html:
    rows = [
        (f"{column['column']}: {cell['value']}", count(cell["n"]), str(cell["reason"]))
        for column in columns
        for cell in column["refused"]
    ]
    return table("Subgroups too small to be judged", ("Subgroup", "Images", "Why"), rows)
