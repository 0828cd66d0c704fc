"""Rows of a table selected by an expression."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm.data import load_dataset
from plainfilm.data.sources.tables.where import select_rows
from plainfilm.errors import SourceError, UsageError

Draw = Callable[[Path, float], Path]
TABLE = {
    "view": ["PA", "AP", "LATERAL", ""],
    "Patient Age": ["9", "040", "12.5", "unknown"],
    "finding": ["Pneumonia|Mass", "No Finding", "pneumonia", "Mass"],
}


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ('view == "PA"', [0]),
        ('"PA" == view', [0]),
        ('view != "PA"', [1, 2, 3]),
        ('view in ("PA", "AP")', [0, 1]),
        ('view not in ["PA", "AP"]', [2, 3]),
        ('view == ""', [3]),
        ("`Patient Age` >= 12.5", [1, 2]),
        ("9 < `Patient Age` <= 40", [1, 2]),
        ("`Patient Age` == 40", [1]),
        ("`Patient Age` != 40", [0, 2, 3]),
        ("`Patient Age` > -1", [0, 1, 2]),
        ('"Pneumonia" in finding', [0]),
        ('not (view == "PA" or view == "AP") and `Patient Age` < 20', [2]),
        ('view == "PA" or view == "AP" and finding == "x"', [0]),
        ('view == "pa"', []),
        ("not " * 400 + 'view == "PA"', [0]),
    ],
)
def test_rows(expression: str, rows: list[int]) -> None:
    assert select_rows(expression, TABLE).nonzero()[0].tolist() == rows


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("view ==", "not a valid expression"),
        ("", "not a valid expression"),
        ('__import__("os").system("x")', "other than comparisons"),
        ("view", "other than comparisons"),
        ('view.upper() == "PA"', "compare a column with a constant"),
        ("view == finding", "compare a column with a constant"),
        ('"a" == "a"', "compare a column with a constant"),
        ("view in 5", "a list of values"),
        ('view is "PA"', "unknown comparison"),
        ("view == None", "text in quotes or a number"),
        ('views == "PA"', "does not exist"),
        ("(" * 300 + 'view == "PA"' + ")" * 300, "not a valid expression|nested"),
        ('view == "' + "A" * 3000 + '"', "longer than"),
        ("view == 'a\0b'", "not a valid expression"),
    ],
)
def test_invalid_expressions(expression: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        select_rows(expression, TABLE)


def test_where_selects_the_rows_of_a_table(draw_grey: Draw, tmp_path: Path) -> None:
    rows = ["path,label,view"]
    for number, view in enumerate(["PA", "AP", "L", "PA", "PA", "L"]):
        draw_grey(tmp_path / f"{number}.png", 100)
        rows.append(f"{number}.png,{'sick' if number % 2 else 'normal'},{view}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    manifest = load_dataset(table, where='view != "L"')
    assert manifest.ids.tolist() == ["0.png", "1.png", "3.png", "4.png"]
    found = next(f for f in manifest.findings if f.check == "rows-selected")
    assert (found.count, found.problem) == (
        2,
        '4 of 6 rows of table.csv were selected by view != "L"',
    )
    with pytest.raises(SourceError, match="selects no row"):
        load_dataset(table, where='view == "pa"')
    with pytest.raises(UsageError, match="where= is for tables"):
        load_dataset(tmp_path, where='view == "PA"')


def test_cells_that_are_not_numbers_are_counted(draw_grey: Draw, tmp_path: Path) -> None:
    rows = ["path,label,age"]
    for number, age in enumerate(["34", "034Y", '"12,5"', "", "60", "20"]):
        draw_grey(tmp_path / f"{number}.png", 100)
        rows.append(f"{number}.png,{'sick' if number % 4 else 'normal'},{age}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    manifest = load_dataset(table, where="age >= 18")
    assert manifest.ids.tolist() == ["0.png", "4.png", "5.png"]
    found = next(f for f in manifest.findings if f.check == "cells-not-numbers")
    assert (found.severity, found.count) == ("warning", 2)
    assert found.problem.startswith("2 cells are not a number (034Y, 12,5) in the column 'age'")
