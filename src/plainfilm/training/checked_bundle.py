"""Writes a bundle, and checks that it predicts like the network that it was made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle import (
    Bundle,
    BundleMetadata,
    Determination,
    Provenance,
    Rejection,
    TrainingImages,
    write_bundle,
)
from plainfilm.bundle.locking import LockedThresholds
from plainfilm.config import Recipe
from plainfilm.errors import RunError
from plainfilm.records import Task
from plainfilm.runtime import Predictor

_TOLERANCE = 1e-5
_NOVELTY_TOLERANCE = 1e-3  # a distance in hundreds of dimensions, in single precision


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """Images (n, size, size), and the probabilities and novelty that a bundle must have for them.

    ``novelty`` is None if the graph has no such output.
    """

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    novelty: NDArray[np.float64] | None


def write_checked_bundle(
    folder: Path,
    recipe: Recipe,
    task: Task,
    locked: LockedThresholds,
    rejection: Rejection | None,
    expected: Expected,
    *,
    provenance: Provenance,
    has_activation_map: bool,
    graph: bytes,
    weights: bytes,
    known: TrainingImages | None,
    tolerance: float | None = None,
) -> Bundle:
    """Write a bundle, and check that it predicts as expected.

    ``tolerance`` is the largest difference between equal probabilities, 1e-5 if it is None.
    """
    # The probabilities of several labels assume the prevalence that each has in training.
    balanced = recipe.fit.balance == "weights" and task.kind != "multilabel"
    metadata = BundleMetadata(
        task=task,
        pixels=recipe.input,
        temperature=locked.temperature.value,
        points=locked.points,
        has_activation_map=has_activation_map,
        provenance=replace(
            provenance,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            temperature=Determination(locked.temperature.determined, locked.temperature.note),
            assumed_prevalence="balanced" if balanced else "training",
        ),
        rejection=rejection,
        indeterminate=locked.indeterminate,
        validation_scores=locked.scores,
    )
    bundle = write_bundle(folder, metadata, graph=graph, weights=weights, training_images=known)
    shipped, shipped_novelty = Predictor(bundle).probabilities_and_novelty(expected.images)
    gap = float(np.max(np.abs(shipped - expected.probabilities), initial=0.0))
    novelty_gap = 0.0
    if expected.novelty is not None and shipped_novelty is not None:
        own = expected.novelty
        relative = np.abs(shipped_novelty - own) / np.maximum(own, 1.0)
        novelty_gap = float(np.max(relative, initial=0.0))
    allowed = _TOLERANCE if tolerance is None else tolerance
    if not (gap <= allowed and novelty_gap <= _NOVELTY_TOLERANCE):
        (folder / "SHA256SUMS").unlink()  # without it the folder is not a bundle
        raise RunError(
            "the sealed graph does not predict like the network that it was made from",
            received=f"probabilities differ by up to {gap:.2g} (allowed {allowed:.0e}), "
            f"novelty by {novelty_gap:.2g} (allowed {_NOVELTY_TOLERANCE:.0e})",
        )
    return bundle


def prevalences(labels: NDArray[np.float32], task: Task) -> dict[str, float | None]:
    """Return the share of ones of each label, None where no value is known."""
    return {
        label: None if np.isnan(column).all() else float(np.nanmean(column))
        for label, column in zip(task.labels, labels.T, strict=True)
    }
