"""Counts the images, patients and classes of a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plainfilm.data.record_table import Records
from plainfilm.records import SPLITS, UNKNOWN, Task, TaskKind


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Images with, without and of unknown value of one label of a multi-label task."""

    positive: int
    negative: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of images and patients, and of images in each class (or label, if multi-label)."""

    images: int
    patients: int
    classes: Mapping[str, int | LabelCounts]


@dataclass(frozen=True, slots=True)
class Description:
    """Counts of a whole data set and of its splits.

    Attributes
    ----------
    name
        Name of the data set.
    task
        Kind of task.
    images, patients, classes
        Counts of all records, as in :class:`Counts`.
    splits
        Counts of each split that has records.
    left_out
        Numbers of files that are left out, by reason.
    """

    name: str
    task: TaskKind
    images: int
    patients: int
    classes: Mapping[str, int | LabelCounts]
    splits: Mapping[str, Counts] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


def describe(name: str, task: Task, records: Records, left_out: Counter[str]) -> Description:
    """Count records by class and split, and files that are left out by reason."""
    total = count(task, records)
    splits = records.splits
    parts = {split: records.where(splits == split) for split in SPLITS}
    return Description(
        name,
        task.kind,
        total.images,
        total.patients,
        total.classes,
        {split: count(task, part) for split, part in parts.items() if part},
        dict(sorted(left_out.items())),
    )


def count(task: Task, records: Records) -> Counts:
    """Count records, their patients and their labels."""
    labels = records.labels
    positive: list[int] = (labels == 1).sum(axis=0).tolist()
    negative: list[int] = (labels == 0).sum(axis=0).tolist()
    classes: dict[str, int | LabelCounts]
    if task.kind == "binary":
        classes = {task.classes[0]: negative[0], task.classes[1]: positive[0]}
    elif task.kind == "multiclass":
        classes = dict(zip(task.labels, positive, strict=True))
    else:
        classes = {
            label: LabelCounts(p, n, len(records) - p - n)
            for label, p, n in zip(task.labels, positive, negative, strict=True)
        }
    return Counts(len(records), records.patient_count, classes)


def class_names(task: Task, labels: NDArray[np.float32]) -> NDArray[np.str_]:
    """Return the class of each image, (n,), of labels (n, labels); see `Task.class_of`."""
    known = np.nan_to_num(labels, nan=-1).astype(np.int8)
    rows, index = np.unique(known, axis=0, return_inverse=True)
    names = [task.class_of([UNKNOWN if v < 0 else float(v) for v in row]) for row in rows.tolist()]
    return np.array(names, np.str_)[index.ravel()]
