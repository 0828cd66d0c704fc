"""The document of an audit, ``audit.json``, and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from plainfilm._document import Document
from plainfilm.metrics.intervals import Interval
from plainfilm.records import Finding, TaskKind

__all__ = [
    "AuditDocument",
    "AuditedDataset",
    "Baseline",
    "FeatureSet",
    "Histograms",
    "LabelCounts",
    "SingleFeature",
    "SplitCounts",
]

FeatureSet = Literal["file metadata", "border", "thumbnail", "histogram"]


@dataclass(frozen=True, slots=True)
class SingleFeature:
    """A metadata item, and how well it separates two groups on its own.

    Attributes
    ----------
    name
        Key of `plainfilm.audit.baselines.METADATA`.
    auroc
        0.5 to 1, in whichever direction.
    medians
        Medians of the first and of the second group.
    """

    name: str
    auroc: float
    medians: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Histograms:
    """Distribution of one quantity in two groups.

    Attributes
    ----------
    name
        Key of `plainfilm.audit.baselines.METADATA`, or ``grey level``.
    edges
        (k + 1) ascending edges of the bins.
    values
        (k) counts or proportions of each group.
    """

    name: str
    edges: tuple[float, ...]
    values: tuple[tuple[float, ...], tuple[float, ...]]


MeanImage = tuple[tuple[float, ...], ...]
"""(side, side) grey levels, 0 to 255; NaN for pixels that the model does not see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Result of a baseline model: a small model on features that show little or no disease.

    Attributes
    ----------
    kind
        ``shortcut``: it predicts a label; ``shift``: it predicts the split, within one class.
    features
        The features of the model.
    target
        The label, or the class within which the splits are compared.
    groups
        Names of the positive and of the negative group.
    counts
        Number of images in each.
    auroc
        Cross-validated AUROC. All intervals of an audit hold simultaneously with 95 % confidence.
    strongest
        For file metadata, the items that separate the groups best on their own.
    histograms
        Distributions in both groups, for file metadata and histograms.
    means
        Mean images of both groups, for borders and thumbnails.
    """

    kind: Literal["shortcut", "shift"]
    features: FeatureSet
    target: str
    groups: tuple[str, str]
    counts: tuple[int, int]
    auroc: Interval
    strongest: tuple[SingleFeature, ...] = ()
    histograms: Histograms | None = None
    means: tuple[MeanImage, MeanImage] | None = None


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Number of images of one label in a multi-label task."""

    positive: int
    negative: int
    unknown: int


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """Number of images, patients, and images of each class or label."""

    images: int
    patients: int
    classes: Mapping[str, int | LabelCounts]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedDataset:
    """The data set that was audited.

    Attributes
    ----------
    name, hash
        Name and content hash of its manifest.
    task
        Kind of the task.
    images, patients, classes
        Counts, before any file was opened.
    splits
        Counts in each split.
    left_out
        Reasons for which files were left out of the manifest, and their numbers.
    """

    name: str
    hash: str
    task: TaskKind
    images: int
    patients: int
    classes: Mapping[str, int | LabelCounts]
    splits: Mapping[str, SplitCounts] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDocument(Document):
    """The results of an audit.

    Attributes
    ----------
    plainfilm
        Version that made the audit.
    created
        Date and time in ISO format.
    quick
        Whether no image was decoded.
    dataset
        The data set.
    images
        Number of images that could be read.
    findings
        All findings, the most severe first, without the ids to exclude.
    baselines
        All baseline models.
    excludable
        Number of records that the findings recommend to exclude.
    """

    SCHEMA: ClassVar[int] = 2

    plainfilm: str
    created: str
    quick: bool
    dataset: AuditedDataset
    images: int
    findings: tuple[Finding, ...]
    baselines: tuple[Baseline, ...]
    excludable: int
