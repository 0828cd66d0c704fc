"""Training, from top to bottom."""

from __future__ import annotations

import csv
import io
import math
import time
from dataclasses import dataclass
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
from plainfilm.models import Augment, build_network
from plainfilm.records import Task
from plainfilm.training.backend import has_accelerator
from plainfilm.training.feed import Feed
from plainfilm.training.losses import MaskedAccuracy, MaskedLoss, class_weights
from plainfilm.training.muon import Muon
from plainfilm.training.networks import Head, head_of, outputs_of, predict_logits
from plainfilm.training.state import Progressed, load_state, save_state, weights_to_bytes

__all__ = ["Fitted", "fit"]

# Twice takes a fortieth of a step of a small network.
_STEP_RESETS = tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 15)
"""Whether a step of Keras begins by resetting the metrics."""
_SAVE_EVERY = 30.0  # seconds; what a kill costs at most, beside the start-up


@dataclass(frozen=True, slots=True)
class Fitted:
    """A finished training.

    Attributes
    ----------
    weights
        Bytes of the chosen epoch's weights (safetensors).
    progressed
        History, best epoch and time.
    parameters
        Number of weights of the network.
    """

    weights: bytes
    progressed: Progressed
    parameters: int


def fit(
    recipe: Recipe,
    task: Task,
    feed: Feed,
    validation: tuple[NDArray[np.uint8], NDArray[np.float32]],
    folder: Path,
    *,
    precision: str,
    seed: int,
    progress: Progress = silent,
) -> Fitted:
    """Train a network, or go on where an interrupted training stopped.

    Parameters
    ----------
    recipe, task
        What to train, on what.
    feed
        Training batches.
    validation
        Images (n, size, size) and labels (n, labels).
    folder
        Where the state, the best weights and ``history.csv`` are kept.
    precision
        ``float32`` or ``bfloat16``.
    seed
        Of initial weights and noise.

    Raises
    ------
    RunError
        If the loss is no longer finite, or the folder holds the state of another network.
    """
    config = recipe.fit
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        head = head_of(task, config.loss)
        network = build_network(
            recipe.network.name, recipe.input.size, outputs_of(task, head), recipe.network.options
        )
        model = _training_model(network, recipe, seed)
    finally:
        keras.config.set_dtype_policy("float32")
    epochs = max(config.epochs, -(-config.minimum_steps // feed.steps))
    optimiser = _optimiser(config, epochs * feed.steps)
    weights = class_weights(feed.labels, task, balanced=config.balance == "weights")
    model.compile(
        optimizer=optimiser,
        loss=MaskedLoss(head, weights, config.label_smoothing),
        metrics=[MaskedAccuracy(head)],
        jit_compile=keras.backend.backend() == "jax",
    )
    optimiser.build(network.trainable_variables)

    state_file, best_file = folder / "state.safetensors", folder / "best.safetensors"
    variables = [*network.variables, *optimiser.variables]
    now = load_state(state_file, variables)
    started, saved = time.monotonic() - now.seconds, time.monotonic()
    total = epochs * feed.steps

    while now.epoch < epochs and not _patience_is_out(now, config):
        for batch in feed.epoch(now.epoch, now.step):
            if not _STEP_RESETS:
                model.reset_metrics()
            # The images may be tensors already, and on PyTorch Keras takes no mixture.
            given = batch.images, batch.transforms, batch.tones
            logs = model.train_on_batch(
                [ops.convert_to_tensor(part) for part in given], batch.labels, return_dict=True
            )
            now.loss_sum += float(logs["loss"])
            now.accuracy_sum += float(logs["accuracy"])
            now.step += 1
            now.seconds = time.monotonic() - started
            done = now.epoch * feed.steps + now.step
            progress("training", done, total, _note(now, done * feed.batch / now.seconds))
            if time.monotonic() - saved > _SAVE_EVERY and now.step < feed.steps:
                save_state(state_file, variables, now)
                saved = time.monotonic()

        row = {
            "epoch": now.epoch + 1,
            "loss": now.loss_sum / feed.steps,
            "accuracy": now.accuracy_sum / feed.steps,
            **_validate(network, head, *validation),
            "learning_rate": float(ops.convert_to_numpy(optimiser.learning_rate)),
            "seconds": time.monotonic() - started,
        }
        if not math.isfinite(row["loss"]):
            raise RunError(
                f"the loss is no longer a number in epoch {row['epoch']:.0f}",
                received=row["loss"],
                remedy="lower fit.learning_rate, or set fit.precision=float32",
            )
        now.history.append(row)
        if _is_better(row, now, config.select):
            now.best_epoch, now.best_value = now.epoch + 1, row.get(config.select)
            _files.write_bytes(best_file, weights_to_bytes(network.variables))
        now.epoch, now.step, now.loss_sum, now.accuracy_sum = now.epoch + 1, 0, 0.0, 0.0
        now.seconds = time.monotonic() - started
        _write_history(folder / "history.csv", now.history)
        save_state(state_file, variables, now)
        saved = time.monotonic()

    return Fitted(best_file.read_bytes(), now, int(network.count_params()))


def _training_model(network: Any, recipe: Recipe, seed: int) -> Any:
    """Put the augmentation before the network."""
    side = recipe.augment.crop_from or recipe.input.size
    images = keras.Input((side, side, 1), dtype="uint8", name="images")
    transforms = keras.Input((8,), name="transforms")
    tones = keras.Input((5,), name="tones")
    augment = Augment(recipe.augment, recipe.input.size, seed)
    return keras.Model([images, transforms, tones], network(augment(images, transforms, tones)))


class WarmUpThenDown(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Rise in a straight line over the first steps, then fall in one to zero at the last."""

    def __init__(self, peak: float, rise: float, total: float) -> None:
        self.peak, self.rise, self.total = peak, rise, total

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        at = ops.cast(step, "float32") + 1.0
        up = at / self.rise
        down = (self.total + 1.0 - at) / (self.total + 1.0 - self.rise)
        return self.peak * ops.maximum(0.0, ops.minimum(up, down))

    def get_config(self) -> dict[str, float]:
        """Return what rebuilds this schedule."""
        return {"peak": self.peak, "rise": self.rise, "total": self.total}


def _optimiser(config: FitConfig, total: int) -> Any:
    rate: Any = config.learning_rate
    if config.schedule == "linear":
        rate = WarmUpThenDown(rate, max(1.0, config.warmup * total), total)
    clip = {"clipnorm": config.clip_norm} if config.clip_norm else {}
    if config.optimiser == "adam":
        return keras.optimizers.Adam(rate, **clip)
    if config.optimiser == "muon":
        together = 1 if has_accelerator(keras.backend.backend()) else 5
        optimiser = Muon(rate, weight_decay=config.weight_decay, together=together, **clip)
    else:
        optimiser = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **clip)
    # Shrinking these only shifts or scales activations; it does not simplify the function.
    optimiser.exclude_from_weight_decay(var_names=["bias", "gain", "factor", "gamma", "beta"])
    return optimiser


def _validate(
    network: Any,
    head: Head,
    images: NDArray[np.uint8],
    labels: NDArray[np.float32],
) -> dict[str, float]:
    """Return unweighted loss, accuracy and mean AUROC over the labels; NaN where undefined."""
    logits = predict_logits(network, images).astype(np.float32)
    loss = MaskedLoss(head, np.ones((2, labels.shape[1]), np.float32), 0.0)
    accuracy = MaskedAccuracy(head)
    accuracy.update_state(labels, logits)
    # One class against the other; for softmax the margin over the other classes ranks alike.
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


def _auroc(labels: NDArray[np.float32], scores: NDArray[np.float32]) -> float:
    if not np.all(np.isfinite(scores)):
        return math.nan
    return float(roc_auc_score(labels, scores))


def _is_better(row: dict[str, float], now: Progressed, select: str) -> bool:
    # A first epoch whose value is undefined must not stay the best for ever.
    if select == "last" or now.best_value is None or math.isnan(now.best_value):
        return True
    value = row[select]
    if math.isnan(value):
        return False
    return value < now.best_value if select == "val_loss" else value > now.best_value


def _patience_is_out(now: Progressed, config: FitConfig) -> bool:
    return bool(config.patience and now.step == 0 and now.epoch - now.best_epoch >= config.patience)


def _note(now: Progressed, speed: float) -> str:
    note = f"epoch {now.epoch + 1}  loss {now.loss_sum / now.step:.3f}"
    note += f"  accuracy {now.accuracy_sum / now.step:.3f}"
    if now.history:
        note += f"  val AUROC {now.history[-1]['val_auroc']:.4f}"
    return f"{note}  {speed:.0f} images/s"


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, history[0].keys(), lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow(
            {
                key: f"{value:.0f}"
                if key == "epoch"
                else ""
                if math.isnan(value)
                else f"{value:.6g}"
                for key, value in row.items()
            }
        )
    _files.write_text(path, text.getvalue())
