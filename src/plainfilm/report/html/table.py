"""Tables that are written as HTML and as CSV from the same cells."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from plainfilm._csv import records_to_csv
from plainfilm._files import write_text
from plainfilm.metrics import Interval
from plainfilm.report.html.markup import Html, element, join, quiet, visible
from plainfilm.report.wording import change_text, count, describe, metric_text, number, p_text

TableName = Literal[
    "adaptation", "adaptation_plan", "adaptation_points", "adaptation_shares",
    "at_prevalence", "characteristics", "checklist_claim", "checklist_stard_ai",
    "checklist_tripod_ai", "columns", "evaluation",
    "external_validation", "findings", "folds", "left_out", "left_out_reasons", "metrics",
    "metrics_by_label", "metrics_macro", "metrics_micro", "operating_points", "readers",
    "readers_against", "readers_mean", "rejection",
    "robustness",
    "sample_sizes", "search_confirmation", "search_space", "search_trials", "seed_variation",
    "small_subgroups", "splits", "strata",
    "strata_points", "subgroups", "texts", "training",
]  # fmt: skip
"""Names of the CSV files."""

Value = str | float | None


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text or markup in HTML (None hides the column), and its values in CSV by name."""

    shown: str | None
    values: Mapping[str, Value]


Row = Mapping[str, Cell | str | int | None]
"""Cells by the title of their column; also text, counts, and None where there is nothing."""


def interval_cell(name: str, interval: Interval | None, *, named: bool = True) -> Cell:
    """Return the cell of a metric with its interval; if not ``named``, another cell names it."""
    return Cell(metric_text(name, interval), _values(name if named else "", interval))


def change_cell(name: str, interval: Interval | None) -> Cell:
    """Return the cell of a change of a metric with its interval."""
    shown = change_text(interval, describe(name).percent)
    return Cell(shown, _values(f"{name}_change", interval))


def interval_cells(names: Iterable[str], metrics: Mapping[str, Interval]) -> dict[str, Cell]:
    """Return the cells of several metrics by their titles."""
    return {describe(name).title: interval_cell(name, metrics.get(name)) for name in names}


def difference_cells(
    names: Iterable[str],
    metrics: Mapping[str, Interval],
    differences: Mapping[str, Interval] | None,
    *p: Mapping[str, float],
) -> dict[str, Cell]:
    """Return the cells of metrics and their differences, with adjusted p-values if given."""
    return {
        describe(n).title: _difference_cell(
            n, metrics.get(n), (differences or {}).get(n), *(own.get(n) for own in p)
        )
        for n in names
    }


def _difference_cell(
    name: str, interval: Interval | None, difference: Interval | None, *p: float | None
) -> Cell:
    shown = [element("p", metric_text(name, interval))]
    if difference is not None and math.isfinite(difference.value):
        words = change_text(difference, describe(name).percent)
        for own in p:
            words += "" if own is None else f"; {p_text(own)}"
        shown.append(quiet(words))
    values = _values(name, interval) | _values(f"{name}_difference", difference)
    return Cell(join(shown), values | {f"{name}_p_adjusted": own for own in p})


def number_cell(name: str, value: float | None, *, percent: bool = False) -> Cell:
    """Return the cell of a number without interval; – if it is None or undefined."""
    return Cell(number(value, percent), {name: value})


def _values(name: str, own: Interval | None) -> dict[str, Value]:
    names = (name, f"{name}_low", f"{name}_high") if name else ("value", "low", "high")
    limits = (None, None, None) if own is None else (own.value, own.low, own.high)
    return dict(zip(names, limits, strict=True))


@dataclass(frozen=True, slots=True)
class Table:
    """A table of at least one row, whose first visible column names its rows.

    Tables of one page with one name are written to one CSV file.
    """

    name: TableName
    caption: str
    rows: Sequence[Row]
    numeric: bool = False  # columns are wide enough for an interval
    transposed: bool = False  # HTML shows columns as rows
    limit: int | None = None  # number of rows in HTML; the CSV file has all
    dense: bool = False  # on paper in two columns of small letters

    def grid(self, limit: int | None = None) -> list[list[str]]:
        """Return the heads and at most ``limit`` rows as text or markup, line by line."""
        titles = [title for title, own in self.rows[0].items() if _cell(title, own).shown]
        grid = [titles]
        grid += [[_cell(t, row[t]).shown or "" for t in titles] for row in self.rows[:limit]]
        return [list(line) for line in zip(*grid, strict=True)] if self.transposed else grid

    def to_html(self) -> Html:
        """Return the table in a frame that scrolls where it is too wide."""
        grid = self.grid(self.limit)
        body = [
            element(
                "tr",
                element("th", line[0], scope="row"),
                *(element("td", text, class_=_style(text)) for text in line[1:]),
            )
            for line in grid[1:]
        ]
        table = element(
            "table",
            element("caption", element("span", self.caption)),
            element("thead", element("tr", *(element("th", one, scope="col") for one in grid[0]))),
            element("tbody", *body),
            class_="numbers" if self.numeric else None,
        )
        style = "scroll dense" if self.dense else "scroll"
        frame = element(
            "div", table, class_=style, role="region", tabindex="0", aria_label=self.caption
        )
        if self.limit is None or len(self.rows) <= self.limit:
            return frame
        words = f"The first {self.limit} of {count(len(self.rows))} rows; the CSV file has all."
        return join([frame, quiet(words)])


def _cell(title: str, content: Cell | str | int | None) -> Cell:
    if isinstance(content, Cell):
        return content
    name = re.sub(r"\W+", "_", title.lower())
    if isinstance(content, int):
        return Cell(count(content), {name: content})
    return Cell("–" if content is None else content, {name: content})


def _style(text: str) -> str | None:
    return "undefined" if text.startswith("undefined: ") else None


def write_tables(tables: Iterable[Table], folder: Path) -> None:
    """Write each table as ``NAME.csv``, and remove the tables of an earlier page.

    Numbers are plain and undefined ones empty. Text that a spreadsheet would read as a formula
    begins with an apostrophe.
    """
    files: dict[str, list[dict[str, Value]]] = {}
    for table in tables:
        files.setdefault(table.name, []).extend(map(_record, table.rows))
    for name in get_args(TableName):
        path = folder / f"{name}.csv"
        if name not in files:
            path.unlink(missing_ok=True)
            continue
        write_text(path, records_to_csv(files[name]))


def _record(row: Row) -> dict[str, Value]:
    values = [pair for own in row.items() for pair in _cell(*own).values.items()]
    return {str(_plain(name)): _plain(value) for name, value in values}


def _plain(value: Value) -> Value:
    if isinstance(value, str):
        return visible(value)
    return value if value is None or math.isfinite(value) else None
