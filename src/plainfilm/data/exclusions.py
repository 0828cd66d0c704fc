"""Leaves out the records that a CSV file lists."""

from __future__ import annotations

import csv
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.errors import SourceError, UsageError
from plainfilm.records import SPLITS, Finding

_REMEDY = "create the list with: plainfilm audit DATA --exclude FILE.csv"


def leave_out(manifest: Manifest, path: str | Path) -> Manifest:
    """Return the manifest without the records that a CSV file lists.

    Parameters
    ----------
    path
        CSV file with a column ``id`` and, optionally, a column ``check`` with the reason.

    Returns
    -------
    manifest
        The other records. Listed records are in ``left_out`` with the reason ``excluded``; ids
        that do not exist are a finding.

    Raises
    ------
    UsageError
        If the file cannot be read or has no column ``id``.
    SourceError
        If it lists none of the records, all of them, or all of an official split.
    """
    checks = _read(path)
    listed = [record for record in manifest.records if record.id in checks]
    if checks and not listed:
        raise SourceError(
            f"{path} lists no record of {manifest.name}",
            received=f"{plural(len(checks), 'id')}, such as {next(iter(checks))}",
            remedy="give the list of this data set; ids are paths below its root",
        )
    if listed and len(listed) == len(manifest):
        raise SourceError(
            f"{path} lists every record of {manifest.name}",
            received=plural(len(listed), "record"),
            remedy="check the list",
        )
    for name in SPLITS:
        before = sum(record.official == name for record in manifest.records)
        if before and before == sum(record.official == name for record in listed):
            raise SourceError(
                f"{path} lists every image of the official {name} split",
                received=plural(before, "image"),
                remedy="check the list: without these images another split would replace the "
                "official one",
            )
    if unknown := len(checks) - len(listed):
        manifest = manifest.with_findings([_unknown(unknown, len(checks))])
    return manifest.drop(
        LeftOut(record.id, record.path, "excluded", f"left out on request ({checks[record.id]})")
        for record in listed
    )


def _read(path: str | Path) -> dict[str, str]:
    """Return the reason for each id in the file."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), set(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            "the list of records to leave out cannot be read",
            received=f"{path}: {error}",
            remedy=_REMEDY,
        ) from error
    if "id" not in columns:
        raise UsageError(
            f"{path} has no column id",
            received=", ".join(sorted(map(str, columns))) or "an empty file",
            remedy=_REMEDY,
        )
    return {row["id"]: row.get("check") or "listed" for row in rows}


def _unknown(count: int, total: int) -> Finding:
    return Finding(
        check="excluded-unknown",
        severity="warning",
        problem=f"the list of records to leave out has {plural(total, 'id')}; {count:,} do not "
        "exist in the data",
        count=count,
        consequence="records with a misspelt id are not left out",
        remedy="write ids as the audit does: paths below the root of the data, "
        "with forward slashes",
    )
