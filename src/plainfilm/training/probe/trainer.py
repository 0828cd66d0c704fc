"""Trains probes: logistic regression on the features of images and of augmented copies."""

from __future__ import annotations

import time
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from plainfilm._optional import require
from plainfilm._progress import Progress
from plainfilm.bundle import Bundle, PretrainedWeights, Provenance
from plainfilm.config import FitConfig, Recipe
from plainfilm.errors import ConfigError
from plainfilm.models import apply_augmentation, draw_augmentation
from plainfilm.models.head import Head, fit_head
from plainfilm.models.novelty import MAX_FEATURES
from plainfilm.records import Task
from plainfilm.training.class_weights import class_weights
from plainfilm.training.known_images import collect_known_images
from plainfilm.training.networks import head_of
from plainfilm.training.plan import Plan
from plainfilm.training.probe.encoders import EncoderSource
from plainfilm.training.probe.features import FeatureReader, Images
from plainfilm.training.probe.graph import probe_graph
from plainfilm.training.seal_scored import SAMPLE, Scored, seal_scored
from plainfilm.training.thresholds import DRAWS, disturbed_images
from plainfilm.training.trainer import Work
from plainfilm.training.training_images import ValidationSet

_USED = frozenset({"epochs", "balance", "loss"})  # the settings of [fit] that a probe has


class ProbeTrainer:
    """Fits a linear layer on the features of an encoder, without a training framework."""

    def __init__(self, recipe: Recipe, backend: str | None) -> None:
        _check(recipe, backend)
        require("onnx", "pretrained")
        require("safetensors.numpy", "pretrained")
        self.backend, self.precision, self.starts_slowly = "onnxruntime", "float32", False
        self._source = EncoderSource.of(recipe)
        self.pretrained: PretrainedWeights | None = self._source.origin
        self.inherited: tuple[PretrainedWeights, ...] = ()

    def start(
        self, recipe: Recipe, task: Task, progress: Progress, plan: Plan | None = None
    ) -> None:
        """Read the encoder."""
        del recipe, task, plan
        progress("reading the encoder", 0, 1)
        self._encoder = self._source.open()
        progress("reading the encoder", 1, 1)

    def close(self) -> None:
        """Do nothing: no process was started."""

    def train(self, work: Work, provenance: Provenance, progress: Progress) -> Bundle:
        """Fit the linear layer and seal it with the encoder."""
        started = time.monotonic()
        recipe, task, encoder = work.recipe, work.task, self._encoder
        held, labels = work.validation.to_validation_set(), work.training.records.label_array()
        copies, sides = recipe.fit.epochs, 2 if recipe.network.mirror else 1
        narrow = encoder.width <= MAX_FEATURES
        total = copies * len(labels) + sides * (1 + DRAWS) * len(held)
        total += 2 * min(SAMPLE, len(labels)) if narrow else 0
        reader = FeatureReader(encoder, work.cache, total, progress)
        features = _training_features(work, reader, encoder.width)
        progress("fitting", 0, 1)
        kind = head_of(task, recipe.fit.loss)
        head = fit_head(
            features,
            np.tile(labels, (copies, 1)),
            head=kind,
            weights=class_weights(labels, task, balanced=recipe.fit.balance == "weights"),
            penalty=self._source.options.penalty * copies,
        )
        del features
        progress("fitting", 1, 1)
        seconds = time.monotonic() - started
        scored = _score(work, held, head, reader, narrow=narrow)
        progress("sealing", 0, 1)
        bundle = seal_scored(
            work.folder / "bundle",
            recipe,
            task,
            held,
            scored,
            lambda temperature, novelty: probe_graph(
                encoder, recipe.input.size, head, task, kind, temperature, novelty
            ),
            provenance=replace(
                provenance,
                parameters=encoder.parameters + head.kernel.size + head.bias.size,
                training_seconds=round(seconds, 1),
            ),
            has_activation_map=False,
            weights=_to_bytes(head),
            known=collect_known_images(work.training, work.validation),
            tolerance=encoder.tolerance,
        )
        progress("sealing", 1, 1)
        return bundle


def _check(recipe: Recipe, backend: str | None) -> None:
    """Refuse settings that a probe does not use."""
    if backend is not None:
        raise ConfigError(
            "a probe is trained without a training framework, so it has no backend",
            received=backend,
            remedy="leave out the backend",
        )
    if recipe.distil is not None:
        raise ConfigError(
            "a probe cannot have a teacher",
            received=recipe.distil.teacher or "distil",
            remedy="leave out --teacher",
        )
    default = FitConfig(recipe.fit.epochs)
    unused = [
        f"fit.{one.name}"
        for one in fields(FitConfig)
        if one.name not in _USED and getattr(recipe.fit, one.name) != getattr(default, one.name)
    ]
    unused += ["augment.crop_from"] if recipe.augment.crop_from else []
    if unused:
        raise ConfigError(
            "the recipe has settings that a probe does not have",
            received=", ".join(unused),
            remedy="leave them out; of [fit] a probe has epochs, balance and loss",
        )


def _training_features(work: Work, reader: FeatureReader, width: int) -> NDArray[np.float32]:
    """Return the features of all training images, unchanged and then of each augmented copy."""
    count, copies = len(work.training.records), work.recipe.fit.epochs
    features = np.empty((copies * count, width), np.float32)
    for copy in range(copies):
        own = features[copy * count : (copy + 1) * count]
        reader.read(count, _training_images(work, copy), out=own)
    return features


def _training_images(work: Work, copy: int) -> Images:
    """Return the function that reads training images, augmented unless ``copy`` is 0."""
    recipe, training = work.recipe, work.training
    config, size = recipe.augment, recipe.input.size
    order = np.arange(len(training.images))
    if copy == 0:
        return lambda rows: training.images.gather(order[rows])
    rng = np.random.default_rng([work.seed, copy])
    transforms, tones = draw_augmentation(config, rng, len(order), size)
    return lambda rows: apply_augmentation(
        config,
        training.images.gather(order[rows]),
        transforms[rows],
        tones[rows],
        size=size,
        seed=work.seed,
    )


def _score(
    work: Work, held: ValidationSet, head: Head, reader: FeatureReader, *, narrow: bool
) -> Scored:
    """Return the logits of the disturbed validation images, and what novelty is fitted on.

    The features are also used for novelty if they are ``narrow``.
    """
    images, training = disturbed_images(held.images), work.training
    features = reader.read(len(images), lambda rows: images[rows])
    logits = head.logits(features)
    if work.recipe.network.mirror:
        turned = reader.read(len(images), lambda rows: images[rows, :, ::-1])
        logits = (logits + head.logits(turned)) / 2
    count = len(training.records)
    rows = np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).astype(int))
    learnt = disturbed_images(training.gather(rows), draws=1)
    labels = training.records.label_array()[rows]
    if not narrow:
        return Scored(images, logits, None, learnt, labels, None)
    own = reader.read(len(learnt), lambda rows: learnt[rows])
    wide = features.astype(np.float64), own.astype(np.float64)
    return Scored(images, logits, wide[0], learnt, labels, wide[1])


def _to_bytes(head: Head) -> bytes:
    """Return the linear layer as a safetensors file."""
    tensors = {
        name: np.ascontiguousarray(getattr(head, name), np.float32)
        for name in ("mean", "deviation", "kernel", "bias")
    }
    data: bytes = require("safetensors.numpy", "pretrained").save(tensors)
    return data
