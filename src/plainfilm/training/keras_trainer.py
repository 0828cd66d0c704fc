"""Trains networks with Keras."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from plainfilm._progress import Progress
from plainfilm.bundle import Bundle, Provenance, TrainingImages
from plainfilm.config import Recipe
from plainfilm.records import Task
from plainfilm.training.backend import (
    backend_is_running,
    choose_backend,
    choose_precision,
    use_backend,
)
from plainfilm.training.group import Group
from plainfilm.training.initial_weights import InitialWeights, initial_weights
from plainfilm.training.known_images import collect_known_images
from plainfilm.training.networks import network_of
from plainfilm.training.plan import Plan
from plainfilm.training.seal_scored import SAMPLE
from plainfilm.training.startup import Background
from plainfilm.training.trainer import Work
from plainfilm.training.training_images import ValidationSet, sample_images

if TYPE_CHECKING:
    from plainfilm.training.fit import Fitted


class KerasTrainer:
    """Trains all weights of a network by gradient descent, alone or as a rank of a group."""

    def __init__(
        self,
        recipe: Recipe,
        backend: str | None,
        precision: str | None = None,
        group: Group | None = None,
    ) -> None:
        own, network = recipe.fit.precision, recipe.network.name
        self.backend = choose_backend(backend)
        self.precision = precision or choose_precision(own, self.backend, network)
        self.initial = initial_weights(recipe.network, self.backend)
        self.pretrained = None if self.initial is None else self.initial.origin
        self.inherited = () if self.initial is None else self.initial.inherited
        self.starts_slowly = not backend_is_running()
        self._group = group or Group()

    def start(
        self, recipe: Recipe, task: Task, progress: Progress, plan: Plan | None = None
    ) -> None:
        """Import Keras, and build the network once to check its options and initial weights."""
        if self.starts_slowly:
            progress(f"importing {self.backend}", 0, 1)
            use_backend(self.backend)
            progress(f"importing {self.backend}", 1, 1)
        del plan
        if self._group.rank > 0:  # which receives the weights of rank 0
            return
        network = network_of(recipe, task)
        if self.initial is not None:
            self.initial.assign(network)

    def train(self, work: Work, provenance: Provenance, progress: Progress) -> Bundle:
        """Train a network and seal it."""
        from plainfilm.training.seal import prepare_seal, seal  # which imports Keras

        recipe, training = work.recipe, work.training
        held_out = work.validation.to_validation_set()
        sample = partial(
            sample_images, training.records, recipe.input, work.cache, work.workers, SAMPLE
        )
        collect = partial(_collect, work, self.initial)
        sealing = Background(
            partial(prepare_seal, recipe, work.task, held_out, sample, collect), progress
        )
        rows = self._group.rows(len(held_out))
        own = replace(held_out, images=held_out.images[rows])
        fitted = self._fit(work, own, sealing.progress)
        progress("sealing", 0, 1)
        provenance = replace(
            provenance,
            parameters=fitted.parameters,
            epoch=fitted.state.best_epoch,
            training_seconds=round(fitted.state.seconds, 1),
        )
        bundle = seal(sealing.result(), fitted.weights, work.folder / "bundle", provenance)
        progress("sealing", 1, 1)
        return bundle

    def assist(self, work: Work, progress: Progress) -> None:
        """Train a network as another rank than 0, which writes nothing."""
        rows = self._group.rows(len(work.validation.records))
        self._fit(work, work.validation.to_validation_set(rows), progress)

    def close(self) -> None:
        """Do nothing: all work is in this process."""

    def _fit(self, work: Work, held_out: ValidationSet, progress: Progress) -> Fitted:
        # These modules import Keras.
        from plainfilm.training.feed import Feed, images_of
        from plainfilm.training.fit import fit

        recipe, group = work.recipe, self._group
        on_device = None if work.teacher else self.backend
        feed = Feed(
            images_of(work.training.images, on_device, group.here),
            work.training.records.label_array(),
            recipe.augment,
            recipe.input.size,
            recipe.fit.batch,
            work.seed,
            work.teacher,
            group.rows(recipe.fit.batch),
        )
        fitted = fit(
            recipe,
            work.task,
            feed,
            held_out,
            work.folder,
            self.precision,
            self.initial,
            group,
            progress=progress,
        )
        group.leave()
        return fitted


def _collect(work: Work, initial: InitialWeights | None) -> TrainingImages:
    """Return what recognises the images that network, teacher or initial weights learnt from."""
    own = collect_known_images(work.training, work.validation)
    for bundle in (work.teacher and work.teacher.bundle, initial and initial.bundle):
        own = own.including(bundle.read_training_images() if bundle else None)
    return own
