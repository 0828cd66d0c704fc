"""Trains a network."""

from __future__ import annotations

import csv
import io
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from plainfilm import _files
from plainfilm._progress import Progress, silent
from plainfilm.config import FitConfig, Recipe
from plainfilm.errors import RunError
from plainfilm.metrics import roc_auc_score
from plainfilm.models import TONES, Augment
from plainfilm.records import Task
from plainfilm.training.backend import has_accelerator
from plainfilm.training.class_weights import class_weights
from plainfilm.training.feed import Feed
from plainfilm.training.group import Group
from plainfilm.training.head_start import below_last_layer, start_last_layer
from plainfilm.training.initial_weights import InitialWeights
from plainfilm.training.losses import DistilLoss, MaskedAccuracy, MaskedLoss
from plainfilm.training.muon import Muon
from plainfilm.training.networks import Head, head_of, network_of, predict_logits
from plainfilm.training.selection import is_selected, patience_is_over
from plainfilm.training.state import (
    TrainingState,
    load_state,
    read_file,
    read_weights,
    save_state,
    weights_to_bytes,
)
from plainfilm.training.steps import steps_of
from plainfilm.training.training_images import ValidationSet

_SAVE_INTERVAL = 30.0  # seconds of training that a kill loses at most


@dataclass(frozen=True, slots=True)
class Fitted:
    """A finished training: the weights of the selected epoch as a safetensors file (empty except on
    rank 0), the state with the history, and the number of weights.
    """

    weights: bytes
    state: TrainingState
    parameters: int


def fit(
    recipe: Recipe,
    task: Task,
    feed: Feed,
    validation: ValidationSet,
    folder: Path,
    precision: str,
    initial: InitialWeights | None = None,
    group: Group | None = None,
    *,
    progress: Progress = silent,
) -> Fitted:
    """Train a network, or continue the interrupted training of a folder.

    With ``initial`` weights, the last layer is fitted before the first step.
    All ranks of a ``group`` call this together, each with its rows of the validation images; only
    rank 0 uses the folder. It receives the training state, the best weights and ``history.csv``. A
    RunError is raised if the loss is no longer finite, or the state in the folder is of another
    network.
    """
    config, group = recipe.fit, group or Group()
    keras.utils.set_random_seed(feed.seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    head = head_of(task, config.loss)
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        network = network_of(recipe, task)
        model = _training_model(network, feed)
    finally:
        keras.config.set_dtype_policy("float32")
    epochs = max(config.epochs, -(-config.minimum_steps // feed.steps))
    optimiser = _optimiser(config, epochs * feed.steps)
    weights = class_weights(feed.labels, task, balanced=config.balance == "weights")
    optimiser.build(network.trainable_variables)

    state_file, best_file = folder / "state.safetensors", folder / "best.safetensors"
    variables = [*network.variables, *optimiser.variables]
    state = load_state(state_file, variables, group)
    started, saved = time.monotonic() - state.seconds, time.monotonic()
    is_new = state.epoch == state.step == 0
    if initial is not None and is_new and group.rank == 0:
        initial.assign(network)
        own = replace(feed, teacher=None, rows=None)
        features = _training_model(below_last_layer(network), own)
        # The images of an epoch after the last, whose augmentation training does not draw.
        batches, count = own.epoch(epochs), len(feed.labels)
        start_last_layer(network, features, batches, count, head, weights, progress)
    if is_new and group.size > 1:
        first = group.broadcast(weights_to_bytes(network.variables))
        read_weights(first or b"", network.variables, "the initial weights")
    loss, accuracy = _loss(recipe, head, weights), MaskedAccuracy(head, len(task.labels))
    steps = steps_of(model, optimiser, loss, accuracy, group)
    total = epochs * feed.steps

    while state.epoch < epochs and not _is_over(state, config):
        for batch in feed.epoch(state.epoch, state.step):
            step_loss, step_accuracy = steps.take(batch)
            state.loss_sum += step_loss
            state.accuracy_sum += step_accuracy
            state.step += 1
            state.seconds = time.monotonic() - started
            done = state.epoch * feed.steps + state.step
            progress("training", done, total, _note(state, done * feed.batch / state.seconds))
            due = group.rank == 0 and time.monotonic() - saved > _SAVE_INTERVAL
            if due and state.step < feed.steps:
                steps.store()
                save_state(state_file, variables, state)
                saved = time.monotonic()

        steps.store()
        row = {
            "epoch": state.epoch + 1,
            "loss": state.loss_sum / feed.steps,
            "accuracy": state.accuracy_sum / feed.steps,
            **_validate(network, head, validation, group),
            "learning_rate": float(ops.convert_to_numpy(optimiser.learning_rate)),
            "seconds": time.monotonic() - started,
        }
        row = group.agree(row)
        if not math.isfinite(row["loss"]):
            raise RunError(
                f"the loss is no longer finite in epoch {row['epoch']:.0f}",
                received=row["loss"],
                remedy="lower fit.learning_rate, or set fit.precision=float32",
            )
        best = state.history[state.best_epoch - 1] if state.best_epoch else None
        state.history.append(row)
        if is_selected(row, best, config.select):
            state.best_epoch = state.epoch + 1
            if group.rank == 0:
                _files.write_bytes(best_file, weights_to_bytes(network.variables))
        state.epoch, state.step, state.loss_sum, state.accuracy_sum = state.epoch + 1, 0, 0.0, 0.0
        state.seconds = time.monotonic() - started
        if group.rank == 0:
            _write_history(folder / "history.csv", state.history)
            save_state(state_file, variables, state)
        saved = time.monotonic()

    best_weights = read_file(best_file) if group.rank == 0 else b""
    return Fitted(best_weights, state, int(network.count_params()))


def _training_model(network: Any, feed: Feed) -> Any:
    """Return the network with the augmentation before it."""
    config = feed.on_device
    side = config.crop_from or feed.size
    images = keras.Input((side, side, 1), dtype="uint8", name="images")
    transforms = keras.Input((8,), name="transforms")
    tones = keras.Input((TONES,), name="tones")
    augment = Augment(config, feed.size, feed.seed)
    return keras.Model([images, transforms, tones], network(augment(images, transforms, tones)))


def _loss(recipe: Recipe, head: Head, weights: NDArray[np.float32]) -> MaskedLoss:
    own, smoothing = recipe.distil, recipe.fit.label_smoothing
    if own is None:
        return MaskedLoss(head, weights, smoothing)
    return DistilLoss(head, weights, smoothing, own.share, own.temperature)


class LinearSchedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up over the first ``warmup`` steps, then linear decay to zero at the last."""

    def __init__(self, peak: float, warmup: float, total: float) -> None:
        self.peak, self.warmup, self.total = peak, warmup, total

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        number = ops.cast(step, "float32") + 1.0
        up = number / self.warmup
        down = (self.total + 1.0 - number) / (self.total + 1.0 - self.warmup)
        return self.peak * ops.maximum(0.0, ops.minimum(up, down))

    def get_config(self) -> dict[str, float]:
        """Return the arguments of the constructor."""
        return {"peak": self.peak, "warmup": self.warmup, "total": self.total}


def _optimiser(config: FitConfig, total: int) -> Any:
    rate: Any = config.learning_rate
    if config.schedule == "linear":
        rate = LinearSchedule(rate, max(1.0, config.warmup * total), total)
    clip = {"clipnorm": config.clip_norm} if config.clip_norm else {}
    if config.optimiser == "adam":
        return keras.optimizers.Adam(rate, **clip)
    if config.optimiser == "muon":
        shared = 1 if has_accelerator(keras.backend.backend()) else 5
        optimiser = Muon(rate, weight_decay=config.weight_decay, shared_iterations=shared, **clip)
    else:
        optimiser = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **clip)
    # Decay of these shifts or scales activations without making the function simpler.
    optimiser.exclude_from_weight_decay(var_names=["bias", "gain", "factor", "gamma", "beta"])
    return optimiser


def _validate(
    network: Any, head: Head, validation: ValidationSet, group: Group
) -> dict[str, float]:
    """Return unweighted loss, accuracy and mean AUROC over the labels; NaN where undefined."""
    labels, own = validation.labels, np.zeros((0, network.output_shape[-1]), np.float32)
    if len(validation.images):
        own = predict_logits(network, validation.images).astype(np.float32)
    logits = group.gather(own, len(labels))
    loss = MaskedLoss(head, np.ones((2, labels.shape[1]), np.float32), 0.0)
    accuracy = MaskedAccuracy(head)
    accuracy.update_state(labels, logits)
    # The logit of each label; for a binary softmax its margin over the other class.
    scores = logits[:, -labels.shape[1] :] - (
        logits[:, :1] if head == "softmax" and labels.shape[1] == 1 else 0.0
    )
    areas = [_auroc(labels[:, i], scores[:, i]) for i in range(labels.shape[1])]
    known = [area for area in areas if not math.isnan(area)]
    return {
        "val_loss": float(ops.convert_to_numpy(loss(labels, logits))),
        "val_accuracy": float(ops.convert_to_numpy(accuracy.result())),
        "val_auroc": sum(known) / len(known) if known else math.nan,
    }


def _auroc(y_true: NDArray[np.float32], y_score: NDArray[np.float32]) -> float:
    return float(roc_auc_score(y_true, y_score)) if np.all(np.isfinite(y_score)) else math.nan


def _is_over(state: TrainingState, config: FitConfig) -> bool:
    return state.step == 0 and patience_is_over(state.history, config)


def _note(state: TrainingState, speed: float) -> str:
    note = f"epoch {state.epoch + 1}  loss {state.loss_sum / state.step:.3f}"
    note += f"  accuracy {state.accuracy_sum / state.step:.3f}"
    if state.history:
        note += f"  val AUROC {state.history[-1]['val_auroc']:.4f}"
    return f"{note}  {speed:.0f} images/s"


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, history[0].keys(), lineterminator="\n")
    writer.writeheader()
    for row in history:
        cells = {key: "" if math.isnan(value) else f"{value:.6g}" for key, value in row.items()}
        writer.writerow({**cells, "epoch": f"{row['epoch']:.0f}"})
    _files.write_text(path, text.getvalue())
