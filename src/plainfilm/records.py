"""Data types that all packages share, as frozen dataclasses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from plainfilm._files import hash_json
from plainfilm._text import is_name, printable
from plainfilm.errors import ConfigError

__all__ = [
    "LONGEST_NAME",
    "SPLITS",
    "UNKNOWN",
    "Finding",
    "Geometry",
    "Histogram",
    "LockedPoint",
    "OperatingPoint",
    "PixelSpec",
    "PointStatus",
    "Purpose",
    "Recalibration",
    "Record",
    "ScoreCounts",
    "Severity",
    "Split",
    "Task",
    "TaskKind",
    "ThresholdEvidence",
    "ValidationRates",
]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Geometry = Literal["squash", "pad", "crop"]
Histogram = Literal["as-is", "matched"]
TaskKind = Literal["binary", "multiclass", "multilabel"]
Severity = Literal["note", "warning", "serious"]
Purpose = Literal["balanced", "rule-out", "rule-in", "custom"]
PointStatus = Literal["determined", "not determined", "not attainable"]

LONGEST_NAME = 200
"""Largest number of characters of a label."""

UNKNOWN = math.nan
"""Value of an unknown label; the loss and all metrics ignore it."""


@dataclass(frozen=True, slots=True)
class PixelSpec:
    """Size and geometry of the square grey image that a network receives.

    Attributes
    ----------
    size
        Side of the square in pixels, 8 to 4096.
    geometry
        ``squash`` stretches to the square, ``pad`` adds black borders, ``crop`` takes the middle.
    trim
        Whether to remove wide uniform borders first.
    frame
        Frame of a multi-frame DICOM file or page of a TIFF, counted from 0. Files without it are
        left out.
    histogram
        ``as-is``, or ``matched``: the grey levels are mapped to a fixed distribution
        (`plainfilm.pixels.histogram.match_histogram`).
    """

    size: int
    geometry: Geometry = "squash"
    trim: bool = False
    frame: int = 0
    histogram: Histogram = "as-is"

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise ConfigError(
                "the image size must be between 8 and 4096 pixels", received=self.size
            )
        if self.geometry not in ("squash", "pad", "crop"):
            raise ConfigError(
                "the geometry must be squash, pad or crop", received=repr(self.geometry)
            )
        if self.frame < 0:
            raise ConfigError("the frame must be 0 or more", received=self.frame)
        if self.histogram not in ("as-is", "matched"):
            raise ConfigError(
                "the histogram must be as-is or matched", received=repr(self.histogram)
            )

    @property
    def key(self) -> str:
        """A short name, unique to this spec and valid as a folder name."""
        trim = "-trim" if self.trim else ""
        frame = f"-frame{self.frame}" if self.frame else ""
        values = asdict(self)
        matched = "-matched"
        if self.histogram == "as-is":
            matched = ""
            del values["histogram"]  # so that the key is that of a spec without this field
        return f"{self.size}-{self.geometry}{trim}{frame}{matched}-{hash_json(values)[:8]}"


@dataclass(frozen=True, slots=True)
class Task:
    """Labels and classes of a classification task.

    Attributes
    ----------
    kind
        ``binary``: one label; ``multiclass``: exactly one of the labels is 1;
        ``multilabel``: any number of labels are 1, unknown ones are NaN.
    labels
        Names of the label columns, in order; for ``binary`` the single positive label. A name has
        at most 200 printable characters.
    classes
        Names of the classes; for ``binary`` (negative, positive).
    """

    kind: TaskKind
    labels: tuple[str, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in (*self.labels, *self.classes):
            if not is_name(name, LONGEST_NAME):
                raise ConfigError(
                    f"a label must have 1 to {LONGEST_NAME} printable characters",
                    received=printable(repr(name)),
                )

    def class_of(self, labels: Sequence[float]) -> str:
        """Return the class of an image with these labels, or ``unknown``."""
        if self.kind == "binary":
            return "unknown" if math.isnan(labels[0]) else self.classes[int(labels[0])]
        present = [name for name, value in zip(self.labels, labels, strict=True) if value == 1]
        return ", ".join(present) or ("unknown" if any(map(math.isnan, labels)) else "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One image: its location, labels, patient and metadata.

    Attributes
    ----------
    id
        Name, unique in its manifest: the path below the root, with forward slashes.
    path
        Location of the file on this machine.
    labels
        1.0, 0.0 or NaN for each label of the task, in its order.
    patient
        Key of the patient, a keyed hash; the record's id if the patient is unknown. All images of
        a patient belong to one split.
    split
        Split of the record, or None if not assigned.
    official
        Split that the source assigns, or None.
    columns
        Further columns of the source (subgroup, view, sex, age, site, ...).
    """

    id: str
    path: str
    labels: tuple[float, ...]
    patient: str
    split: Split | None = None
    official: Split | None = None
    columns: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result of the audit or of listing the data.

    Attributes
    ----------
    check
        Name of the check, in kebab case.
    severity
        ``serious`` findings invalidate an evaluation or make part of the data unusable.
    problem
        The problem in one sentence.
    count
        Number of files (or groups, or patients) concerned.
    files
        Ids of the records concerned, at most a few hundred; ``count`` is exact.
    consequence
        Effect on training or evaluation.
    remedy
        Instruction to the reader.
    groups
        Ids that belong together (an image and its copies), each group within ``files``.
    exclude
        Ids of all records to leave out to remove the problem.
    """

    check: str
    severity: Severity
    problem: str
    count: int
    files: tuple[str, ...] = ()
    consequence: str = ""
    remedy: str = ""
    groups: tuple[tuple[str, ...], ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold for one label.

    The predicted class is positive if the probability is at least ``threshold``.

    Attributes
    ----------
    name
        Name in the bundle, unique for each label.
    threshold
        Probability, 0 to 1.
    rule
        Description of the rule that selected the threshold.
    """

    name: str
    purpose: Purpose
    label: str
    threshold: float
    rule: str

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:  # also where it is NaN
            raise ConfigError("a threshold must be between 0 and 1", received=self.threshold)


@dataclass(frozen=True, slots=True)
class ValidationRates:
    """Sensitivity and specificity on the validation set; NaN if a class is missing.

    The threshold was selected on these images, so they are not estimates of performance.
    """

    sensitivity: float
    specificity: float


@dataclass(frozen=True, slots=True)
class ThresholdEvidence:
    """What the validation set shows about a threshold.

    Attributes
    ----------
    status
        ``not attainable`` if no threshold reaches the target; ``not determined`` if the threshold
        is that of the balanced point, or ``note`` has another reason.
    note
        Warning for the reader, or an empty string.
    low, high
        5th and 95th percentile of the threshold over bootstrap samples of validation patients,
        0 to 1.
    target
        Sensitivity (rule-out) or specificity (rule-in) that was requested; None for other points.
    same_as_balanced
        Whether another point than the balanced one has its threshold.
    positives, negatives
        Number of validation images by known label, without disturbed copies.
    positive_patients, negative_patients
        Number of patients who have such an image.
    copies
        Number of versions of each image that were used, the unchanged one included.
    unchanged, all_copies
        Rates on the unchanged images, and on all versions of the images.
    """

    status: PointStatus
    note: str
    low: float
    high: float
    target: float | None
    same_as_balanced: bool
    positives: int
    negatives: int
    positive_patients: int
    negative_patients: int
    copies: int
    unchanged: ValidationRates
    all_copies: ValidationRates

    @property
    def determined(self) -> bool:
        """Return whether the validation set determines the threshold well enough."""
        return self.status == "determined"


@dataclass(frozen=True, slots=True)
class LockedPoint:
    """An operating point with what the validation set shows about its threshold."""

    point: OperatingPoint
    validation: ThresholdEvidence

    @property
    def determined(self) -> bool:
        """Return whether the validation set determines the threshold well enough."""
        return self.validation.determined


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Slope and intercept of each label: log odds x become ``slope * x + intercept``.

    For a multi-class task x are the logits of the softmax, and all slopes are equal.
    """

    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]

    def after(self, first: Recalibration | None) -> Recalibration:
        """Return the recalibration that applies ``first`` and then this one."""
        if first is None:
            return self
        slopes = zip(self.slopes, first.slopes, strict=True)
        both = zip(self.slopes, first.intercepts, self.intercepts, strict=True)
        return Recalibration(
            tuple(slope * old for slope, old in slopes),
            tuple(slope * old + intercept for slope, old, intercept in both),
        )


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """The distribution of a score in each class of the validation images.

    Attributes
    ----------
    edges
        Inner edges of the bins, increasing (bins - 1,); a score on an edge is in the upper bin.
    counts
        Number of images by class and bin.
    design_effects
        Variance of the shares of the bins relative to that of as many independent images, by class;
        1 or more.
    """

    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    design_effects: tuple[float, ...]
