"""The nouns that the rooms hand to each other: small, frozen, free of behaviour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from plainfilm._files import hash_json
from plainfilm.errors import ConfigError

__all__ = [
    "SPLITS",
    "UNKNOWN",
    "Finding",
    "Geometry",
    "LockedPoint",
    "OperatingPoint",
    "PixelSpec",
    "Prediction",
    "Purpose",
    "Record",
    "Severity",
    "Split",
    "Task",
    "TaskKind",
]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Geometry = Literal["squash", "pad", "crop"]
TaskKind = Literal["binary", "multiclass", "multilabel"]
Severity = Literal["note", "warning", "serious"]
Purpose = Literal["balanced", "rule-out", "rule-in", "custom"]

UNKNOWN = math.nan
"""The value of a label that nobody knows; it is masked in the loss and in every metric."""


@dataclass(frozen=True, slots=True)
class PixelSpec:
    """How a file becomes the square grey image that a network sees.

    Attributes
    ----------
    size
        Side of the square in pixels, 8 to 4096.
    geometry
        ``squash`` stretches to the square, ``pad`` adds black borders, ``crop`` takes the middle.
    trim
        Whether wide uniform borders are cut off first.
    frame
        Which picture of a file that holds several (a DICOM file of many frames, a TIFF of many
        pages), counted from 0. A file that does not have it is left out.
    """

    size: int
    geometry: Geometry = "squash"
    trim: bool = False
    frame: int = 0

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise ConfigError("the image size must lie between 8 and 4096", received=self.size)
        if self.geometry not in ("squash", "pad", "crop"):
            raise ConfigError("the geometry must be squash, pad or crop", received=self.geometry)
        if self.frame < 0:
            raise ConfigError("frames are counted from 0", received=self.frame)

    @property
    def key(self) -> str:
        """Return a short name that is unique to this spec and safe as a folder name."""
        trim = "-trim" if self.trim else ""
        frame = f"-frame{self.frame}" if self.frame else ""
        return f"{self.size}-{self.geometry}{trim}{frame}-{hash_json(asdict(self))[:8]}"


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be told apart.

    Attributes
    ----------
    kind
        ``binary``: one label; ``multiclass``: exactly one of the labels is 1;
        ``multilabel``: any number of labels are 1, unknown ones are NaN.
    labels
        Names of the label columns, in order. For ``binary`` the single positive label.
    classes
        Names of what an image can be called. For ``binary`` (negative, positive).
    """

    kind: TaskKind
    labels: tuple[str, ...]
    classes: tuple[str, ...]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Task:
        """Return the task that ``dataclasses.asdict`` wrote."""
        return cls(value["kind"], tuple(value["labels"]), tuple(value["classes"]))

    def class_of(self, labels: Sequence[float]) -> str:
        """Return the class of an image with these labels, or ``unknown``."""
        if self.kind == "binary":
            return "unknown" if math.isnan(labels[0]) else self.classes[int(labels[0])]
        present = [name for name, value in zip(self.labels, labels, strict=True) if value == 1]
        return ", ".join(present) or ("unknown" if any(map(math.isnan, labels)) else "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One image: where it is and what is known about it.

    Attributes
    ----------
    id
        Name that is unique in its manifest: the path below its root, with forward slashes.
    path
        Where the file lies on this machine.
    labels
        One of 1.0, 0.0, NaN for each label of the task, in the task's order.
    patient
        Opaque key, a keyed hash; images of one patient never cross splits. Where nothing is
        known, the record's own id.
    split
        The split it is in, or None before parting.
    official
        The split that its source put it in, or None.
    columns
        Further columns of its source (subgroup, view, sex, age, site, ...), as strings or numbers.
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
    """One thing that an audit found.

    Attributes
    ----------
    check
        Name of the check, in kebab case.
    severity
        ``serious`` findings make an evaluation worthless or the data unusable in part.
    problem
        What was found, one sentence.
    count
        How many files (or groups, or patients) it concerns.
    files
        Ids of the records concerned (at most a few hundred; ``count`` is exact).
    consequence
        Why it matters.
    remedy
        What to do about it.
    groups
        Ids that belong together (an image and its copies), each group within ``files``.
    exclude
        Ids of every record that would have to be left out to be rid of it.
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

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Finding:
        """Return the finding that ``dataclasses.asdict`` wrote."""
        lists = ("files", "groups", "exclude")
        content = {name: item for name, item in value.items() if name not in lists}
        groups = tuple(map(tuple, value["groups"]))
        return cls(
            **content, files=tuple(value["files"]), groups=groups, exclude=tuple(value["exclude"])
        )


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold locked on validation.

    An image is called positive where its probability is at least ``threshold``.

    Attributes
    ----------
    name
        Its name in the bundle, unique per label.
    purpose
        ``balanced``, ``rule-out``, ``rule-in`` or ``custom``.
    label
        The label that it is about.
    threshold
        Probability, 0 to 1.
    rule
        The rule that chose it, in words.
    """

    name: str
    purpose: Purpose
    label: str
    threshold: float
    rule: str


@dataclass(frozen=True, slots=True)
class LockedPoint:
    """An operating point and how far validation settles its threshold.

    Attributes
    ----------
    point
        The operating point; all that a bundle needs.
    low, high
        5th and 95th percentile of the threshold over resampled validation patients, 0 to 1.
    sensitivity, specificity
        On the validation images themselves; NaN where a class is missing. They were used to
        choose, so they are no estimate of performance.
    determined
        Whether validation settles the threshold.
    note
        What a reader must know about it; empty if nothing.
    """

    point: OperatingPoint
    low: float
    high: float
    sensitivity: float
    specificity: float
    determined: bool
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return all of it by name; what is not finite is None."""
        answer = asdict(self)
        for name in ("sensitivity", "specificity"):
            if math.isnan(answer[name]):
                answer[name] = None
        return answer


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one image.

    Attributes
    ----------
    id
        Name of the image (its path as given, or the record's id).
    probabilities
        Label to probability, 0 to 1; empty where the image could not be read.
    calls
        Operating point to the positive label's or class's name that it decides for.
    metadata
        What the file said about itself, without identity.
    error
        Why there is no answer, or None.
    reason
        Stable code of that error, or None.
    novelty
        How far the image is from those that were learnt from, 0 and up; None if the bundle cannot
        tell.
    rejected
        Whether that is too far for the answer to be trusted.
    indeterminate
        Labels whose probability lies where the call could as well be the other one.
    """

    id: str
    probabilities: Mapping[str, float]
    predicted: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    reason: str | None = None
    novelty: float | None = None
    rejected: bool = False
    indeterminate: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON tells it, without its id: what is printed is equal wherever it is.

        ``probabilities`` (6 decimals), ``calls``, ``novelty`` (4 decimals), ``rejected``,
        ``indeterminate`` and ``metadata``; where there is no answer ``error`` (the code) and ``what``.
        """
        if self.error is not None:
            return {"error": self.reason, "problem": self.error}
        return {
            "probabilities": {k: round(v, 6) for k, v in self.probabilities.items()},
            "predicted": dict(self.predicted),
            "novelty": None if self.novelty is None else round(self.novelty, 4),
            "rejected": self.rejected,
            "indeterminate": [*self.indeterminate],
            "metadata": dict(self.metadata),
        }
