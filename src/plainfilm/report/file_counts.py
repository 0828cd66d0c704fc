"""Counts what became of every file: found, left out, split, scored, rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from plainfilm.data import Manifest
from plainfilm.data.counts import Counts
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.evaluation.document.analyses import Rejection
from plainfilm.report.html.table import Cell, Row
from plainfilm.report.wording import count, counted

_NAMES = {"train": "Training", "validation": "Validation", "test": "Test"}
_REASONS = 4


@dataclass(frozen=True, slots=True)
class FileCounts:
    """What became of the files."""

    found: int
    left_out: Mapping[str, int]  # while listing, by reason
    splits: Mapping[str, Counts]  # empty for a data set without splits
    positives: Mapping[str, int]  # images by split; empty for a multi-class task
    unreadable: Mapping[str, int]  # files to score, by reason
    scored: int
    rejected: int | None  # these two are None if the bundle has no such limits
    indeterminate: int | None

    def split_lines(self, name: str) -> list[str]:
        """Return the name of a split and its counts in words."""
        own, lines = self.splits[name], [_NAMES[name]]
        lines += [counted(own.images, "image"), counted(own.patients, "patient")]
        positives = self.positives.get(name)
        return lines if positives is None else [*lines, f"{count(positives)} positive"]

    def scored_lines(self) -> list[str]:
        """Return the known numbers of scored, rejected and indeterminate images, in words."""
        limits = {"rejected": self.rejected, "indeterminate": self.indeterminate}
        lines = [f"{count(size)} {name}" for name, size in limits.items() if size is not None]
        return [counted(self.scored, "image"), *lines]


def split_rows(splits: Mapping[str, Counts], limit: int | None = None) -> list[Row]:
    """Return a row of a table for each split, with at most ``limit`` classes or labels."""
    rows: list[Row] = []
    for name, own in splits.items():
        cells = {}
        for key, size in list(own.classes.items())[:limit]:
            images = size if isinstance(size, int) else size.positive
            cells[key] = Cell(count(images), {key: images})
        rows.append({"Split": name, "Images": own.images, "Patients": own.patients, **cells})
    return rows


def count_files(
    manifest: Manifest, evaluation: EvaluationDocument, *, whole: bool = True
) -> FileCounts:
    """Count what became of every file of a run or, if not ``whole``, of one data set."""
    late = Counter(row.reason for row in evaluation.left_out)
    early = Counter(row.reason for row in manifest.left_out)
    if whole:
        late = late - early
    else:  # the evaluation lists all files that are left out of the data set
        late, early = Counter(), late + (early - late)
    splits, rejection = manifest.describe().splits if whole else {}, evaluation.rejection
    indeterminate = rejection.indeterminate if rejection else {}
    positive = (manifest.records.labels == 1).any(axis=1)
    return FileCounts(
        found=len(manifest.records) + sum(early.values()),
        left_out=dict(early.most_common()),
        splits=splits,
        positives={
            name: int((positive & (manifest.splits == name)).sum())
            for name in (splits if manifest.task.kind != "multiclass" else ())
        },
        unreadable=dict(late.most_common()),
        scored=evaluation.n,
        rejected=_rejected(rejection),
        indeterminate=max(indeterminate.values()) if indeterminate else None,
    )


def _rejected(rejection: Rejection | None) -> int | None:
    """Return the number of rejected images; None if there are none and novelty is unknown."""
    if rejection is None or (rejection.threshold is None and not rejection.rejected):
        return None
    return rejection.rejected


def describe_counts(files: FileCounts) -> str:
    """Return the counts as text, for screen readers."""
    texts = [f"{counted(files.found, 'file')} found"]
    if files.left_out:
        texts.append("left out: " + ", ".join(list_reasons(files.left_out)))
    for split in files.splits:
        name, *lines = files.split_lines(split)
        texts.append(f"{name.lower()}: {', '.join(lines)}")
    if files.unreadable:
        texts.append("not scored: " + ", ".join(list_reasons(files.unreadable)))
    return "; ".join([*texts, "scored: " + ", ".join(files.scored_lines())]) + "."


def list_reasons(reasons: Mapping[str, int]) -> list[str]:
    """Return the most frequent reasons with their counts, the others together."""
    pairs = list(reasons.items())
    others = sum(size for _, size in pairs[_REASONS:])
    texts = [f"{count(size)} {reason}" for reason, size in pairs[:_REASONS]]
    return [*texts, f"{count(others)} other"] if others else texts
