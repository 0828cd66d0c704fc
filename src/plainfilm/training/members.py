"""Predicts with several networks of one recipe, and seals them as one bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm import __version__
from plainfilm._optional import require
from plainfilm.bundle import Bundle, Provenance, Rejection, TrainingImages
from plainfilm.bundle.locking import LockedThresholds
from plainfilm.config import Recipe
from plainfilm.models.merge import merge_graphs
from plainfilm.records import Task
from plainfilm.runtime import Predictor
from plainfilm.training.checked_bundle import Expected, write_checked_bundle
from plainfilm.training.networks import head_of, one_logit_per_label
from plainfilm.training.plan import Identity

Scores = tuple[NDArray[np.float64], NDArray[np.float64] | None]
"""One logit per label (n, labels), and novelty (n,), 1 at the threshold of a member."""


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """The networks of an ensemble, which predicts the mean of their logits.

    ``scales`` are the thresholds that the novelty of each is divided by; None if one has none.
    """

    bundles: tuple[Bundle, ...]
    recipe: Recipe
    task: Task
    head: str
    predictors: tuple[Predictor, ...]
    scales: tuple[float, ...] | None

    @classmethod
    def of(cls, bundles: Sequence[Bundle], recipe: Recipe) -> Members:
        """Load the networks of some bundles of one recipe."""
        task = bundles[0].task
        scales = [bundle.rejection.threshold for bundle in bundles if bundle.rejection is not None]
        return cls(
            tuple(bundles),
            recipe,
            task,
            head_of(task, recipe.fit.loss),
            tuple(map(Predictor, bundles)),
            tuple(scales) if len(scales) == len(bundles) else None,
        )

    def score(self, images: NDArray[np.uint8], only: int | None = None) -> Scores:
        """Return the mean logits and novelty over the members, or those of one member."""
        rows = range(len(self.bundles)) if only is None else [only]
        logits = [self.predictors[row].logits(images).astype(np.float64) for row in rows]
        one = one_logit_per_label(np.mean(logits, axis=0), self.task, self.head)
        if self.scales is None:
            return one, None
        parts = [self.predictors[row].probabilities_and_novelty(images)[1] for row in rows]
        pairs = zip(parts, [self.scales[row] for row in rows], strict=True)
        return one, np.mean([part / scale for part, scale in pairs if part is not None], axis=0)

    def seal(
        self,
        folder: Path,
        locked: LockedThresholds,
        rejection: Rejection | None,
        expected: Expected,
        *,
        provenance: Provenance,
        known: TrainingImages | None,
    ) -> Bundle:
        """Write the bundle of the ensemble, and check that it predicts as expected."""
        graphs = [bundle.read_graph() for bundle in self.bundles]
        return write_checked_bundle(
            folder,
            self.recipe,
            self.task,
            locked,
            rejection,
            expected,
            provenance=provenance,
            has_activation_map=all(bundle.has_activation_map for bundle in self.bundles),
            graph=merge_graphs(graphs, self.task, self.head, locked.temperature.value, self.scales),
            weights=_weights(self.bundles),
            known=known,
        )

    def provenance(self, identity: Identity) -> Provenance:
        """Return the provenance of the ensemble, as far as all members have it in common."""
        origins = [bundle.provenance for bundle in self.bundles]
        return replace(
            origins[0],
            plainfilm=__version__,
            seed=identity.seed,
            members=identity.members,
            manifest=identity.manifest,
            parameters=sum(origin.parameters or 0 for origin in origins),
            epoch=None,
            training_seconds=round(sum(origin.training_seconds or 0 for origin in origins), 1),
        )


def _weights(bundles: Sequence[Bundle]) -> bytes:
    """Return all members' weights as one safetensors file; names begin with the member's number."""
    safetensors = require("safetensors.numpy", "train")
    tensors = {
        f"m{number}/{name}": array
        for number, bundle in enumerate(bundles)
        for name, array in safetensors.load(bundle.read_weights() or b"").items()
    }
    data: bytes = safetensors.save(tensors)
    return data
