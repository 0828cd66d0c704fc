"""Lists images without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from plainfilm._machine import rare_collection
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.data.sources.folders.tree import read_tree
from plainfilm.data.sources.listing import Item, Listing, describe_unusable
from plainfilm.data.sources.patients.assign import assign_patients
from plainfilm.data.sources.patients.names import compile_patient_pattern
from plainfilm.data.sources.patients.scopes import scope_of
from plainfilm.data.sources.repeats import merge_repeated, to_records
from plainfilm.errors import SourceError
from plainfilm.records import UNKNOWN, Task


@rare_collection()
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
    unknown = (UNKNOWN,) * len(task.labels)
    kept, repeats = merge_repeated([(item, unknown) for item in listing.items])
    records = to_records(kept)
    return Manifest(root.name, task, records, tuple(left_out), (*findings, *repeats))


def without_labels(manifest: Manifest, task: Task) -> Manifest:
    """Return a manifest with unknown labels of another task."""
    unknown = np.full((len(manifest), len(task.labels)), UNKNOWN, np.float32)
    return replace(manifest, task=task, records=manifest.records.replace(labels=unknown))
