"""Folders and tables of images become a manifest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.data.sources.classes import label_items
from plainfilm.data.sources.columns import TABLE_SUFFIXES, choose_columns, read_table
from plainfilm.data.sources.folders import list_folder
from plainfilm.data.sources.kermany import KERMANY, fetch_kermany, verify_kermany
from plainfilm.data.sources.listing import Item, Listing, finding
from plainfilm.data.sources.names import compile_patient_pattern
from plainfilm.data.sources.patients import assign_patients, scope_of
from plainfilm.data.sources.rows import list_table, without_telling_columns
from plainfilm.errors import LabelError, SourceError, UsageError
from plainfilm.records import Finding, Record

__all__ = ["KERMANY", "fetch_kermany", "load_dataset", "verify_kermany"]

Labels = tuple[float, ...]


def load_dataset(
    *roots: str | Path,
    labels: str | Sequence[str] | None = None,
    positive: str | None = None,
    patient: str | None = None,
    path_column: str | None = None,
    split_column: str | None = None,
    images: str | Path | None = None,
    name: str | None = None,
) -> Manifest:
    """List the images of one or several folders and tables, with labels and patients.

    Nothing is decoded; of DICOM files the header is read, for the patient. A folder has one folder
    for each class, with or without ``train``, ``validation`` and ``test`` above (or below) them. A
    table (CSV, TSV, Parquet) names a file, a class and possibly a patient and a split in each
    row; its other columns are kept, but for what may tell who a patient is. Patient keys are keyed
    hashes (see :mod:`plainfilm.data.pseudonyms`); splits and hashes do not depend on their salt.

    Parameters
    ----------
    *roots
        Folders and tables. With several, ids start with the name of their root; all must have the
        same classes. Equal identifiers from a column or from DICOM headers mean one patient, and
        so do equal names of a known habit; what a pattern finds does so within one data set.
    labels
        Of a table: the column of class names, or several columns of 1, 0 and blank = unknown.
    positive
        Which of two classes is the positive one.
    patient
        A column, or a regular expression searched in the file name whose groups are the
        patient's key. Without it, a column of a usual name, a known habit of file names or, for
        DICOM files, PatientID is taken.
    path_column, split_column
        Of a table: the columns of paths and splits.
    images
        Of a table: the folder that relative paths start from, if not the table's own.
    name
        Name of the data set; the name of the first root otherwise.

    Returns
    -------
    manifest
        Records sorted by id. ``left_out`` has the empty and missing files, ``findings`` what was
        noticed and what was guessed.

    Raises
    ------
    SourceError
        If a root is missing, has no image, an empty class folder or one class only, or if it is
        not clear which column is which.
    UsageError
        If an argument names what there is not: a column, a class, a pattern without a group.
    LabelError
        If a file has contradicting labels, or the roots do not agree on the classes.

    Examples
    --------
    >>> load_dataset("chest_xray").describe()["images"]  # doctest: +SKIP
    5856
    """
    if not roots:
        raise UsageError("no folder and no table was given", remedy="give at least one")
    paths = [_check(Path(root)) for root in roots]
    tables = [path for path in paths if not path.is_dir()]
    if not tables and (labels or path_column or split_column or images):
        raise UsageError(
            "labels=, path_column=, split_column= and images= are about a table",
            received=", ".join(map(str, paths)),
            remedy="give a table, or leave them out: the names of folders are the labels",
        )
    listings = []
    column_taken = False
    for path in paths:
        if path.is_dir():
            listings.append(list_folder(path))
            listings[-1].scope = scope_of(path)
            continue
        table = read_table(path)
        columns = choose_columns(
            table,
            labels=labels,
            patient=patient,
            path_column=path_column,
            split_column=split_column,
        )
        column_taken = column_taken or patient in table.columns
        listings.append(list_table(table, columns, Path(images) if images is not None else None))
        listings[-1].scope = scope_of(Path(images) if images is not None else path)
    if len(listings) > 1:
        _prefix(listings)
    pattern = None if patient is None or column_taken else compile_patient_pattern(patient)
    findings = [found for listing in listings for found in listing.findings]
    findings += assign_patients(listings, pattern)
    findings += [found for listing in listings for found in without_telling_columns(listing)]
    return _combine(listings, positive, findings, name or listings[0].name)


def _check(path: Path) -> Path:
    if not path.exists():
        raise SourceError(
            "there is no such folder or table",
            received=path,
            remedy="check the path; the folder is the one that holds train/ or the class folders",
        )
    if not path.is_dir() and path.suffix.lower() not in TABLE_SUFFIXES:
        raise SourceError(
            "a data set is a folder, or a table ending in .csv, .tsv or .parquet", received=path
        )
    return path


def _prefix(listings: list[Listing]) -> None:
    """Put the root's name before every id, with a number where two roots have one name."""
    seen: Counter[str] = Counter()
    for listing in listings:
        seen[listing.name] += 1
        if seen[listing.name] > 1:
            listing.name = f"{listing.name}-{seen[listing.name]}"
        for item in listing.items:
            item.id = f"{listing.name}/{item.id}"
        listing.left_out = [
            replace(item, id=f"{listing.name}/{item.id}") for item in listing.left_out
        ]
        listing.findings = [
            replace(found, files=tuple(f"{listing.name}/{file}" for file in found.files))
            for found in listing.findings
        ]


def _combine(
    listings: list[Listing], positive: str | None, findings: list[Finding], name: str
) -> Manifest:
    items = [item for listing in listings for item in listing.items]
    left_out = [item for listing in listings for item in listing.left_out]
    if not items:
        raise SourceError(
            "no image is left to use",
            received=_reasons(left_out),
            remedy="check that the data set was copied whole",
        )
    task, rows, found = label_items(listings, positive)
    findings += found
    kept, repeated = _merge_repeated(items, rows)
    findings += repeated
    records = [
        Record(
            id=item.id,
            path=item.path,
            labels=row,
            patient=item.patient or item.id,
            official=item.official,
            columns=item.columns,
        )
        for item, row in kept
    ]
    records.sort(key=lambda record: record.id)
    left_out.sort(key=lambda item: item.id)
    findings += _missing_classes(records, task.classes if task.kind != "multilabel" else ())
    return Manifest(name, task, tuple(records), tuple(left_out), tuple(findings))


def _reasons(left_out: list[LeftOut]) -> str:
    counts = Counter(item.reason for item in left_out)
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "no file"


def _merge_repeated(
    items: list[Item], rows: list[Labels]
) -> tuple[list[tuple[Item, Labels]], list[Finding]]:
    """Keep one of several mentions of a file, unless splits differ: the audit must see that."""
    mentions: dict[str, list[tuple[Item, Labels]]] = defaultdict(list)
    for item, row in zip(items, rows, strict=True):
        mentions[item.real].append((item, row))
    kept, repeated, torn, contradicting, shared = [], [], [], [], []
    differing = 0
    for group in mentions.values():
        if len(group) == 1:
            kept += group
            continue
        group.sort(key=lambda pair: pair[0].official is None)  # stable: one in a split first
        first = group[0][0]
        kept.append(group[0])
        if len({str(row) for _, row in group}) > 1:
            contradicting.append(first.id)
        known = [item.patient for item, _ in group if item.patient != item.id]
        if len(set(known)) > 1:
            shared.append(first.id)
        officials = {first.official}
        for item, row in group[1:]:
            differing += item.columns != first.columns
            if item.official is None or item.official in officials:
                repeated.append(item.id)
            else:
                officials.add(item.official)
                kept.append((item, row))
                torn.append(item.id)
        for item, _ in group:  # one file is of one patient
            item.patient = known[0] if known else first.id
    if contradicting:
        raise LabelError(
            f"{len(contradicting)} files have contradicting labels",
            received=", ".join(sorted(contradicting)[:5]),
            remedy="settle the label of each, or remove the wrong mention",
        )
    return _number_twins(kept), _tell_repeated(repeated, differing, torn, shared)


def _tell_repeated(
    repeated: list[str], differing: int, torn: list[str], shared: list[str]
) -> list[Finding]:
    findings = []
    if repeated:
        what = f"{len(repeated)} mentions of files that were already listed are not used"
        if differing:
            what += f" ({differing} say something else in further columns; the first one counts)"
        findings.append(finding("repeated-files", "note", what, len(repeated), repeated))
    if torn:
        findings.append(
            finding(
                "file-in-several-splits",
                "serious",
                f"{len(torn)} files are in more than one split",
                len(torn),
                torn,
                consequence="what was learnt by heart is taken for skill",
                remedy="leave each in one split only",
            )
        )
    if shared:
        findings.append(
            finding(
                "file-of-several-patients",
                "warning",
                f"{len(shared)} files are given to more than one patient; the first one counts",
                len(shared),
                shared,
                consequence="images of one patient may cross splits",
                remedy="settle whose each file is",
            )
        )
    return findings


def _number_twins(kept: list[tuple[Item, Labels]]) -> list[tuple[Item, Labels]]:
    """Make ids unique where a table names one file for several splits."""
    seen: Counter[str] = Counter()
    for item, _ in kept:
        seen[item.id] += 1
        if seen[item.id] > 1:
            item.id = f"{item.id}#{seen[item.id]}"
    return kept


def _missing_classes(records: list[Record], classes: tuple[str, ...]) -> list[Finding]:
    if not classes:
        return []
    distinct: dict[str, set[tuple[float, ...]]] = defaultdict(set)
    for record in records:
        if record.official is not None:
            distinct[record.official].add(record.labels)
    poor = sorted(part for part, rows in distinct.items() if len(rows) < len(classes))
    if not poor:
        return []
    what = f"not every class has images in {', '.join(poor)}"
    todo = "check that the folders are complete"
    return [finding("class-missing", "warning", what, len(poor), remedy=todo)]
