"""Lists images without labels."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.data.sources.folders.tree import read_tree
from plainfilm.data.sources.listing import Item, Listing, describe_unusable
from plainfilm.data.sources.patients.assign import assign_patients
from plainfilm.data.sources.patients.names import compile_patient_pattern
from plainfilm.data.sources.patients.scopes import scope_of
from plainfilm.data.sources.repeats import merge_repeated
from plainfilm.errors import SourceError
from plainfilm.records import Record, Task


def list_unlabelled(
    root: str | Path,
    task: Task,
    *,
    patient: str | None = None,
    patient_folder: int | None = None,
) -> Manifest:
    """List all images below a folder, with unknown labels of a task, and their patients.

    Parameters
    ----------
    root
        A folder.
    task
        The task of the records.
    patient, patient_folder
        See `plainfilm.data.SourceOptions`; ``patient`` is a pattern of file names here.

    Raises
    ------
    SourceError
        If there is no such folder, or no image in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise SourceError(
            "images without labels must be in a folder", received=root, remedy="give a folder"
        )
    listing = Listing(root.name, scope=scope_of(root))
    left_out: list[LeftOut] = []
    for below, size, real in read_tree(root).walk():
        path = str(root / below)
        if size <= 0:
            left_out.append(describe_unusable(below, path, size))
        else:
            listing.items.append(Item(below, path, real, task.labels[0]))
    if not listing.items:
        raise SourceError(
            f"{root} contains no images",
            remedy="give a folder with images in JPEG, PNG, TIFF, BMP, WebP, GIF or DICOM",
        )
    pattern = None if patient is None else compile_patient_pattern(patient)
    findings = assign_patients([listing], pattern, patient_folder)
    unknown = (math.nan,) * len(task.labels)
    kept, repeats = merge_repeated([(item, unknown) for item in listing.items])
    records = [
        Record(id=item.id, path=item.path, labels=unknown, patient=item.patient or item.id)
        for item, _ in sorted(kept, key=lambda pair: pair[0].id)
    ]
    return Manifest(root.name, task, tuple(records), tuple(left_out), (*findings, *repeats))


def without_labels(manifest: Manifest, task: Task) -> Manifest:
    """Return a manifest with unknown labels of another task."""
    unknown = (math.nan,) * len(task.labels)
    records = tuple(replace(record, labels=unknown) for record in manifest.records)
    return replace(manifest, task=task, records=records)
