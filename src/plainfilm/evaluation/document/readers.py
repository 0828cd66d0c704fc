"""The results of human readers on the images of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from plainfilm.evaluation.document.label import RocCurve
from plainfilm.metrics import Interval


@dataclass(frozen=True, slots=True)
class AgainstReader:
    """The model less one reader in a metric, on the images that the reader read.

    Attributes
    ----------
    model
        Sensitivity or specificity of the model at its threshold (several classes: of its most
        probable class), or its AUROC.
    p, p_adjusted, test
        Two-sided p-value, the same adjusted for all readers and metrics of the label after Holm,
        and the name of the test; None where there is none. Intervals are not adjusted.
    """

    model: Interval
    difference: Interval
    p: float | None
    p_adjusted: float | None
    test: str


@dataclass(frozen=True, slots=True)
class ReaderResults:
    """The results of one reader with one modality.

    Attributes
    ----------
    modality
        Way of reading, such as ``with model``; empty if there is one.
    images, patients, positives
        Those that the reader read and whose label is known.
    metrics
        By name: ``sensitivity`` and ``specificity`` of calls, ``auroc`` of ratings.
    against
        The model less the reader, by the same names.
    at_specificity
        Sensitivity of the model at the specificity of the reader, less that of the reader; None
        for ratings without a threshold.
    kappa, ac1
        Agreement of the calls with the model at its threshold (Cohen's kappa, Gwet's AC1); None
        without calls or without a threshold.
    roc
        Curve of the ratings; None for calls.
    """

    reader: str
    modality: str
    images: int
    patients: int
    positives: int
    metrics: Mapping[str, Interval]
    against: Mapping[str, AgainstReader]
    at_specificity: Interval | None
    kappa: Interval | None
    ac1: Interval | None
    roc: RocCurve | None


@dataclass(frozen=True, slots=True)
class ReadersMean:
    """The mean of all readers in a metric, and the model less that mean.

    Attributes
    ----------
    mean, difference
        The intervals apply to the population of readers and of cases (Obuchowski and Rockette,
        random readers).
    model
        Mean of the model over the images of each reader.
    p, freedom
        Two-sided p-value of the difference, not adjusted, and degrees of freedom.
    """

    mean: Interval
    model: float
    difference: Interval
    p: float | None
    freedom: float


@dataclass(frozen=True, slots=True)
class ReaderAgreement:
    """Agreement among the readers: percent agreement, kappa and AC1.

    ``kappa`` is Cohen's for two readers and Fleiss' for more.
    """

    percent: Interval
    kappa: Interval
    ac1: Interval


@dataclass(frozen=True, slots=True)
class ModalityResults:
    """The readers with one modality: their mean, the model against it, and their agreement.

    ``mean`` is by metric; it is empty, and ``agreement`` None, with one reader.
    """

    modality: str
    mean: Mapping[str, ReadersMean]
    agreement: ReaderAgreement | None


@dataclass(frozen=True, slots=True)
class ModalityDifference:
    """Second modality less first, mean over the same readers, in a metric.

    The interval applies to the population of readers and of cases; ``p`` is not adjusted.
    """

    first: str
    second: str
    metric: str
    difference: Interval
    p: float | None
    freedom: float


@dataclass(frozen=True, slots=True)
class LabelReaders:
    """The readers of one label.

    Attributes
    ----------
    kind
        ``calls`` of 1 or 0, or ``ratings``: the higher, the more likely is the label.
    threshold
        Lowest rating that counts as a positive call; None if none was given.
    model_threshold
        Threshold of the model, see `EvaluationDocument.thresholds`; None if there is none, or for
        several classes, where the call of the model is its most probable class.
    images, patients
        Those that a reader read and whose label is known.
    readers, modalities, differences
        By reader and modality; by modality; by pair of modalities and metric.
    tests
        Number of tests that ``p_adjusted`` is adjusted for.
    roc, auroc
        Curve and AUROC of the model on these images.
    notes
        What could not be computed and why.
    """

    kind: Literal["calls", "ratings"]
    threshold: float | None
    model_threshold: float | None
    images: int
    patients: int
    readers: tuple[ReaderResults, ...]
    modalities: tuple[ModalityResults, ...]
    differences: tuple[ModalityDifference, ...]
    tests: int
    roc: RocCurve
    auroc: Interval
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Readers:
    """Human readers on the images of an evaluation, by label.

    Attributes
    ----------
    source
        Names of the tables.
    unmatched
        Number of reads of images that are not in the evaluation.
    """

    source: tuple[str, ...]
    unmatched: int
    labels: Mapping[str, LabelReaders]
