"""The document of an audit, ``audit.json``, and its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from plainfilm._document import Document
from plainfilm.data.counts import Description
from plainfilm.metrics.intervals import Interval
from plainfilm.records import Finding

FeatureSet = Literal["file metadata", "border", "thumbnail", "histogram"]


@dataclass(frozen=True, slots=True)
class SingleFeature:
    """A metadata item, and how well it separates two groups on its own."""

    name: str  # a key of `plainfilm.audit.baselines.METADATA`
    auroc: float  # 0.5 to 1, in whichever direction
    medians: tuple[float, float]  # of the first and of the second group


@dataclass(frozen=True, slots=True)
class Histograms:
    """Distribution of one quantity in two groups."""

    name: str  # a key of `plainfilm.audit.baselines.METADATA`, or ``grey level``
    edges: tuple[float, ...]  # (k + 1) ascending edges of the bins
    values: tuple[tuple[float, ...], tuple[float, ...]]  # (k) counts or proportions of each group


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
    drawn_from
        If the images were drawn at random: the number of images in each from which they were drawn.
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
    drawn_from: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """A value or range of a column, and the number of images of both groups that have it."""

    value: str
    counts: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnResult:
    """How well one further column distinguishes two groups of images on its own.

    Attributes
    ----------
    kind, target, groups
        See `Baseline`.
    column
        Name of the column, or of an item of the file's metadata.
    auroc
        Cross-validated AUROC; the intervals of all columns hold simultaneously with 95 %
        confidence.
    table
        The cross-table: images of both groups by value.
    """

    kind: Literal["shortcut", "shift"]
    column: str
    target: str
    groups: tuple[str, str]
    auroc: Interval
    table: tuple[ColumnGroup, ...]

    @property
    def is_copy(self) -> bool:
        """Return whether every value occurs in one group only, as in a copy of the label."""
        return all(min(one.counts) == 0 for one in self.table)


@dataclass(frozen=True, slots=True)
class MarkedImage:
    """An image with burnt-in text, and the boxes of its lines.

    A box has left, upper, right and lower edge, 0 to 1.
    """

    id: str
    boxes: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCounts:
    """How many images of two groups have burnt-in text.

    Attributes
    ----------
    kind, target, groups
        See `Baseline`.
    counts, totals
        Images with the text, and all images, of each group.
    p_value
        p-value of Fisher's exact test on the patients, times the number of tests, at most 1.
    """

    kind: Literal["shortcut", "shift"]
    target: str
    groups: tuple[str, str]
    counts: tuple[int, int]
    totals: tuple[int, int]
    p_value: float


@dataclass(frozen=True, slots=True)
class TextGroup:
    """Burnt-in text that looks alike, or all burnt-in text."""

    place: str  # where most of it is, such as ``lower right``; empty for all text
    count: int  # images with it
    comparisons: tuple[TextCounts, ...]
    examples: tuple[MarkedImage, ...]  # the box is that of the text of the group


@dataclass(frozen=True, slots=True)
class Trait:
    """A feature that distinguishes a style."""

    name: str  # one of `plainfilm.audit.styles.FEATURES`
    deviation: float  # standard deviations above the mean of all images


@dataclass(frozen=True, slots=True)
class Style:
    """An acquisition style, numbered from 1 by its place in the list."""

    count: int
    traits: tuple[Trait, ...]
    mean: MeanImage
    examples: tuple[str, ...]  # ids


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
        Counts of the data set, before any file was opened.
    hash
        Content hash of its manifest.
    images
        Number of images that could be read.
    findings
        All findings, the most severe first, without the ids to exclude.
    baselines
        All baseline models.
    excludable
        Number of records that the findings recommend to exclude.
    columns
        The further columns that are not close to chance.
    texts
        Burnt-in text: all of it, then each that recurs, the most frequent first.
    marked
        The first 200 images with burnt-in text.
    styles
        Acquisition styles, the most frequent first.
    style_results
        How well the style alone predicts a label or a split, unless close to chance.
    """

    SCHEMA: ClassVar[int] = 2

    plainfilm: str
    created: str
    quick: bool
    dataset: Description
    hash: str
    images: int
    findings: tuple[Finding, ...]
    baselines: tuple[Baseline, ...]
    excludable: int
    columns: tuple[ColumnResult, ...] = ()
    texts: tuple[TextGroup, ...] = ()
    marked: tuple[MarkedImage, ...] = ()
    styles: tuple[Style, ...] = ()
    style_results: tuple[ColumnResult, ...] = ()
