"""Trains networks with Keras."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

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
from plainfilm.training.initial_weights import InitialWeights, initial_weights
from plainfilm.training.known_images import collect_known_images
from plainfilm.training.networks import network_of
from plainfilm.training.seal_scored import SAMPLE
from plainfilm.training.startup import Background
from plainfilm.training.trainer import Work
from plainfilm.training.training_images import sample_images


class KerasTrainer:
    """Trains all weights of a network by gradient descent."""

    def __init__(self, recipe: Recipe, backend: str | None) -> None:
        self.backend = choose_backend(backend)
        self.precision = choose_precision(recipe.fit.precision, self.backend, recipe.network.name)
        self.initial = initial_weights(recipe.network, self.backend)
        self.pretrained = None if self.initial is None else self.initial.origin
        self.inherited = () if self.initial is None else self.initial.inherited
        self.starts_slowly = not backend_is_running()

    def start(self, recipe: Recipe, task: Task, progress: Progress) -> None:
        """Import Keras, and build the network once to check its options and initial weights."""
        if self.starts_slowly:
            progress(f"importing {self.backend}", 0, 1)
            use_backend(self.backend)
            progress(f"importing {self.backend}", 1, 1)
        network = network_of(recipe, task)
        if self.initial is not None:
            self.initial.assign(network)

    def train(self, work: Work, provenance: Provenance, progress: Progress) -> Bundle:
        """Train a network and seal it."""
        # These modules import Keras.
        from plainfilm.training.feed import Feed, images_of
        from plainfilm.training.fit import fit
        from plainfilm.training.seal import prepare_seal, seal

        recipe, task, training = work.recipe, work.task, work.training
        held_out = work.validation.to_validation_set()
        sample = partial(
            sample_images, training.records, recipe.input, work.cache, work.workers, SAMPLE
        )
        collect = partial(_collect, work, self.initial)
        sealing = Background(
            partial(prepare_seal, recipe, task, held_out, sample, collect), progress
        )
        gather = images_of(training.images, None if work.teacher else self.backend)
        labels, size = training.records.label_array(), recipe.input.size
        feed = Feed(gather, labels, recipe.augment, size, recipe.fit.batch, work.seed, work.teacher)
        report = sealing.progress
        fitted = fit(
            recipe,
            task,
            feed,
            held_out,
            work.folder,
            self.precision,
            self.initial,
            progress=report,
        )
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


def _collect(work: Work, initial: InitialWeights | None) -> TrainingImages:
    """Return what recognises the images that network, teacher or initial weights learnt from."""
    own = collect_known_images(work.training, work.validation)
    for bundle in (work.teacher and work.teacher.bundle, initial and initial.bundle):
        own = own.including(bundle.read_training_images() if bundle else None)
    return own
