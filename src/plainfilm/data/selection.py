"""Chooses and finds records: leaves some out, picks some to display, finds moved images."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from plainfilm._csv import original
from plainfilm._files import read_regular, reason_of
from plainfilm._text import plural
from plainfilm.data.counts import class_names
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.data.sources.listing import finding
from plainfilm.errors import SourceError, UsageError
from plainfilm.records import SPLITS

_REMEDY = "create the list with: plainfilm audit DATA --exclude FILE.csv"


def leave_out(manifest: Manifest, path: str | Path) -> Manifest:
    """Return the manifest without the records that a CSV file lists.

    The file has a column ``id`` and, optionally, a column ``check`` with the reason. The listed
    records are then in ``left_out`` with the reason ``excluded``; ids that do not exist are a
    finding.

    Raises
    ------
    UsageError
        If the file cannot be read or has no column ``id``.
    SourceError
        If it lists none of the records, all of them, or all of an official split.
    """
    checks = _read(path)
    listed = manifest.records.where(manifest.records.contains_ids(checks))
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
        before = int((manifest.records.officials == name).sum())
        if before and before == (listed.officials == name).sum():
            raise SourceError(
                f"{path} lists every image of the official {name} split",
                received=plural(before, "image"),
                remedy="check the list: without these images another split would replace the "
                "official one",
            )
    if unknown := len(checks) - len(listed):
        note = finding(
            "excluded-unknown",
            "warning",
            f"the list of records to leave out has {plural(len(checks), 'id')}; {unknown:,} do not "
            "exist in the data",
            unknown,
            consequence="records with a misspelt id are not left out",
            remedy="write ids as the audit does: paths below the root of the data, "
            "with forward slashes",
        )
        manifest = manifest.with_findings([note])
    return manifest.drop(
        LeftOut(record.id, record.path, "excluded", f"left out on request ({checks[record.id]})")
        for record in listed
    )


def _read(path: str | Path) -> dict[str, str]:
    """Return the reason for each id in the file."""
    try:
        text = read_regular(path).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows, columns = list(reader), set(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            "the list of records to leave out cannot be read",
            received=f"{path}: {reason_of(error)}",
            remedy=_REMEDY,
        ) from error
    if "id" not in columns:
        raise UsageError(
            f"{path} has no column id",
            received=", ".join(sorted(map(str, columns))) or "an empty file",
            remedy=_REMEDY,
        )
    return {original(row["id"] or ""): row.get("check") or "listed" for row in rows}


def pick(manifest: Manifest, count: int = 16, seed: int = 0) -> list[int]:
    """Choose records for a grid of images: each class in turn, at random within a class.

    Returns the positions of at most ``count`` records; ``seed`` is the seed of the random choice.
    """
    rng = np.random.default_rng(seed)
    classes = class_names(manifest.task, manifest.records.labels)
    members = [np.flatnonzero(classes == name) for name in np.unique(classes)]
    queues = [rng.permutation(rows)[::-1].tolist() for rows in members]
    rounds = zip_longest(*queues)
    return [row for some in rounds for row in some if row is not None][:count]


def relocate(manifest: Manifest, folder: str | Path) -> Manifest:
    """Return a manifest whose images were moved to another folder, found by their ids.

    Parameters
    ----------
    manifest
        The records; ids are paths below the former folder.
    folder
        The folder where they are now.

    Raises
    ------
    SourceError
        If none of them is there.
    """
    root = Path(folder)
    paths = []
    found = 0
    for identity in manifest.ids.tolist():
        name = re.sub(r"#\d+$", "", identity)
        # With several sources, ids begin with the name of the source.
        places = [root / name, root / name.partition("/")[2]]
        place = next((path for path in places if path.is_file()), None)
        found += place is not None
        paths.append(str(place or places[0]))
    if paths and not found:
        raise SourceError(
            f"none of the images of {manifest.name} is in the folder",
            received=f"{folder}; the first image is {manifest.records[0].id}",
            remedy="give the folder that contains it by this path",
        )
    return replace(manifest, records=manifest.records.replace(path=paths))
