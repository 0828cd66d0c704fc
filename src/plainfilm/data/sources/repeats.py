"""Merges several mentions of one file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from plainfilm._text import plural
from plainfilm.data.record_table import Records
from plainfilm.data.sources.listing import Item, finding
from plainfilm.errors import LabelError
from plainfilm.records import Finding

LabelledItem = tuple[Item, tuple[float, ...]]


@dataclass(slots=True)
class _Repeats:
    """Ids of files that occur several times, by kind of repeat."""

    repeated: list[str] = field(default_factory=list)
    in_several_splits: list[str] = field(default_factory=list)
    contradicting: list[str] = field(default_factory=list)
    of_several_patients: list[str] = field(default_factory=list)
    differing: int = 0


def rows_to_keep(items: Sequence[Item]) -> Sequence[int]:
    """Return the rows of one mention of every file, or one for each split."""
    if len({item.real for item in items}) == len(items):  # usual, and fast
        return range(len(items))
    splits: dict[str, set[str | None]] = defaultdict(set)
    for item in items:
        splits[item.real].add(item.official)
    rows: dict[tuple[str, str | None], int] = {}
    for row, item in enumerate(items):
        if item.official is not None or len(splits[item.real]) == 1:
            rows.setdefault((item.real, item.official), row)
    return [*rows.values()]


def merge_repeated(items: Sequence[LabelledItem]) -> tuple[list[LabelledItem], list[Finding]]:
    """Keep one mention of every file, or one for each split, since the audit must see that."""
    if len({item.real for item, _ in items}) == len(items):  # usual, and fast
        return [*items], []
    mentions: dict[str, list[LabelledItem]] = defaultdict(list)
    for item, row in items:
        mentions[item.real].append((item, row))
    kept: list[LabelledItem] = []
    repeats = _Repeats()
    for group in mentions.values():
        kept += group if len(group) == 1 else _merge(group, repeats)
    if count := len(repeats.contradicting):
        raise LabelError(
            f"{plural(count, 'file has', 'files have')} several labels",
            received=", ".join(sorted(repeats.contradicting)[:5]),
            remedy="remove the wrong mentions of each file, or combine boxes or readers of one "
            "image with reduce= (any or majority)",
        )
    _number_ids(kept)
    return kept, [*_report(repeats)]


def to_records(kept: Sequence[LabelledItem]) -> Records:
    """Return the records of items with their labels, sorted by id."""
    items, rows = zip(*sorted(kept, key=lambda pair: pair[0].id), strict=True)
    names = dict.fromkeys(name for item in items for name in item.columns)
    return Records.from_columns(
        np.array(rows, np.float32),
        {name: [item.columns.get(name) for item in items] for name in names},
        id=[item.id for item in items],
        path=[item.path for item in items],
        patient=[item.patient or item.id for item in items],
        official=[item.official for item in items],
    )


def _merge(group: list[LabelledItem], repeats: _Repeats) -> list[LabelledItem]:
    group.sort(key=lambda pair: pair[0].official is None)  # stable: mentions in a split first
    first = group[0][0]
    kept = [group[0]]
    if len({str(row) for _, row in group}) > 1:
        repeats.contradicting.append(first.id)
    patients = [item.patient for item, _ in group if item.patient != item.id]
    if len(set(patients)) > 1:
        repeats.of_several_patients.append(first.id)
    officials = {first.official}
    for item, row in group[1:]:
        repeats.differing += item.columns != first.columns
        if item.official is None or item.official in officials:
            repeats.repeated.append(item.id)
        else:
            officials.add(item.official)
            kept.append((item, row))
            repeats.in_several_splits.append(item.id)
    for item, _ in group:
        item.patient = patients[0] if patients else first.id
    return kept


def _number_ids(kept: list[LabelledItem]) -> None:
    """Make ids unique if a table names one file for several splits."""
    seen: Counter[str] = Counter()
    for item, _ in kept:
        seen[item.id] += 1
        item.id += f"#{seen[item.id]}" if seen[item.id] > 1 else ""


def _report(repeats: _Repeats) -> Iterator[Finding]:
    if count := len(repeats.repeated):
        nouns = ("repeated mention of a file was", "repeated mentions of files were")
        problem = f"{plural(count, *nouns)} not used"
        if repeats.differing:
            problem += f" ({repeats.differing} with other values in further columns)"
        yield finding("repeated-files", "note", problem, count, repeats.repeated)
    if count := len(repeats.in_several_splits):
        yield finding(
            "file-in-several-splits",
            "serious",
            f"{plural(count, 'file is', 'files are')} in several splits",
            count,
            repeats.in_several_splits,
            consequence="the model is tested on images that it was trained on",
            remedy="keep each file in one split only",
        )
    if count := len(repeats.of_several_patients):
        yield finding(
            "file-of-several-patients",
            "warning",
            f"{plural(count, 'file has', 'files have')} several patients; the first was used",
            count,
            repeats.of_several_patients,
            consequence="images of one patient may be in several splits",
            remedy="correct the patient of each file",
        )
