"""Shows the patients and images of splits and data sets as a table (Table 1 of a paper)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from plainfilm.data.characteristics import Characteristics, Groups, Numbers
from plainfilm.data.sources.root_names import number_names
from plainfilm.report.html.table import Cell, Row, Table
from plainfilm.report.wording import count

_FIRST = "Characteristic"
_NAMES = {"train": "Training", "validation": "Validation", "test": "Test", "all": "All"}
CAPTION = (
    "Characteristics of patients and images. Age and sex are of patients (lowest age and first "
    "known sex of each), the others of images; percentages are of all patients or images, with "
    "the missing ones"
)

_Find = Callable[[Characteristics], tuple[int, int] | None]
_MOST_LABELS = 30


def characteristics_table(groups: Sequence[Characteristics]) -> Table:
    """Return a table with a column for each group."""
    rows = [_sizes("Images", groups, lambda own: own.images)]
    rows.append(_sizes("Patients", groups, lambda own: own.patients))
    if any(own.age for own in groups):
        rows += _age_rows(groups)
    rows += _group_rows("Sex", groups, lambda own: own.sex, lambda own: own.patients)
    rows += _group_rows("View", groups, lambda own: own.view, lambda own: own.images)
    rows += _group_rows("Site", groups, lambda own: own.site, lambda own: own.images)
    names = list(dict.fromkeys(label for own in groups for label in own.labels))
    for label in names[:_MOST_LABELS]:
        rows.append(_share_row(f"{label}: positive", groups, _positive(label)))
        if any(own.labels[label].unknown for own in groups if label in own.labels):
            rows.append(_share_row(f"{label}: unknown", groups, _unknown(label)))
    return Table("characteristics", CAPTION, rows, numeric=True)


def _row_of(title: str, groups: Sequence[Characteristics], cells: Sequence[Cell]) -> Row:
    heads = number_names([_NAMES.get(own.name, own.name) for own in groups], taken=(_FIRST,))
    return {
        _FIRST: Cell(title, {"characteristic": title}),
        **dict(zip(heads, cells, strict=True)),
    }


def _sizes(
    title: str, groups: Sequence[Characteristics], size: Callable[[Characteristics], int]
) -> Row:
    cells = [Cell(count(size(own)), {f"{own.name}_n": size(own)}) for own in groups]
    return _row_of(title, groups, cells)


def _age_rows(groups: Sequence[Characteristics]) -> list[Row]:
    def row(title: str, write: Callable[[Numbers], str], **values: str) -> Row:
        cells = []
        for own in groups:
            known = own.age is not None and own.age.known
            cells.append(
                Cell(
                    write(own.age) if own.age is not None and known else "–",
                    {
                        f"{own.name}_{name}": getattr(own.age, field) if known else None
                        for name, field in values.items()
                    },
                )
            )
        return _row_of(title, groups, cells)

    rows = [
        row(
            "Age in years: median (range)",
            lambda age: f"{age.median:.0f} ({age.minimum:.0f}–{age.maximum:.0f})",
            value="median", minimum="minimum", maximum="maximum",
        ),
        row(
            "Age in years: mean (SD)",
            lambda age: f"{age.mean:.1f} ({age.sd:.1f})".replace("nan", "–"),
            value="mean", sd="sd",
        ),
    ]  # fmt: skip
    if any(own.age is None or own.age.missing for own in groups):
        rows.append(_share_row("Age: missing", groups, _missing_age))
    return rows


def _missing_age(own: Characteristics) -> tuple[int, int]:
    return (own.patients if own.age is None else own.age.missing), own.patients


def _group_rows(
    title: str,
    groups: Sequence[Characteristics],
    find: Callable[[Characteristics], Groups | None],
    total: Callable[[Characteristics], int],
) -> list[Row]:
    """Return a row for each value, and one for missing values if there are any."""
    found = [find(own) for own in groups]
    values = list(dict.fromkeys(value for own in found if own for value in own.counts))
    if not values:
        return []

    def size_of(value: str) -> _Find:
        def size(own: Characteristics) -> tuple[int, int] | None:
            known = find(own)
            return None if known is None else (known.counts.get(value, 0), total(own))

        return size

    def missing(own: Characteristics) -> tuple[int, int]:
        known = find(own)
        return (total(own) if known is None else known.missing), total(own)

    rows = [_share_row(f"{title}: {value}", groups, size_of(value)) for value in values]
    if any(own is None or own.missing for own in found):
        rows.append(_share_row(f"{title}: missing", groups, missing))
    return rows


def _positive(label: str) -> _Find:
    return lambda own: (own.labels[label].positive, own.images) if label in own.labels else None


def _unknown(label: str) -> _Find:
    return lambda own: (own.labels[label].unknown, own.images) if label in own.labels else None


def _share_row(title: str, groups: Sequence[Characteristics], find: _Find) -> Row:
    cells = []
    for own in groups:
        found = find(own)
        if found is None:
            cells.append(Cell("–", {f"{own.name}_n": None, f"{own.name}_share": None}))
            continue
        size, total = found
        share = size / total if total else math.nan
        shown = f"{count(size)} ({100 * share:.1f}%)" if total else count(size)
        cells.append(Cell(shown, {f"{own.name}_n": size, f"{own.name}_share": share}))
    return _row_of(title, groups, cells)
