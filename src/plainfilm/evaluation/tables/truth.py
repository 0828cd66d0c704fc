"""Reads the ground truth of a table of predictions as the labels of a task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainfilm.data import LeftOut, SourceOptions
from plainfilm.data.sources.classes.mapping import rename_classes
from plainfilm.data.sources.classes.task import label_items
from plainfilm.data.sources.listing import Item, Listing
from plainfilm.data.sources.tables.labels import NoLabel, read_labels
from plainfilm.data.sources.tables.table import Table
from plainfilm.evaluation.tables.cells import Cells
from plainfilm.records import Finding, Task


class Truth(NamedTuple):
    """The labels (n, labels) of all rows, the rows without a label, and findings."""

    task: Task
    labels: NDArray[np.float32]
    left_out: dict[int, LeftOut]
    findings: list[Finding]


def read_truth(
    cells: Cells, columns: Mapping[str, str], ids: list[str], options: SourceOptions
) -> Truth:
    """Read the columns of the ground truth, which are given with the names of their labels.

    They are read as those of a table of images: by class names or 1 and 0, with the same words
    for blank and uncertain and the same options.
    """
    names = [*columns.values()]
    table = Table(cells.path, {label: cells.text(name) for name, label in columns.items()})
    listing = Listing(cells.path.name, is_table=True)
    rows = read_labels(table, names, options, listing)
    left_out = {
        row: LeftOut(ids[row], "", one.reason, one.problem)
        for row, one in enumerate(rows)
        if isinstance(one, NoLabel)
    }
    # One item for each different label: a million rows have few.
    kinds = [*dict.fromkeys(one for one in rows if not isinstance(one, NoLabel))]
    listing.items = [Item(f"{n}", "", "", kind) for n, kind in enumerate(kinds)]
    findings = []
    if class_map := options.get("class_map"):
        findings += rename_classes([listing], class_map)
    task, values, found = label_items([listing], options.get("positive"), one_class=True)
    of_kind = dict(zip(kinds, values, strict=True))
    unknown = (math.nan,) * len(task.labels)
    labels = np.array(
        [unknown if isinstance(one, NoLabel) else of_kind[one] for one in rows], np.float32
    )
    return Truth(task, labels, left_out, [*listing.findings, *findings, *found])


def as_classes(task: Task, labels: NDArray[np.float32], scores: NDArray[np.float64]) -> Task:
    """Return the task of columns of 1 and 0, which may be the classes of one task.

    They are classes if there are three or more, every image has exactly one, and its
    probabilities sum to 1.
    """
    if task.kind != "multilabel" or len(task.labels) < 3:
        return task
    sums = scores[np.isfinite(scores).all(axis=1)].sum(axis=1)
    if np.all(labels.sum(axis=1) == 1) and np.all(np.abs(sums - 1) < 0.01):
        return Task("multiclass", task.labels, task.labels)
    return task
