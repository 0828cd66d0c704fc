"""Loads folders and tables of images as a manifest."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from plainfilm._machine import rare_collection
from plainfilm.data.manifest import Manifest
from plainfilm.data.sources.apply_layout import apply_layout, fit_labels, propose_layout
from plainfilm.data.sources.classes.mapping import rename_classes
from plainfilm.data.sources.classes.task import label_items
from plainfilm.data.sources.folders.list_folder import list_folder
from plainfilm.data.sources.listing import Listing, finding
from plainfilm.data.sources.options import TABLE_OPTIONS, SourceOptions
from plainfilm.data.sources.patients.assign import assign_patients
from plainfilm.data.sources.patients.folders import check_patient_options
from plainfilm.data.sources.patients.names import compile_patient_pattern
from plainfilm.data.sources.patients.scopes import scope_of
from plainfilm.data.sources.repeats import LabelledItem, merge_repeated, to_records
from plainfilm.data.sources.root_names import name_roots
from plainfilm.data.sources.tables.columns import choose_columns
from plainfilm.data.sources.tables.files import TABLE_SUFFIXES, is_table
from plainfilm.data.sources.tables.further_columns import drop_unique_columns
from plainfilm.data.sources.tables.open_table import as_paths, open_table
from plainfilm.data.sources.tables.reduce import reduce_rows
from plainfilm.data.sources.tables.root_splits import assign_splits
from plainfilm.data.sources.tables.rows import list_table
from plainfilm.data.sources.tables.several_labels import check_positive, join_labels
from plainfilm.data.sources.tables.split_lists import assign_split_lists
from plainfilm.errors import SourceError, UsageError
from plainfilm.records import Finding, Task


@rare_collection()
def load_dataset(
    *roots: str | Path, name: str | None = None, **options: Unpack[SourceOptions]
) -> Manifest:
    """List the images of folders and tables, with labels and patients.

    A folder contains one folder for each class; folders of splits (``train``, ``test_set``) and of
    sites may be above or below them, and masks are left out. A table (text, Parquet or Excel) names
    a file, a class and, optionally, a patient and a split in each row. Its other columns are kept
    unless they may identify patients.
    Images are not decoded, but the headers of DICOM files are read for the patient. Patient keys
    are keyed hashes (see ``plainfilm.data.pseudonyms``), whose salt affects neither splits nor
    the hash of the manifest.

    Parameters
    ----------
    *roots
        Folders and tables with the same classes. With several roots, ids start with the name of
        the root, or of a folder above it where two roots have the same name. Equal identifiers
        from columns or DICOM headers mean one patient, and so do equal names of a known
        convention; equal matches of a pattern and equal folders only within one data set.
    name
        Name of the data set. Default: the name of the first root.
    **options
        Description of the data: see `plainfilm.data.SourceOptions`.

    Returns
    -------
    manifest
        Records sorted by id. ``left_out`` has the empty and missing files, ``findings`` the
        problems and the choices made by default.

    Raises
    ------
    SourceError
        If a root is missing, has no image, an empty class folder or only one class, or if the
        columns of a table are ambiguous.
    UsageError
        If an argument names a column or class that does not exist, or a pattern without a group.
    LabelError
        If a file has several labels, or the roots do not have the same classes.

    Examples
    --------
    >>> load_dataset("chest_xray").describe().images  # doctest: +SKIP
    5856
    """
    if not roots:
        raise UsageError("no folder or table was given", remedy="give at least one")
    paths = [_check(Path(root)) for root in roots]
    findings: list[Finding] = []
    explicit = options
    if layout := options.get("layout"):
        paths, options, findings = apply_layout(layout, paths, options)
        name = name or layout
    given = [f"{key}=" for key in TABLE_OPTIONS if options.get(key)]
    if given and all(path.is_dir() for path in paths):
        raise UsageError(
            f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} for tables",
            received=", ".join(map(str, paths)),
            remedy="give a table, or leave it out: the labels are the names of the folders",
        )
    if options.get("label_pattern") and not any(path.is_dir() for path in paths):
        raise UsageError(
            "label_pattern= is for folders",
            received=", ".join(map(str, paths)),
            remedy="name the column of the classes with labels=",
        )
    images, patient = options.get("images"), options.get("patient")
    level = options.get("patient_folder")
    check_patient_options(patient, level)
    base = Path(images) if images is not None else None
    listings = []
    is_column = False
    for path in paths:
        if path.is_dir():
            listings.append(list_folder(path, options))
            listings[-1].scope = scope_of(path)
            continue
        table, found = open_table(path, options)
        of_table = fit_labels(table, options, explicit) if layout else options
        with nullcontext() if layout else propose_layout(table, found):
            columns = choose_columns(table, of_table)
            listing = list_table(table, columns, of_table)
        is_column = is_column or patient in table.columns
        listing.scope = scope_of(base or path)
        listing.findings += found
        listings.append(listing)
    lists = as_paths(options.get("split_lists"))
    if lists:
        findings += assign_split_lists(listings, lists, known=not explicit.get("split_lists"))
    from_roots = [] if lists else assign_splits(listings)
    join_labels(listings)
    check_positive(listings, options.get("positive"))
    if len(listings) > 1:
        _add_prefix(listings, name_roots(paths))
    pattern = None if patient is None or is_column else compile_patient_pattern(patient)
    findings += [found for listing in listings for found in listing.findings] + from_roots
    if class_map := options.get("class_map"):
        findings += rename_classes(listings, class_map)
    if rule := options.get("reduce"):
        findings += reduce_rows(listings, rule, options.get("positive"))
    findings += assign_patients(listings, pattern, level)
    findings += [found for listing in listings for found in drop_unique_columns(listing)]
    _check_items(listings)
    task, rows, found = label_items(
        listings, options.get("positive"), one_class=options.get("one_class", False)
    )
    return _combine(listings, task, rows, [*findings, *found], name or listings[0].name)


def _check(path: Path) -> Path:
    if not path.exists():
        raise SourceError(
            "the folder or table does not exist",
            received=path,
            remedy="give the folder that contains train/ or the class folders",
        )
    if not path.is_dir() and not is_table(path.name):
        raise SourceError(
            "a data set must be a folder or a table",
            received=path,
            remedy=f"give a folder, or a table named {', '.join(TABLE_SUFFIXES)}",
        )
    return path


def _add_prefix(listings: list[Listing], names: list[str]) -> None:
    """Add the name of its root to every id."""
    for listing, name in zip(listings, names, strict=True):
        listing.name, prefix = name, f"{name}/"
        for item in listing.items:
            item.id = prefix + item.id
        listing.left_out = [replace(item, id=prefix + item.id) for item in listing.left_out]
        listing.findings = [
            replace(found, files=tuple(prefix + file for file in found.files))
            for found in listing.findings
        ]


def _check_items(listings: list[Listing]) -> None:
    left_out = [item for listing in listings for item in listing.left_out]
    if not any(listing.items for listing in listings):
        reasons = Counter(item.reason for item in left_out)
        raise SourceError(
            "the data set has no usable image",
            received=", ".join(f"{n} {reason}" for reason, n in reasons.items()) or "no file",
            remedy="rename the folder, whose name is not valid text (UTF-8)"
            if [*reasons] == ["invalid-name"]
            else "check that the data set is complete",
        )


def _combine(
    listings: list[Listing],
    task: Task,
    rows: list[tuple[float, ...]],
    findings: list[Finding],
    name: str,
) -> Manifest:
    items = [item for listing in listings for item in listing.items]
    left_out = [item for listing in listings for item in listing.left_out]
    kept, repeats = merge_repeated(list(zip(items, rows, strict=True)))
    records = to_records(kept)
    if left_out:
        used = {item.path for item in items}  # a file may have rows with and without a label
        others = {item.id: item for item in reversed(left_out) if item.path not in used}
        left_out = sorted(others.values(), key=lambda item: item.id)
    findings = [*findings, *repeats]
    if task.kind != "multilabel" and len({row for _, row in kept}) > 1:
        findings += _missing_classes(kept, len(task.classes))
    return Manifest(name, task, records, tuple(left_out), tuple(findings))


def _missing_classes(kept: list[LabelledItem], classes: int) -> list[Finding]:
    found = Counter(official for official, _ in {(item.official, row) for item, row in kept})
    incomplete = sorted(split for split, rows in found.items() if split and rows < classes)
    if not incomplete:
        return []
    problem = f"not every class has images in {', '.join(incomplete)}"
    remedy = "check that the folders are complete"
    return [finding("class-missing", "warning", problem, len(incomplete), remedy=remedy)]
