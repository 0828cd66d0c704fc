"""Public description of a bundle: labels, thresholds and test results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.bundle import Bundle, IndeterminateRange, PretrainedWeights, Rejection
from plainfilm.bundle.card import SYNTHETIC
from plainfilm.errors import RunError
from plainfilm.records import LockedPoint, OperatingPoint, PixelSpec, Task, ThresholdEvidence

if TYPE_CHECKING:
    from plainfilm.evaluation.document import EvaluationDocument
    from plainfilm.evaluation.document.label import PredictiveValueCurve
    from plainfilm.metrics import Interval

NOTICE = (
    "Not a medical device. For research and teaching only; "
    "do not use it to make decisions about patients."
)


@dataclass(frozen=True, slots=True)
class BundleIdentity:
    """Name of a bundle, its SHA-256, and the version of plainfilm."""

    name: str
    id: str
    version: str


@dataclass(frozen=True, slots=True)
class PointDescription(OperatingPoint):
    """A locked operating point, and what the validation set shows about its threshold."""

    determined: bool
    validation: ThresholdEvidence


@dataclass(frozen=True, slots=True)
class TrainingDescription:
    """Data set, number of training images, and the weights that the training started from.

    None if the bundle does not say, or if these weights were random. ``inherited`` are further
    weights that the network goes back to, such as those of its teacher.
    """

    dataset: str | None
    images: int | None
    pretrained: PretrainedWeights | None
    inherited: tuple[PretrainedWeights, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % limits; NaN if undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PredictiveTest:
    """PPV and NPV at one prevalence; their odds are proportional to those of the class."""

    prevalence: float
    ppv: Estimate
    npv: Estimate


@dataclass(frozen=True, slots=True)
class PointTest:
    """Test results at one operating point.

    ``predictive_values`` is None where the test has too few patients of a class, and
    ``no_predictive_values`` says so.
    """

    sensitivity: Estimate | None
    specificity: Estimate | None
    predictive_values: PredictiveTest | None
    no_predictive_values: str | None


@dataclass(frozen=True, slots=True)
class TestDescription:
    """Test results; points have the key ``NAME``, with several labels ``LABEL/NAME``."""

    dataset: str
    images: int | None
    patients: int | None
    auroc: Estimate | None
    points: Mapping[str, PointTest]


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """Content of ``GET /v1/model``, without the addresses of the pages."""

    bundle: BundleIdentity
    task: Task
    pixels: PixelSpec
    operating_points: tuple[PointDescription, ...]
    indeterminate: Mapping[str, IndeterminateRange]
    rejection: Rejection | None
    assumed_prevalence: str | None
    training_prevalence: float | Mapping[str, float | None] | None
    has_activation_map: bool
    trained_on: TrainingDescription
    tested_on: TestDescription | None
    notice: str = NOTICE


def describe(
    bundle: Bundle, identity: BundleIdentity, evaluation: EvaluationDocument | None
) -> ModelDescription:
    """Return the description of a bundle with its evaluation, if there is one."""
    origin = bundle.provenance
    shares = origin.training_prevalence
    prevalence = next(iter(shares.values())) if len(shares) == 1 else shares or None
    return ModelDescription(
        bundle=identity,
        task=bundle.task,
        pixels=bundle.pixels,
        operating_points=tuple(map(_point, bundle.points)),
        indeterminate=dict(bundle.indeterminate),
        rejection=bundle.rejection,
        assumed_prevalence=origin.assumed_prevalence,
        training_prevalence=prevalence,
        has_activation_map=bundle.has_activation_map,
        trained_on=TrainingDescription(
            origin.dataset, origin.train_images, origin.pretrained, origin.inherited
        ),
        notice=f"{NOTICE} {SYNTHETIC}" if origin.synthetic_images else NOTICE,
        tested_on=None if evaluation is None else _tested(evaluation),
    )


def _point(locked: LockedPoint) -> PointDescription:
    return PointDescription(
        **asdict(locked.point),
        determined=locked.determined,
        validation=locked.validation,
    )


def _tested(evaluation: EvaluationDocument) -> TestDescription:
    points = {
        name if evaluation.binary is not None else f"{label}/{name}": PointTest(
            _estimate(point.metrics, "sensitivity"),
            _estimate(point.metrics, "specificity"),
            _predictive(point.predictive_values),
            point.no_predictive_values,
        )
        for label, results in evaluation.labels.items()
        for name, point in results.operating_points.items()
    }
    auroc = _estimate(evaluation.main, "auroc")
    return TestDescription(
        evaluation.dataset.name, evaluation.n, evaluation.patients, auroc, points
    )


def _estimate(metrics: Mapping[str, Interval], name: str) -> Estimate | None:
    found = metrics.get(name)
    return None if found is None else Estimate(found.value, found.low, found.high)


def _predictive(curve: PredictiveValueCurve | None) -> PredictiveTest | None:
    if curve is None:
        return None
    ppv, npv = (Estimate(one.value, one.low, one.high) for one in curve.at(0.5))
    return PredictiveTest(0.5, ppv, npv)


def read_evaluation(folder: Path, bundle: Bundle) -> EvaluationDocument | None:
    """Return the evaluation in a folder if it is complete and belongs to this bundle."""
    from plainfilm.evaluation.document import EvaluationDocument

    try:
        evaluation = EvaluationDocument.read(folder / "evaluation.json")
    except RunError:
        return None
    return evaluation if evaluation.model.id == bundle.id else None
