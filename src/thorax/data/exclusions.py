"""A list of records to leave out: an audit writes it, a person looks it through, training obeys."""

from __future__ import annotations

import csv
from pathlib import Path

from thorax.data.manifest import LeftOut, Manifest
from thorax.errors import SourceError, UsageError

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
        The rest; who is listed is in ``left_out``, with the reason ``excluded``.

    Raises
    ------
    UsageError
        If the file cannot be read, or has no column ``id``.
    SourceError
        If it lists none of these records, or all of them.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
            columns = set(rows[0]) if rows else {"id"}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            "the list of records to leave out cannot be read",
            received=f"{path}: {error}",
            todo="write one with: thorax audit DATA --exclude FILE.csv",
        ) from error
    if "id" not in columns:
        raise UsageError(
            f"{path} has no column id",
            received=", ".join(sorted(map(str, columns))),
            todo="write one with: thorax audit DATA --exclude FILE.csv",
        )
    checks = {row["id"]: row.get("check") or "listed" for row in rows}
    there = [record for record in manifest.records if record.id in checks]
    if checks and not there:
        raise SourceError(
            f"{path} lists no record of {manifest.name}",
            received=f"{len(checks)} ids, such as {next(iter(checks))}",
            todo="give the list of this very data set; ids are paths below its root",
        )
    if there and len(there) == len(manifest):
        raise SourceError(
            f"{path} lists every record of {manifest.name}", todo="look through the list"
        )
    rows_out = [
        LeftOut(record.id, record.path, "excluded", f"left out on request ({checks[record.id]})")
        for record in there
    ]
    return manifest.drop(rows_out)
