"""Joins a table of predictions with the ground truth of a data set of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from plainfilm._text import plural
from plainfilm.data import LeftOut, Manifest
from plainfilm.data.sources.listing import finding
from plainfilm.errors import SourceError
from plainfilm.evaluation.columns import collect_columns
from plainfilm.evaluation.tables.rows import ScoredTable


def join(table: ScoredTable, manifest: Manifest) -> ScoredTable:
    """Return the rows for the records of a data set, with its labels, patients and columns.

    Ids are compared in full, then by the last folder and the name of the file, and then by its name
    without ending, where these are unique.

    Raises
    ------
    SourceError
        If no row is for an image of the data set.
    """
    ids = manifest.ids.tolist()
    rows = match_ids(table.ids, ids)
    found = [(row, at) for at, row in enumerate(rows) if row is not None]
    if not found:
        raise SourceError(
            f"no row of {table.path.name} is for an image of {manifest.name}",
            received=f"ids such as {table.ids[0]!r}, and images such as {ids[0]!r}",
            remedy="name the column of the file names with id_column=",
        )
    records = manifest.records.take([at for _, at in found])
    without = [ids[at] for at, row in enumerate(rows) if row is None]
    unscored = match_ids([one.id for one in table.left_out], without)
    without = [one for one, row in zip(without, unscored, strict=True) if row is None]
    left_out = [
        *manifest.left_out,
        *(LeftOut(id_, "", "no-prediction", "the table has no row for it") for id_ in without),
        *table.left_out,
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
                remedy="predict on every image",
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


def match_ids(given: Sequence[str], targets: Sequence[str]) -> list[int | None]:
    """Return the row in ``given`` of each target, None where there is none; see `join`."""
    exact = {one: row for row, one in enumerate(given)}
    found = [exact.get(one) for one in targets]
    for key in (_end, _stem):
        if None not in found:
            break
        rows: dict[str, list[int]] = {}
        for row, one in enumerate(given):
            rows.setdefault(key(one), []).append(row)
        counts: dict[str, int] = {}
        for one in targets:
            counts[key(one)] = counts.get(key(one), 0) + 1
        for at, one in enumerate(targets):
            same = rows.get(key(one), [])
            if found[at] is None and len(same) == 1 and counts[key(one)] == 1:
                found[at] = same[0]
    return found


def _end(name: str) -> str:
    """Return the last folder and the name of a file."""
    return "/".join(PurePosixPath(name.replace("\\", "/")).parts[-2:])


def _stem(name: str) -> str:
    file = PurePosixPath(name.replace("\\", "/")).name
    return file.rpartition(".")[0] or file
