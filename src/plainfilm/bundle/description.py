"""The metadata of a bundle, ``bundle.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal

from plainfilm._document import Document
from plainfilm._json import Format, to_json
from plainfilm._machine import Machine
from plainfilm.bundle.checks import check_recalibration, check_scores, check_thresholds
from plainfilm.bundle.imported import ImportedFrom
from plainfilm.bundle.pretrained import PretrainedWeights, Role
from plainfilm.config import Recipe
from plainfilm.errors import BundleError, ConfigError
from plainfilm.records import (
    LockedPoint,
    OperatingPoint,
    PixelSpec,
    Recalibration,
    ScoreCounts,
    Task,
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """The novelty above which an image is unlike the training images.

    Attributes
    ----------
    threshold
        An image is rejected if its novelty is at least this.
    rule
        The rule that selected the threshold, in words.
    validation_share
        Share of the unchanged validation images that are rejected, 0 to 1.
    """

    threshold: float
    rule: str
    validation_share: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise ConfigError(
                "the novelty of rejected images must be finite", received=self.threshold
            )


@dataclass(frozen=True, slots=True)
class IndeterminateRange:
    """The probabilities of a label for which neither class is predicted with confidence.

    Attributes
    ----------
    low, high
        The range includes ``low`` and excludes ``high``, 0 to 1.
    rule
        The rule that selected them, in words.
    """

    low: float
    high: float
    rule: str

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ConfigError(
                "an indeterminate range must be from a lower to a higher probability",
                received=f"{self.low} to {self.high}",
            )


@dataclass(frozen=True, slots=True)
class Determination:
    """Whether validation determines a value; ``note`` says why it does not."""

    determined: bool
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """How a bundle was adapted to the images of another site.

    Attributes
    ----------
    parent, parent_name
        Id and folder name of the bundle that was adapted.
    method
        ``recalibration`` on labelled images, or ``label shift`` on unlabelled ones.
    dataset, images, patients
        Name and size of the data that it was adapted on.
    held_out_images, held_out_patients
        Further data of the same site on which the adaptation was evaluated.
    labels
        Labels that were changed.
    changed
        What was changed, in sentences.
    """

    parent: str
    parent_name: str
    method: Literal["recalibration", "label shift"]
    dataset: str
    images: int
    patients: int
    held_out_images: int
    held_out_patients: int
    labels: tuple[str, ...]
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How a bundle was made. None or empty means unknown.

    Attributes
    ----------
    plainfilm, versions
        Versions of plainfilm, and of Keras, the backend, numpy and Pillow.
    created
        Date and time in UTC, ISO 8601.
    recipe, seed, backend, precision
        What was trained; an ensemble has the seeds of its members.
    ranks
        Number of processes that trained together.
    members
        Ids of the bundles that an ensemble was made from.
    folds
        Number of folds if the members are the models of a cross-validation. All but one of the
        members were trained on any training image, so none of these images can evaluate the bundle.
    manifest
        Content hash of the manifest: ids, labels, patients and splits.
    dataset, train_images, validation_images
        Name and sizes of the data set.
    parameters
        Number of weights of the network.
    epoch
        The epoch whose weights were sealed.
    training_seconds
        Wall time of training, without reading files and sealing.
    machine
        The machine that trained.
    temperature
        Whether validation determines the temperature.
    locked_on
        The images that temperature and thresholds were selected on, in words.
    assumed_prevalence
        The prevalence that the probabilities assume: ``balanced`` if training weighs all classes
        alike, ``training``, the share of positives in the training images, or ``adaptation``, that
        of the images of another site that the bundle was adapted to.
    training_prevalence
        Share of positives of each label among these images; None where no label is known.
    synthetic_images
        Number of training images that ``plainfilm.phantom`` drew.
    modalities, body_parts
        Codes that the DICOM headers of at least 5 % of the training images state. Images with these
        codes are not rejected for them.
    adaptation
        How the bundle was adapted to another site; None if it was not.
    imported_from
        The ONNX file that the bundle was made from; None for a bundle that was trained here.
    pretrained
        The weights from which the training started; None if they were random.
    inherited
        Further weights that the network goes back to: those of its teacher, and those that
        ``pretrained`` was trained from. An imported teacher is among them.
    """

    plainfilm: str | None = None
    created: str | None = None
    recipe: Recipe | None = None
    seed: int | tuple[int, ...] | None = None
    manifest: str | None = None
    backend: str | None = None
    precision: str | None = None
    ranks: int = 1
    members: tuple[str, ...] = ()
    folds: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    dataset: str | None = None
    train_images: int | None = None
    validation_images: int | None = None
    parameters: int | None = None
    epoch: int | None = None
    training_seconds: float | None = None
    machine: Machine | None = None
    temperature: Determination | None = None
    locked_on: str | None = None
    assumed_prevalence: Literal["balanced", "training", "adaptation"] | None = None
    training_prevalence: Mapping[str, float | None] = field(default_factory=dict)
    synthetic_images: int | None = None
    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    adaptation: Adaptation | None = None
    imported_from: ImportedFrom | None = None
    pretrained: PretrainedWeights | None = None
    inherited: tuple[PretrainedWeights, ...] = ()

    @property
    def all_pretrained(self) -> tuple[PretrainedWeights, ...]:
        """Return all weights that the network goes back to."""
        return self.inherited if self.pretrained is None else (self.pretrained, *self.inherited)

    def as_teacher(self) -> tuple[PretrainedWeights, ...]:
        """Return the weights that a student of this bundle goes back to."""
        return (*_with_role(self.all_pretrained, "teacher"), *self._imported_network())

    def as_start(self) -> tuple[PretrainedWeights, ...]:
        """Return the weights that a training from the weights of this bundle goes back to."""
        return _with_role(self.all_pretrained, "earlier")

    def _imported_network(self) -> tuple[PretrainedWeights, ...]:
        """Return the imported network that the bundle was made from, as a teacher."""
        own = self.imported_from
        if own is None:
            return ()
        name, sha256, licence = own.file, own.sha256, own.licence
        return (PretrainedWeights(name=name, sha256=sha256, licence=licence, role="imported"),)


def _with_role(weights: tuple[PretrainedWeights, ...], role: Role) -> tuple[PretrainedWeights, ...]:
    """Return weights with another role; an imported teacher remains one."""
    return tuple(one if one.role == "imported" else replace(one, role=role) for one in weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleMetadata(Document):
    """What a bundle predicts, how it prepares images, its thresholds and how it was made.

    Attributes
    ----------
    task
        The labels and classes.
    pixels
        How a file becomes the image that the network receives.
    temperature
        The logits are divided by it. The graph does this already.
    points
        Operating points, locked on validation.
    has_activation_map
        Whether the graph has the output ``activation``.
    provenance
        How the bundle was made.
    rejection
        When an image is unlike the training images; None if the bundle cannot determine this.
    indeterminate
        Label to its range of indeterminate probabilities; a label may have none.
    recalibration
        Slope and intercept of each label, applied to the logits divided by the temperature, before
        the sigmoid or softmax. The graph does this already. None if there is none.
    validation_scores
        Label to the distribution of its probability in each class of the validation images, in
        bins; for a binary or multi-label task the classes are negative and positive.
    """

    SCHEMA: ClassVar[int] = 3
    FORMAT: ClassVar[Format] = Format(BundleError, "key", "an object")
    REMEDY: ClassVar[str] = "train again with this version"

    task: Task
    pixels: PixelSpec
    temperature: float
    points: tuple[LockedPoint, ...]
    has_activation_map: bool
    provenance: Provenance = Provenance()
    rejection: Rejection | None = None
    indeterminate: Mapping[str, IndeterminateRange] = field(default_factory=dict)
    recalibration: Recalibration | None = None
    validation_scores: Mapping[str, ScoreCounts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_thresholds(self.task, self.temperature, self.operating_points, self.indeterminate)
        check_scores(self.task, self.validation_scores)
        if self.recalibration is not None:
            check_recalibration(self.recalibration, len(self.task.labels))

    @property
    def operating_points(self) -> tuple[OperatingPoint, ...]:
        """Return the operating points without how well validation determines them."""
        return tuple(locked.point for locked in self.points)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``bundle.json``, without the fields of subclasses."""
        names = [field.name for field in fields(BundleMetadata)]
        values = {name: to_json(getattr(self, name), complete=True) for name in names}
        return {"schema": self.SCHEMA, **values}
