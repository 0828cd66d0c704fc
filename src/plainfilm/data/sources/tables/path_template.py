"""Builds paths from several columns of a table, such as ``{folder}/{filename}.dcm``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from string import Formatter

from plainfilm.data.sources.identifying import name_columns
from plainfilm.errors import UsageError

_SPEC = re.compile(r"(?:.?[<>^])?\d{0,2}(?:\.\d{1,3})?")
_WHOLE = re.compile(r"\d+\.0+")
_EXAMPLE = "write a template such as 'p{subject:.2}/{study}/{image}.jpg'"


def is_template(path_column: str | None, columns: Iterable[str]) -> bool:
    """Return whether an argument is a template of paths and not the name of a column."""
    return path_column is not None and "{" in path_column and path_column not in columns


def fill_template(template: str, columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the path of each row; it is blank where a cell is blank.

    Parameters
    ----------
    template
        Text with names of columns in braces. After a colon, ``.2`` means the first two characters,
        ``0>8`` zeros in front up to eight characters. Whole numbers lose their decimals if the
        whole column has them.
    columns
        Cells of each column.

    Raises
    ------
    UsageError
        If the template is invalid or names an unknown column.

    Examples
    --------
    >>> fill_template("p{id:.2}/{id}/{n}.jpg", {"id": ["10032", ""], "n": ["a", "b"]})
    ['p10/10032/a.jpg', '']
    """
    fields = _parse(template)
    names = list(dict.fromkeys(name for name, _ in fields))
    if unknown := [name for name in names if name not in columns]:
        raise UsageError(
            "path_column= names columns that do not exist",
            received=f"{', '.join(map(repr, unknown))}; the table has {name_columns(columns)}",
            remedy=_EXAMPLE,
        )
    literal = _literal_parts(template)
    cells = [
        [format(cell, spec) if cell else "" for cell in _whole(columns[name])]
        for name, spec in fields
    ]
    return [
        "".join(part for pair in zip(literal, [*row, ""], strict=True) for part in pair)
        if all(row)
        else ""
        for row in zip(*cells, strict=True)
    ]


def _whole(cells: Sequence[str]) -> Sequence[str]:
    """Return cells without the decimals of whole numbers, if all cells have them: 12 for 12.0."""
    if not all(_WHOLE.fullmatch(cell) for cell in cells if cell):
        return cells
    return [cell.partition(".")[0] for cell in cells]


def _parse(template: str) -> list[tuple[str, str]]:
    """Return name and format of each field."""
    try:
        parts = [*Formatter().parse(template)]
    except ValueError as error:
        raise _error(template) from error
    fields: list[tuple[str, str]] = []
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if conversion or not name or not _SPEC.fullmatch(spec or ""):
            raise _error(template)
        fields.append((name, spec or ""))
    return fields


def _literal_parts(template: str) -> list[str]:
    """Return the text before each field and after the last."""
    texts = [""]
    for text, name, _, _ in Formatter().parse(template):
        texts[-1] += text
        if name is not None:
            texts.append("")
    return texts


def _error(template: str) -> UsageError:
    return UsageError(
        "path_column= is not a valid template of paths", received=repr(template), remedy=_EXAMPLE
    )
