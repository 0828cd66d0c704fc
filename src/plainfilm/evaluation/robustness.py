"""How a classifier fares when its images get worse, kind by kind and step by step."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from plainfilm._progress import Progress, silent
from plainfilm.data import Manifest, fill_cache
from plainfilm.evaluation.disturbances import DISTURBANCES, Disturbance
from plainfilm.metrics import (
    Interval,
    brier_score_loss,
    clustered_delong,
    delong_test,
    expected_calibration_error,
    sensitivity_score,
    specificity_score,
    undefined,
)
from plainfilm.records import PixelSpec
from plainfilm.runtime import Predictor

__all__ = ["LIMIT", "measure_robustness"]

LIMIT = 300
"""Images that are disturbed by default: drops are paired, so that few tell much."""
_RESOLUTION = 256
_HURTS = 0.01

_METHOD = (
    "each image is read at a larger size, disturbed there and then brought to the network's size; "
    "AUROC with clustered DeLong intervals on the logit scale, drops with paired ones, 95 %"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """What is told about one version of the images."""

    positive: NDArray[np.bool_]
    patients: NDArray[np.str_]
    threshold: float | None

    def describe(
        self, chances: NDArray[np.float64], before: NDArray[np.float64] | None = None
    ) -> dict[str, Any]:
        """Return the results of probabilities (n,), and the change from ``before``."""
        labels = self.positive.astype(np.float64)
        called = chances >= (np.inf if self.threshold is None else self.threshold)
        known = self.threshold is not None
        found = {
            "auroc": clustered_delong(labels, chances, self.patients).to_json(),
            "brier": _plain(brier_score_loss(labels, chances)),
            "calibration_error": _plain(expected_calibration_error(labels, chances)),
            "sensitivity": _plain(sensitivity_score(labels, called)) if known else None,
            "specificity": _plain(specificity_score(labels, called)) if known else None,
        }
        if before is None:
            return found
        was = before >= (np.inf if self.threshold is None else self.threshold)
        flipped = float(np.mean(called != was)) if known else None
        return {**found, "drop": self._drop(before, chances).to_json(), "flipped": flipped}

    def _drop(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> Interval:
        if self.positive.all() or not self.positive.any():
            return undefined("none", "one class is missing")
        labels = self.positive.astype(np.float64)
        return delong_test(labels, before, after, self.patients).difference


def measure_robustness(
    predictor: Predictor,
    manifest: Manifest,
    *,
    limit: int = LIMIT,
    cache: str | Path | None = None,
    workers: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Score images under every disturbance of `DISTURBANCES` at every strength.

    Parameters
    ----------
    predictor
        Of the bundle.
    manifest
        The records, labelled for the bundle's task.
    limit
        At most about so many images are taken, whole patients drawn at random.
    cache, workers
        As for `plainfilm.train`.
    seed
        Of the drawn patients and of the disturbances.

    Returns
    -------
    The entry ``robustness`` of ``evaluation.json``, about one label: the first of which both
    classes are known.
    """
    bundle = predictor.bundle
    column = _column(manifest)
    label = bundle.task.labels[column]
    known = tuple(r for r in manifest.records if not np.isnan(r.labels[column]))
    chosen = _draw(replace(manifest, records=known), limit, seed)
    spec = _enlarged(bundle.pixels)
    images = fill_cache(chosen, spec, folder=cache, workers=workers, progress=progress)
    chosen = chosen.drop(images.left_out)
    large = images.gather(images.positions(chosen.ids))
    threshold = next(
        (
            point.threshold
            for point in bundle.operating_points
            if point.label == label and point.purpose == "balanced"
        ),
        None,
    )
    scored = _Scored(chosen.label_array()[:, column] == 1, chosen.patients, threshold)

    def ask(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        return predictor.probabilities(pixels)[:, column].astype(np.float64)

    with ThreadPoolExecutor() as pool:
        before = ask(np.stack([*pool.map(lambda one: _shrink(one, bundle.pixels.size), large)]))
        kinds, total = [], sum(len(kind.strengths) for kind in DISTURBANCES)
        done = 0
        for kind in DISTURBANCES:
            steps = []
            for step, strength in enumerate(kind.strengths):
                progress("disturbing", done, total)
                pixels = _disturb(kind, step, large, bundle.pixels.size, seed, pool)
                told = scored.describe(ask(pixels), before)
                steps.append({"strength": strength, **told})
                done += 1
            kinds.append(
                {"name": kind.name, "description": kind.description, "unit": kind.unit}
                | {"strengths": [*kind.strengths], "steps": steps}
            )
    progress("disturbing", total, total)
    return {
        "images": len(chosen),
        "patients": len(np.unique(chosen.patients)),
        "label": label,
        "resolution": spec.size,
        "method": _METHOD,
        "undisturbed": scored.describe(before),
        "disturbances": kinds,
        "first": _first(kinds),
    }


def _column(manifest: Manifest) -> int:
    """Return the first label of which both classes are known, else 0."""
    labels = manifest.label_array()
    for column in range(labels.shape[1]):
        if {0.0, 1.0} <= {float(value) for value in np.unique(labels[:, column])}:
            return column
    return 0


def _draw(manifest: Manifest, limit: int, seed: int) -> Manifest:
    """Return whole patients, drawn until there are ``limit`` images, in their order."""
    if len(manifest) <= limit:
        return manifest
    keys, numbers, sizes = np.unique(manifest.patients, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(keys))
    enough = int(np.searchsorted(np.cumsum(sizes[order]), limit)) + 1
    taken = np.zeros(len(keys), bool)
    taken[order[:enough]] = True
    kept = zip(manifest.records, taken[numbers], strict=True)
    return replace(manifest, records=tuple(record for record, own in kept if own))


def _enlarged(spec: PixelSpec) -> PixelSpec:
    """Return the spec at a whole multiple of its size, about `_RESOLUTION` or the size itself."""
    return replace(spec, size=spec.size * max(1, round(_RESOLUTION / spec.size)))


def _disturb(
    kind: Disturbance,
    step: int,
    images: NDArray[np.uint8],
    size: int,
    seed: int,
    pool: ThreadPoolExecutor,
) -> NDArray[np.uint8]:
    """Return every image disturbed and shrunk; the same draw for an image at every strength."""
    name = zlib.crc32(kind.name.encode())

    def one(number: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng([seed, name, number])
        return _shrink(kind.apply(images[number], kind.strengths[step], rng), size)

    return np.stack([*pool.map(one, range(len(images)))])


def _shrink(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if len(image) == size:
        return image
    small = Pillow.fromarray(image).resize((size, size), Pillow.Resampling.BILINEAR)
    return np.asarray(small)


def _first(kinds: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what surely costs more than 0.01 of AUROC at the mildest step; None if nothing does.

    Of several at the same step it is the one that costs most. What has one strength only has no
    mild step, and is left out.
    """
    found = [
        (number, step["drop"]["value"], kind["name"], step)
        for kind in kinds
        if len(kind["steps"]) > 1
        for number, step in enumerate(kind["steps"], start=1)
        if step["drop"]["high"] is not None and step["drop"]["high"] < -_HURTS
    ]
    if not found:
        return None
    number, _, name, step = min(found, key=lambda one: one[:3])
    return {"name": name, "step": number, "strength": step["strength"], "drop": step["drop"]}


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
