"""The section on training: loss, accuracy and AUROC by epoch."""

from __future__ import annotations

import math

from plainfilm._text import plural
from plainfilm.config import PROBE
from plainfilm.report.content import TrainingContent
from plainfilm.report.figures import history_figure
from plainfilm.report.html.markup import lead
from plainfilm.report.html.page import Plot, Plots, Section
from plainfilm.report.wording import capitalised, number

_QUANTITIES = (("loss", "loss"), ("accuracy", "accuracy"), ("auroc", "AUROC"))


def training_section(training: TrainingContent) -> Section | None:
    """Return the curves by epoch, or a sentence for a single epoch or a probe.

    None if neither is known.
    """
    recipe = training.provenance.recipe
    if recipe is not None and recipe.network.name == PROBE:
        return Section("Training", [lead(_probe(recipe.fit.epochs - 1))])
    if len(training.history) == 1:
        return Section("Training", [lead(_only_epoch(training))])
    plots = _history_plots(training)
    return Section("Training", [Plots(plots)]) if plots else None


def _probe(copies: int) -> str:
    augmented = (
        f" and of {plural(copies, 'augmented copy', 'augmented copies')} of each" if copies else ""
    )
    return (
        "There are no curves of the training. The encoder was not trained, and the linear layer "
        f"was fitted in one step, on the features of the unchanged training images{augmented}."
    )


def _defined(training: TrainingContent, epoch: int, key: str) -> float | None:
    value = training.history[epoch].get(key, math.nan)
    return value if math.isfinite(value) else None


def _known(training: TrainingContent, key: str) -> bool:
    """Return whether a quantity has a value in some epoch."""
    return any(_defined(training, n, key) is not None for n in range(len(training.history)))


def _only_epoch(training: TrainingContent) -> str:
    parts = []
    for key, words in _QUANTITIES:
        sides = (("training", key), ("validation", f"val_{key}"))
        values = [(where, _defined(training, 0, own)) for where, own in sides]
        texts = [f"{number(value)} on {where}" for where, value in values if value is not None]
        if texts:
            parts.append(f"{words} {' and '.join(texts)}")
    numbers = f": {'; '.join(parts)}" if parts else ""
    return f"The model was trained for one epoch{numbers}."


def _history_plots(training: TrainingContent) -> list[Plot]:
    plots = []
    epochs, epoch = range(len(training.history)), training.provenance.epoch
    kept = [n for n in epochs if training.history[n].get("epoch") == epoch]
    for key, words in _QUANTITIES:
        if not _known(training, key) and not _known(training, f"val_{key}"):
            continue
        best = _defined(training, kept[0], f"val_{key}") if kept else None
        words_kept = f" The weights of epoch {epoch} were kept (validation: {number(best)})."
        weights = "" if best is None else words_kept
        name = f"history-{key}"
        drawing = history_figure(training.history, best_epoch=epoch, quantities=(key,), name=name)
        sides = {"training": key, "validation": f"val_{key}"}
        drawn = [side for side, own in sides.items() if _known(training, own)]
        caption = f"{capitalised(words)} on {' and '.join(drawn)} images by epoch.{weights}"
        plots.append(Plot(name, drawing, caption, f"{caption} {len(epochs)} epochs."))
    return plots
