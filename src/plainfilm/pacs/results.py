"""Defines what a result is made of, and the results themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from plainfilm.pixels.prepare import Box
from plainfilm.prediction import Prediction
from plainfilm.records import OperatingPoint, Task

if TYPE_CHECKING:
    from plainfilm.bundle import IndeterminateRange, Provenance
    from plainfilm.inference.registry import LoadedBundle
    from plainfilm.pacs.header import Header

__all__ = [
    "AnsweredImage",
    "Evaluation",
    "Model",
    "Refusal",
    "Result",
    "State",
    "content_hash",
    "decimals",
    "describe_origin",
    "instance_number",
    "subject_of",
]

State = Literal["present", "absent", "undetermined"]

_MAIN_POINTS = ("balanced", "given")
_SUBJECT = (
    *("StudyInstanceUID", "PatientID", "IssuerOfPatientID"),
    *("PatientName", "PatientBirthDate"),
)
_LONGEST_SET = 40  # characters of the name of a data set


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an image has no prediction.

    Attributes
    ----------
    code
        Stable code in kebab case.
    meaning
        Sentence of at most 64 characters.
    """

    code: str
    meaning: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnsweredImage:
    """One image and its prediction, or its refusal.

    Attributes
    ----------
    header
        The header of the image.
    sha256
        SHA-256 of what its results are made of, see `content_hash`, in hexadecimal digits.
    prediction, refusal
        The image is refused if it has a refusal, or no prediction with a class.
    picture
        The image in grey levels (height, width), at most 1024 on the longest side, or None.
    heatmap
        Evidence for the label of :func:`plainfilm.pacs.caption.choose_label`, (size, size), 0 to 1,
        or None.
    region
        The part of the picture that the heat map covers: left, top, right and bottom in units of
        width and height, see `plainfilm.pixels.read.WholeImage`.
    """

    header: Header
    sha256: str
    prediction: Prediction | None = None
    refusal: Refusal | None = None
    picture: NDArray[np.uint8] | None = None
    heatmap: NDArray[np.float32] | None = None
    region: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the model says about one label.

    Attributes
    ----------
    label
        Name of the label.
    state
        ``undetermined`` in the indeterminate range, or without a threshold or predicted class.
    probability
        0 to 1.
    point
        Operating point that decides; None for a multi-class task, or if there is no threshold.
    """

    label: str
    state: State
    probability: float
    point: OperatingPoint | None


@dataclass(frozen=True, slots=True)
class Model:
    """The bundle that predicts.

    Attributes
    ----------
    name, bundle_id, version
        Name of the bundle, its SHA-256, and the version of plainfilm.
    task
        Labels and classes.
    points
        Label to its main operating point, ``balanced`` or else ``given``.
    indeterminate
        Label to its indeterminate range.
    origin
        Sentence on the images that it was trained on, and what follows for those of other sites.
    """

    name: str
    bundle_id: str
    version: str
    task: Task
    points: Mapping[str, OperatingPoint]
    indeterminate: Mapping[str, IndeterminateRange]
    origin: str

    @classmethod
    def of(cls, loaded: LoadedBundle) -> Model:
        """Return the model of a loaded bundle."""
        points: dict[str, OperatingPoint] = {}
        for name in _MAIN_POINTS:
            for point in loaded.bundle.operating_points:
                if point.name == name:
                    points.setdefault(point.label, point)
        identity = loaded.identity
        return cls(
            name=identity["name"],
            bundle_id=identity["id"],
            version=identity["version"],
            task=loaded.bundle.task,
            points=points,
            indeterminate=dict(loaded.bundle.indeterminate),
            origin=describe_origin(loaded.bundle.provenance),
        )

    def evaluate(self, prediction: Prediction) -> tuple[Evaluation, ...]:
        """Return what a prediction says about each label, in the order of the task."""
        return tuple(
            Evaluation(label, self._state(prediction, label), probability, self.points.get(label))
            for label, probability in prediction.probabilities.items()
        )

    def _state(self, prediction: Prediction, label: str) -> State:
        if label in prediction.indeterminate:
            return "undetermined"
        if self.task.kind == "multiclass":
            predicted, positive = prediction.predicted.get("most-likely"), label
        else:
            point = self.points.get(label)
            binary = self.task.kind == "binary"
            name = "" if point is None else point.name if binary else f"{label}/{point.name}"
            predicted = prediction.predicted.get(name)
            positive = self.task.classes[1] if binary else "positive"
        if predicted is None:
            return "undetermined"
        return "present" if predicted == positive else "absent"


def describe_origin(origin: Provenance) -> str:
    """Return what a reader must know of the training images, in one sentence or two."""
    if origin.synthetic_images:
        return "Trained on drawn images: the result means nothing for a patient."
    if origin.adaptation is not None:
        return f"Adapted to images of {_short(origin.adaptation.dataset)}."
    images = "images that are not stated" if origin.dataset is None else _short(origin.dataset)
    return f"Trained on {images}. It may fail on images of another site."


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_SET else f"{name[: _LONGEST_SET - 3]}..."


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """A complete DICOM file.

    Attributes
    ----------
    uid, sop_class
        Its SOP Instance UID and SOP Class UID.
    kind
        ``report`` or ``capture``.
    data
        Its bytes.
    """

    uid: str
    kind: Literal["report", "capture"]
    sop_class: str
    data: bytes


def subject_of(image: AnsweredImage) -> tuple[str, ...]:
    """Return what distinguishes studies and patients; the ID may be missing or not allowed."""
    return tuple(str(image.header.evidence[keyword].value) for keyword in _SUBJECT)


def instance_number(uid: str) -> str:
    """Return the number of a result in its series, which other results hardly ever have.

    It depends on the UID alone, since results of a study are made at different times.
    """
    return str(int(uid.removeprefix("2.25.")) % 999_999 + 1)


def content_hash(image: AnsweredImage) -> str:
    """Return a hash of all that the results show of an image.

    The transfer syntax and elements that no result has do not matter, so that an image which two
    systems send in different encodings has one result.
    """
    header, prediction, why = image.header, image.prediction, image.refusal
    parts = [f"{one.tag} {one.value}" for one in header.evidence]
    parts += [header.body_part, header.laterality, *header.orientation, header.burned_in]
    parts.append(f"lossy {header.is_lossy}")
    if why is not None:
        parts.append(why.code)
    elif prediction is not None:
        parts += [f"{label} {value:.5f}" for label, value in prediction.probabilities.items()]
        parts += [f"{name} {value}" for name, value in sorted(prediction.predicted.items())]
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
    if image.picture is not None:
        digest.update(image.picture.tobytes())
    return digest.hexdigest()


def decimals(fewest: int, *values: float) -> int:
    """Return the number of decimals, at most 9, that keeps different values different.

    >>> decimals(2, 0.4996, 0.5), decimals(2, 0.5, 0.5, 0.25)
    (4, 2)
    """
    different = len({*values})
    for count in range(fewest, 9):
        if len({round(value, count) for value in values}) == different:
            return count
    return 9
