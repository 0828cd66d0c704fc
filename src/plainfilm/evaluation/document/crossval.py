"""The document of a cross-validation, ``crossval.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from plainfilm._document import Document
from plainfilm.evaluation.document.evaluation import DatasetSummary, ModelSummary
from plainfilm.evaluation.document.several import MetricVariation
from plainfilm.metrics import Interval


@dataclass(frozen=True, slots=True)
class FoldRow:
    """The results of one model on the fold that it was not trained on.

    Attributes
    ----------
    fold
        Number of the fold, from 1.
    name
        What the column ``fold`` calls it; None if the folds were assigned by plainfilm.
    folder, bundle
        Name of the folder of the run, and id of its bundle.
    n, patients
        Numbers of images and patients of the fold.
    """

    fold: int
    name: str | None
    folder: str
    bundle: str
    n: int
    patients: int
    metrics: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidationDocument(Document):
    """The results of a cross-validation, the content of ``crossval.json``.

    Attributes
    ----------
    version
        Version of plainfilm.
    model
        The recipe, seed and backend that all models have in common.
    dataset
        The images of all folds.
    assigned
        Whether plainfilm assigned the folds by patient, or a column of the data.
    test_images
        Number of images of the data set's test set, which are in no fold.
    rows
        The folds.
    pooled
        Metrics of all out-of-fold predictions together. Predicted classes are those at the
        threshold of each image's own model. Ranking metrics compare images of different models.
    mean_auroc
        Mean over folds (and labels) of the AUROC within each fold.
    labels
        The same for each label.
    variation
        By metric, mean and spread over the folds. The spread includes that of the images.
    note
        What the numbers mean, in sentences.
    """

    SCHEMA: ClassVar[int] = 1

    version: str
    model: ModelSummary
    dataset: DatasetSummary
    assigned: Literal["by patient", "column"]
    test_images: int
    rows: tuple[FoldRow, ...]
    pooled: Mapping[str, Interval]
    mean_auroc: Interval
    labels: Mapping[str, Interval]
    variation: Mapping[str, MetricVariation]
    note: str
