"""Scores a trained model on the test images of a part, unchanged and disturbed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from plainfilm.data import Manifest, fill_cache
from plainfilm.evaluation.disturbances import DISTURBANCES
from plainfilm.evaluation.robustness import disturb_images, enlarged
from plainfilm.metrics import roc_auc_score, stratified_auroc
from plainfilm.records import PixelSpec
from plainfilm.runtime import Predictor

STEP = 2  # clearly visible, but keeps the diagnosis
KINDS = tuple(kind for kind in DISTURBANCES if kind.name != "inversion")


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores on test images; each is the mean over the labels that have both classes.

    Attributes
    ----------
    clean
        AUROC of the unchanged images.
    mixed
        AUROC of all images together, each disturbed in one way that is drawn at random.
    by_kind
        AUROC of the same images, over the pairs that are disturbed in the same way.
    """

    clean: float
    mixed: float
    by_kind: float


@dataclass(frozen=True, slots=True, eq=False)
class ScoredImages:
    """Test images, unchanged and disturbed once each, and their labels (n, labels)."""

    clean: NDArray[np.uint8]
    mixed: NDArray[np.uint8]
    kinds: NDArray[np.intp]
    labels: NDArray[np.float32]


def load_images(
    test: Manifest,
    spec: PixelSpec,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
) -> ScoredImages:
    """Return the images of a part that can be read."""
    large = fill_cache(test, enlarged(spec), folder=cache, workers=workers)
    small = fill_cache(test, spec, folder=cache, workers=workers)
    kept = test.drop([*large.left_out, *small.left_out])
    mixed, kinds = disturb_each(large.gather(large.positions(kept.records)), spec)
    return ScoredImages(
        small.gather(small.positions(kept.records)), mixed, kinds, kept.label_array()
    )


def disturb_each(
    images: NDArray[np.uint8], spec: PixelSpec
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Return each image under one disturbance, as a spec reads it, and the kinds' numbers.

    The kind depends on the place of an image only, so that all models see the same images.
    """
    kinds = np.random.default_rng(0).integers(0, len(KINDS), len(images))
    result = np.empty((len(images), spec.size, spec.size), np.uint8)
    with ThreadPoolExecutor() as pool:
        for number in np.unique(kinds):
            chosen = kinds == number
            result[chosen] = disturb_images(KINDS[number], STEP, images[chosen], spec, 0, pool)
    return result, kinds


def score(predictor: Predictor, images: ScoredImages) -> Scores:
    """Return the scores of a model on the test images of a part."""
    clean, mixed = (_scores(predictor, own) for own in (images.clean, images.mixed))
    found = []
    for column, y in enumerate(images.labels.T.astype(np.float64)):
        known = ~np.isnan(y)
        if len(np.unique(y[known])) < 2:
            continue
        y_true, kinds = y[known], images.kinds[known]
        found.append(
            (
                float(roc_auc_score(y_true, clean[known, column])),
                float(roc_auc_score(y_true, mixed[known, column])),
                stratified_auroc(y_true, mixed[known, column], kinds).value,
            )
        )
    return Scores(*np.mean(found, axis=0).tolist())


def _scores(predictor: Predictor, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the log odds (n, labels) of each label against all others."""
    odds = predictor.log_odds(images)
    if predictor.bundle.task.kind != "multiclass":
        return odds
    columns = np.arange(odds.shape[1])
    rest = [logsumexp(odds[:, columns != column], axis=1) for column in columns]
    return np.asarray(odds - np.stack(rest, axis=1))
