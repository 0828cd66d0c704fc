"""Describes how published data sets are stored, for ``layout=``.

A layout only fills in options: everything that it does can also be said with options. It is used
when it is named. A table that looks like one is only reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from plainfilm.data.sources.options import SourceOptions


@dataclass(frozen=True, slots=True)
class Layout:
    """How a published data set, or one of its tables, is stored.

    Attributes
    ----------
    name
        Value of ``layout=``. Several layouts of one name are several tables of one set.
    title
        Name of the set in messages.
    tables
        Patterns of the paths of its tables below its folder; empty for class folders.
    columns
        Columns by which such a table is recognised.
    options
        Options that the user need not give. Paths in ``images``, ``join`` and ``split_lists`` start
        from the folder of the table.
    frontal
        Expression for ``where=`` that selects frontal images, if the set has others.
    """

    name: str
    title: str
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    options: SourceOptions
    frontal: str = ""


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "kermany",
        "Kermany's paediatric set",
        tables=(),
        columns=(),
        options={"positive": "PNEUMONIA"},
    ),
)


def recognise(columns: Iterable[str]) -> Layout | None:
    """Return the layout of a table with these columns, or None."""
    known = set(columns)
    return next((one for one in LAYOUTS if one.columns and known.issuperset(one.columns)), None)
