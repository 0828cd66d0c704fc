"""Joins a table of predictions with the ground truth of a data set of images."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from plainfilm._text import plural
from plainfilm.data import LeftOut, Manifest
from plainfilm.data.sources.listing import finding, split_of_name
from plainfilm.errors import SourceError
from plainfilm.evaluation.columns import collect_columns
from plainfilm.evaluation.tables.rows import ScoredTable


def join(table: ScoredTable, manifest: Manifest, whole: Manifest) -> ScoredTable:
    """Return the rows for the records of a data set, with its labels, patients and columns.

    The data set may be a split of the whole one, in which the images of rows are looked up, so that
    no row of another split with an equal file name is taken. Ids are compared in full, also with
    the paths of the images, then by as many folders above the file as possible, and then by its
    name without ending, where these are unique. A row of another split, or of another file of this
    machine, is not taken. Rows without a score take part, so that no other row is taken in their
    place.

    Raises
    ------
    SourceError
        If no row is for an image of the data set.
    """
    ids = manifest.ids.tolist()
    given = [*table.ids, *(one.id for one in table.left_out)]
    everywhere = whole.ids.tolist()
    found_rows = match_ids(given, everywhere, whole.records.paths)
    matched = dict(zip(everywhere, found_rows, strict=True))
    rows = [matched[one] for one in ids]
    found = [(row, at) for at, row in enumerate(rows) if row is not None and row < len(table)]
    if not found:
        raise SourceError(
            f"no row of {table.path.name} is for an image of {manifest.name}",
            received=f"ids such as {table.ids[0]!r}, and images such as {ids[0]!r}",
            remedy="name the column of the file names with id_column=",
        )
    records = manifest.records.take([at for _, at in found])
    without = [ids[at] for at, row in enumerate(rows) if row is None]
    left_out = [
        *manifest.left_out,
        *(LeftOut(id_, "", "no-prediction", "the table has no row for it") for id_ in without),
        *(
            replace(table.left_out[row - len(table)], id=ids[at])
            for at, row in enumerate(rows)
            if row is not None and row >= len(table)
        ),
    ]
    findings = [*manifest.findings, *table.findings]
    if without:
        findings.append(
            finding(
                "predictions-missing",
                "warning",
                f"{plural(len(without), 'image')} of {manifest.name} "
                f"{'has' if len(without) == 1 else 'have'} no row in {table.path.name}",
                len(without),
                without,
                consequence="they are left out; if they are the difficult ones, the results are "
                "too optimistic",
                remedy="predict on every image, and if file names repeat, give paths with their "
                "folders",
            )
        )
    if unused := len(table) - len(found):
        findings.append(
            finding(
                "rows-unused",
                "note",
                f"{plural(unused, 'row')} of {table.path.name} "
                f"{'is' if unused == 1 else 'are'} for no image of {manifest.name}",
                unused,
            )
        )
    kept = replace(manifest, records=records)
    return replace(
        table,
        ids=records.ids.tolist(),
        patients=records.patients.tolist(),
        labels=kept.label_array(),
        scores=table.scores[np.array([row for row, _ in found])],
        splits=[name or None for name in records.known_splits.tolist()],
        columns=collect_columns(kept),
        left_out=left_out,
        findings=findings,
    )


def match_ids(
    given: Sequence[str], targets: Sequence[str], paths: Sequence[str] = ()
) -> list[int | None]:
    """Return the row in ``given`` of each target, None where there is none; see `join`.

    ``paths`` are those of the targets, if they have any.
    """
    exact = {one: row for row, one in enumerate(given)}
    found = [exact.get(one) for one in targets]
    if None in found and paths:
        full = (str(Path(one).absolute()) for one in paths)
        found = [
            exact.get(one) if row is None else row for row, one in zip(found, full, strict=True)
        ]
    if None not in found:
        return found
    certain = [row is not None for row in found]
    ours, theirs = [_parts(one) for one in given], [_parts(one) for one in targets]
    for depth in range(max(map(len, theirs)), 1, -1):
        _match(found, [_end(one, depth) for one in ours], [_end(one, depth) for one in theirs])
    _match(found, [one[-1] for one in ours], [one[-1] for one in theirs])
    _match(found, [_stem(one[-1]) for one in ours], [_stem(one[-1]) for one in theirs])
    for at, row in enumerate(found):
        if row is not None and not certain[at]:
            path = paths[at] if paths else None
            if _other_split(ours[row], theirs[at]) or _other_file(given[row], path):
                found[at] = None
    return found


def _other_split(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Return whether the folders of two paths name different splits."""
    one, other = ({split_of_name(part) for part in parts[:-1]} - {None} for parts in (ours, theirs))
    return bool(one and other) and one.isdisjoint(other)


def _other_file(given: str, path: str | None) -> bool:
    """Return whether an id is the absolute path of another file than ``path``."""
    if path is None or not Path(given).is_absolute():
        return False
    with contextlib.suppress(OSError, ValueError):
        return not Path(given).samefile(path)
    return False


def _match(found: list[int | None], given: Sequence[str], targets: Sequence[str]) -> None:
    """Fill in the rows of targets whose key, unless it is empty, occurs once on both sides."""
    if None not in found:
        return
    ours, theirs = Counter(given), Counter(targets)
    rows = {one: row for row, one in enumerate(given)}
    for at, one in enumerate(targets):
        if found[at] is None and one and ours[one] == theirs[one] == 1:
            found[at] = rows[one]


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts or ("",)


def _end(parts: tuple[str, ...], depth: int) -> str:
    """Return the end of a path, or an empty text if it has fewer parts."""
    return "/".join(parts[-depth:]) if len(parts) >= depth else ""


def _stem(file: str) -> str:
    return file.rpartition(".")[0] or file
