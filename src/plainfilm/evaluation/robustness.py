"""Measures a classifier on disturbed images, by kind and strength of the disturbance."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from plainfilm import metrics
from plainfilm._progress import Progress, silent
from plainfilm.data import Manifest, fill_cache
from plainfilm.evaluation.disturbances import DISTURBANCES, Disturbance
from plainfilm.evaluation.document.analyses import (
    DisturbanceResults,
    DisturbanceStep,
    FirstDrop,
    Robustness,
    Undisturbed,
)
from plainfilm.evaluation.view import ONE_CLASS, Floats, default_thresholds
from plainfilm.pixels.histogram import match_histogram
from plainfilm.records import PixelSpec
from plainfilm.runtime import Predictor

_RESOLUTION = 256
_RELEVANT = 0.01

_METHOD = (
    "each image is read at a larger size, disturbed there and then brought to the network's size; "
    "AUROC with clustered DeLong intervals on the logit scale, drops with paired ones, 95 %"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Scorer:
    """Computes the metrics of probabilities of the same images."""

    y_true: Floats
    patients: NDArray[np.str_]
    threshold: float | None

    def measure(self, y_score: Floats) -> tuple[metrics.Interval, float, float, float, float]:
        """Return AUROC, Brier score, calibration error, sensitivity and specificity."""
        sensitivity = specificity = math.nan
        if self.threshold is not None:
            predicted = y_score >= self.threshold
            sensitivity = metrics.sensitivity_score(self.y_true, predicted)
            specificity = metrics.specificity_score(self.y_true, predicted)
        return (
            metrics.clustered_delong(self.y_true, y_score, self.patients),
            metrics.brier_score_loss(self.y_true, y_score),
            metrics.expected_calibration_error(self.y_true, y_score),
            sensitivity,
            specificity,
        )

    def step(self, strength: float, before: Floats, after: Floats) -> DisturbanceStep:
        """Return the results of disturbed images, compared with those of the undisturbed ones."""
        change, flipped = ONE_CLASS, math.nan
        if len(np.unique(self.y_true)) == 2:
            change = metrics.delong_test(self.y_true, before, after, self.patients).difference
        if self.threshold is not None:
            flipped = float(np.mean((before >= self.threshold) != (after >= self.threshold)))
        return DisturbanceStep(float(strength), *self.measure(after), change, flipped)


def measure_robustness(
    predictor: Predictor,
    manifest: Manifest,
    *,
    limit: int = 300,
    cache: str | Path | None = None,
    workers: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Robustness:
    """Score images under every disturbance of `DISTURBANCES` at every strength.

    The records must be labelled for the task of the bundle. Whole patients are drawn at random
    until there are ``limit`` images: changes are paired, so that few images give narrow intervals.
    The results are those of the first label that has images of both classes.
    """
    bundle = predictor.bundle
    column = _column(manifest)
    label = bundle.task.labels[column]
    known = manifest.records.where(~np.isnan(manifest.records.labels[:, column]))
    chosen = _draw(replace(manifest, records=known), limit, seed)
    spec, own = enlarged(bundle.pixels), bundle.pixels
    images = fill_cache(chosen, spec, folder=cache, workers=workers, progress=progress)
    chosen = chosen.drop(images.left_out)
    large = images.gather(images.positions(chosen.records))
    threshold = default_thresholds(bundle.operating_points).get(label)
    y_true = chosen.label_array()[:, column].astype(np.float64)
    scorer = _Scorer(y_true, chosen.patients, threshold)

    def predict(pixels: NDArray[np.uint8]) -> Floats:
        return predictor.probabilities(pixels)[:, column].astype(np.float64)

    disturbances, done, total = [], 0, sum(len(kind.strengths) for kind in DISTURBANCES)
    with ThreadPoolExecutor() as pool:
        before = predict(np.stack([*pool.map(lambda image: _prepare(image, own), large)]))
        for kind in DISTURBANCES:
            steps: list[DisturbanceStep] = []
            for number, strength in enumerate(kind.strengths):
                progress("disturbing", done, total)
                after = predict(disturb_images(kind, number, large, own, seed, pool))
                steps.append(scorer.step(strength, before, after))
                done += 1
            names = kind.name, kind.description, kind.unit
            disturbances.append(DisturbanceResults(*names, tuple(steps)))
    progress("disturbing", total, total)
    return Robustness(
        images=len(chosen),
        patients=len(np.unique(chosen.patients)),
        label=label,
        resolution=spec.size,
        method=_METHOD,
        undisturbed=Undisturbed(*scorer.measure(before)),
        disturbances=tuple(disturbances),
        first_drop=_first_drop(disturbances),
    )


def _column(manifest: Manifest) -> int:
    """Return the first label that has images of both classes, otherwise 0."""
    labels = manifest.label_array()
    return int(((labels == 0).any(axis=0) & (labels == 1).any(axis=0)).argmax())


def _draw(manifest: Manifest, limit: int, seed: int) -> Manifest:
    """Return whole patients, drawn until there are ``limit`` images, in their order."""
    if len(manifest) <= limit:
        return manifest
    keys, numbers, sizes = np.unique(manifest.patients, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(keys))
    enough = int(np.searchsorted(np.cumsum(sizes[order]), limit)) + 1
    taken = np.zeros(len(keys), bool)
    taken[order[:enough]] = True
    return replace(manifest, records=manifest.records.where(taken[numbers]))


def enlarged(spec: PixelSpec) -> PixelSpec:
    """Return the spec at a whole multiple of its size, about `_RESOLUTION` or the size itself.

    The histogram is matched after the disturbance, as it would be for a disturbed file.
    """
    size = spec.size * max(1, round(_RESOLUTION / spec.size))
    return replace(spec, size=size, histogram="as-is")


def disturb_images(
    kind: Disturbance,
    step: int,
    images: NDArray[np.uint8],
    spec: PixelSpec,
    seed: int,
    pool: ThreadPoolExecutor,
) -> NDArray[np.uint8]:
    """Return every image disturbed and prepared; the same draw for an image at every strength."""
    name = zlib.crc32(kind.name.encode())

    def one(number: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng([seed, name, number])
        return _prepare(kind.apply(images[number], kind.strengths[step], rng), spec)

    return np.stack([*pool.map(one, range(len(images)))])


def _prepare(image: NDArray[np.uint8], spec: PixelSpec) -> NDArray[np.uint8]:
    """Return a square image at the size and with the histogram of a spec."""
    if len(image) != spec.size:
        small = Pillow.fromarray(image).resize((spec.size,) * 2, Pillow.Resampling.BILINEAR)
        image = np.asarray(small)
    return match_histogram(image) if spec.histogram == "matched" else image


def _first_drop(disturbances: Sequence[DisturbanceResults]) -> FirstDrop | None:
    """Return the mildest step that lowers the AUROC by more than 0.01 with 95 % confidence.

    Of several at the same step it is the one that lowers it most. Kinds with one strength have no
    mild step and are left out.
    """
    found = [
        FirstDrop(kind.name, number, step.strength, step.auroc_change)
        for kind in disturbances
        if len(kind.steps) > 1
        for number, step in enumerate(kind.steps, start=1)
        if step.auroc_change.high < -_RELEVANT
    ]
    return min(found, key=lambda one: (one.step, one.auroc_change.value, one.name), default=None)
