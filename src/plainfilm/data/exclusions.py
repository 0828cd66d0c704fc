"""A list of records to leave out: an audit writes it, a person looks it through, training obeys."""

from __future__ import annotations

import csv
from pathlib import Path

from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.errors import SourceError, UsageError
from plainfilm.records import SPLITS, Finding

__all__ = ["leave_out"]


def leave_out(manifest: Manifest, path: str | Path) -> Manifest:
    """Return the manifest without the records that a CSV lists.

    Parameters
    ----------
    path
        Has a column ``id``, and perhaps ``check``, which says why.

    Returns
    -------
    manifest
        The rest; who is listed is in ``left_out``, with the reason ``excluded``. Ids that are not
        there are a finding.

    Raises
    ------
    UsageError
        If the file cannot be read, or has no column ``id``.
    SourceError
        If it lists none of these records, all of them, or all of an official split.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), set(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            "the list of records to leave out cannot be read",
            received=f"{path}: {error}",
            remedy="write one with: plainfilm audit DATA --exclude FILE.csv",
        ) from error
    if "id" not in columns:
        raise UsageError(
            f"{path} has no column id",
            received=", ".join(sorted(map(str, columns))) or "nothing at all",
            remedy="write one with: plainfilm audit DATA --exclude FILE.csv",
        )
    checks = {row["id"]: row.get("check") or "listed" for row in rows}
    there = [record for record in manifest.records if record.id in checks]
    if checks and not there:
        raise SourceError(
            f"{path} lists no record of {manifest.name}",
            received=f"{len(checks)} ids, such as {next(iter(checks))}",
            remedy="give the list of this very data set; ids are paths below its root",
        )
    if there and len(there) == len(manifest):
        raise SourceError(
            f"{path} lists every record of {manifest.name}", remedy="look through the list"
        )
    for name in SPLITS:
        before = sum(record.official == name for record in manifest.records)
        if before and before == sum(record.official == name for record in there):
            raise SourceError(
                f"{path} lists every image of the official {name} split",
                received=f"{before} images",
                remedy="look through the list: another split would silently take its place",
            )
    rows_out = [
        LeftOut(record.id, record.path, "excluded", f"left out on request ({checks[record.id]})")
        for record in there
    ]
    if unknown := len(checks) - len(there):
        manifest = manifest.with_findings([_unknown(unknown, len(checks))])
    return manifest.drop(rows_out)


def _unknown(count: int, total: int) -> Finding:
    return Finding(
        check="excluded-unknown",
        severity="warning",
        problem=f"{count:,} of {total:,} lines of the list to leave out name no record here",
        count=count,
        consequence="who is misspelt stays in",
        remedy="write ids as the audit does: paths below the root of the data, with forward slashes",
    )
