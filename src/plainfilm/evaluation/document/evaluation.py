"""The document of one evaluation, ``evaluation.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from plainfilm._document import Document
from plainfilm.bundle.pretrained import PretrainedWeights
from plainfilm.evaluation.document.analyses import AtPrevalence, Rejection, Robustness
from plainfilm.evaluation.document.label import LabelResults
from plainfilm.evaluation.document.overlap import Overlap
from plainfilm.evaluation.document.readers import Readers
from plainfilm.evaluation.document.subgroups import SubgroupColumn, Subgroups
from plainfilm.metrics import Interval
from plainfilm.records import Finding, Task


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """The data that a bundle was trained on; None where the bundle does not say.

    ``synthetic_images`` is the number of training images that ``plainfilm.phantom`` drew.
    """

    dataset: str | None
    images: int | None
    validation_images: int | None
    synthetic_images: int | None = None


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """The model that was evaluated. None means unknown.

    Attributes
    ----------
    name
        Name of the folder of the run, bundle or cross-validation, or of the table of predictions.
    kind
        ``bundle``, ``predictions`` if only a table of its predictions is known, or ``folds`` for
        the models of a cross-validation, each on the fold that it was not trained on.
    id
        SHA-256 that identifies the content of the bundle or bundles, or of the table.
    seed
        An ensemble has the seeds of its members.
    temperature, locked_on
        Divisor of the logits, and the images that it and the thresholds were chosen on, in words.
        Both None if predictions are evaluated unchanged.
    assumed_prevalence
        ``balanced`` where training gives the classes equal weight, ``training`` or ``validation``
        where the probabilities fit the share of positives there.
    scores
        How the scores of a table became probabilities, in words.
    imported_from
        Name and SHA-256 of the ONNX file of an imported network.
    pretrained
        The weights from which the training started; None if they were random or are not known.
    inherited
        Further weights that the network goes back to, such as those of its teacher.
    """

    name: str
    kind: Literal["bundle", "predictions", "folds"]
    id: str
    recipe: str | None
    created: str | None
    backend: str | None
    seed: int | tuple[int, ...] | None
    temperature: float | None
    locked_on: str | None
    assumed_prevalence: str | None
    training: TrainingSummary
    scores: str | None = None
    imported_from: str | None = None
    pretrained: PretrainedWeights | None = None
    inherited: tuple[PretrainedWeights, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """The data that were evaluated on.

    Attributes
    ----------
    split
        ``test``, ``validation``, ``train``, or ``all`` where there is no split.
    hash, requested_hash
        Content hash of the scored records, and of the requested ones, which may include unreadable
        files.
    synthetic_images
        Number of scored images that ``plainfilm.phantom`` drew.
    """

    name: str
    split: str
    hash: str
    requested_hash: str
    synthetic_images: int = 0


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
    metrics
        For a binary task those of its label. For a multi-class task those of the most probable
        class and of all probabilities, as scikit-learn defines them for several classes; the Brier
        score is the sum over the classes, 0 to 2. For a multi-label task ``exact_match``, the share
        of images without any wrong label.
    macro
        Means over the labels of the metrics of each; empty for a binary task.
    micro
        Ranking metrics of all pairs of an image and a label; empty for a binary task.
    confusion_matrix
        For a multi-class task, number of images by true (rows) and most probable class (columns).
    """

    n: int
    patients: int
    metrics: Mapping[str, Interval]
    labels: Mapping[str, LabelResults]
    macro: Mapping[str, Interval] = field(default_factory=dict)
    micro: Mapping[str, Interval] = field(default_factory=dict)
    confusion_matrix: tuple[tuple[int, ...], ...] | None = None

    @property
    def main(self) -> Mapping[str, Interval]:
        """Return the metrics of the task, and means over the labels of the others."""
        return {**self.macro, **self.metrics}

    def averaged(self, name: str) -> int:
        """Return the number of labels in the mean of a metric: those for which it is defined."""
        found = (own.metrics.get(name) for own in self.labels.values())
        return sum(one is not None and not math.isnan(one.value) for one in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationDocument(Summary, Document):
    """All results of an evaluation, the content of ``evaluation.json``.

    Attributes
    ----------
    created, version
        Date and time in ISO 8601, and version of plainfilm.
    findings
        What was found about the data while reading, splitting and comparing them.
    robustness, rejection, at_prevalence
        None where the analysis was not made.
    overlap
        The overlap with the images that the bundle was trained and validated on.
    readers
        Human readers of the same images; None where none were given.
    """

    SCHEMA: ClassVar[int] = 3

    created: str
    version: str
    model: ModelSummary
    task: Task
    dataset: DatasetSummary
    subgroups: Subgroups
    left_out: tuple[LeftOutImage, ...]
    findings: tuple[Finding, ...] = ()
    robustness: Robustness | None = None
    rejection: Rejection | None = None
    at_prevalence: AtPrevalence | None = None
    overlap: Overlap | None = None
    readers: Readers | None = None

    @property
    def binary(self) -> LabelResults | None:
        """Return the results of the one label of a binary task; None for other tasks."""
        return self.labels[self.task.labels[0]] if self.task.kind == "binary" else None

    @property
    def overlapping(self) -> int:
        """Return the number of images that the bundle was trained or validated on."""
        return 0 if self.overlap is None else self.overlap.images

    @property
    def mixing(self) -> tuple[str, ...]:
        """Return a sentence for each AUROC that differs from the one within strata."""
        found = (
            column.mixing(label)
            for label, columns in self.subgroups.labels.items()
            for column in columns
        )
        return tuple(one for one in found if one is not None)

    def worse_than_chance(self) -> dict[str, SubgroupColumn | None]:
        """Return each label that the model ranks worse than chance, and what may explain it.

        That is a column within whose values the AUROC is not below 0.5 with confidence, if any.
        """
        return {
            label: next(
                (
                    column
                    for column in self.subgroups.labels.get(label, ())
                    if column.within is not None
                    and column.within.differs
                    and column.within.auroc.high >= 0.5
                ),
                None,
            )
            for label, results in self.labels.items()
            if results.worse_than_chance
        }

    @property
    def thresholds(self) -> dict[str, float]:
        """Return the threshold of the default operating point of each label that has one."""
        points = {label: results.default_point for label, results in self.labels.items()}
        return {label: one.threshold for label, one in points.items() if one is not None}
