"""The document of one evaluation, ``evaluation.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from plainfilm._document import Document
from plainfilm.evaluation.document.analyses import AtPrevalence, Rejection, Robustness, Subgroups
from plainfilm.evaluation.document.label import LabelResults
from plainfilm.metrics import Interval
from plainfilm.records import Task

__all__ = [
    "BundleSummary",
    "DatasetSummary",
    "EvaluationDocument",
    "LeftOutImage",
    "Summary",
    "TrainingSummary",
]


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """The data that a bundle was trained on; None where the bundle does not say."""

    dataset: str | None
    images: int | None
    validation_images: int | None


@dataclass(frozen=True, slots=True)
class BundleSummary:
    """The bundle that was evaluated, as far as a reader of results needs it.

    Attributes
    ----------
    id
        SHA-256 that names everything in the bundle.
    recipe, created, backend, seed
        How and when it was trained; an ensemble has the seeds of its members.
    temperature
        What the logits are divided by.
    locked_on
        The images that temperature and thresholds were chosen on, in words.
    assumed_prevalence
        ``balanced`` where training weighs the classes alike.
    training
        The training data.
    """

    id: str
    recipe: str | None
    created: str | None
    backend: str | None
    seed: int | tuple[int, ...] | None
    temperature: float
    locked_on: str | None
    assumed_prevalence: str | None
    training: TrainingSummary


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """The data that were evaluated on.

    Attributes
    ----------
    name
        Of the data set.
    split
        ``test``, ``validation``, ``train``, or ``all`` where there is no split.
    hash, requested_hash
        Content hash of the manifest that was scored, and of the one that was to be scored; they
        differ where files could not be read.
    """

    name: str
    split: str
    hash: str
    requested_hash: str


@dataclass(frozen=True, slots=True)
class LeftOutImage:
    """An image that was not scored, with a stable reason code and a sentence."""

    id: str
    reason: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The results by label, and over all labels.

    Attributes
    ----------
    n, patients
        Number of images and of patients.
    metrics
        For a binary task those of its label, otherwise the means over the labels. The
        ``accuracy`` of a multi-class task is that of the most probable class.
    labels
        The results of each label.
    micro
        The ranking metrics of all pairs of an image and a label; empty for a binary task.
    confusion_matrix
        For a multi-class task, the number of images by true class (rows) and most probable class
        (columns).
    """

    n: int
    patients: int
    metrics: Mapping[str, Interval]
    labels: Mapping[str, LabelResults]
    micro: Mapping[str, Interval] = field(default_factory=dict)
    confusion_matrix: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationDocument(Summary, Document):
    """Everything that an evaluation found, the content of ``evaluation.json``.

    Attributes
    ----------
    created, version
        Date and time in ISO 8601, and the version of plainfilm.
    bundle, task, dataset
        What was evaluated.
    subgroups
        Results by column and metadata.
    left_out
        The images that were not scored.
    robustness, rejection, at_prevalence
        Further analyses; None where they were not made.
    """

    SCHEMA: ClassVar[int] = 2

    created: str
    version: str
    bundle: BundleSummary
    task: Task
    dataset: DatasetSummary
    subgroups: Subgroups
    left_out: tuple[LeftOutImage, ...]
    robustness: Robustness | None = None
    rejection: Rejection | None = None
    at_prevalence: AtPrevalence | None = None

    @property
    def binary(self) -> LabelResults | None:
        """Return the results of the one label of a binary task; None for other tasks."""
        return self.labels[self.task.labels[0]] if self.task.kind == "binary" else None

    @property
    def thresholds(self) -> dict[str, float]:
        """Return the balanced threshold of each label that has one."""
        points = {label: results.balanced for label, results in self.labels.items()}
        return {label: one.threshold for label, one in points.items() if one is not None}
