"""Figures of a training: curves over epochs, and sheets of images."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from plainfilm.errors import UsageError
from plainfilm.report.figures.canvas import HEIGHT, WIDTH, drawing, numbers, shorten, styled
from plainfilm.report.figures.style import FIRST, QUIET, SECOND, Drawing
from plainfilm.report.html.markup import visible

_QUANTITIES = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "auroc": "AUROC",
    "learning_rate": "Learning rate",
}


def history_figure(
    history: Sequence[Mapping[str, float]],
    *,
    best_epoch: int | None = None,
    quantities: Sequence[str] = ("loss", "accuracy"),
    name: str = "history",
) -> Drawing:
    """Draw quantities over the epochs, a panel for each, on training and validation images.

    A row of ``history`` has ``epoch``, each quantity, and ``val_`` followed by its name. The figure
    marks ``best_epoch``, whose weights were kept.
    """
    if not history or not quantities:
        raise UsageError("a history figure needs at least one epoch and one quantity")
    with styled(name):
        size = (WIDTH * len(quantities), HEIGHT - 0.6)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(quantities), squeeze=False)[0]
        for axes, quantity in zip(panels, quantities, strict=True):
            _draw_history(axes, history, quantity, best_epoch)
        return drawing(figure, name, "Training history")


def _draw_history(
    axes: Any, history: Sequence[Mapping[str, float]], quantity: str, best_epoch: int | None
) -> None:
    epochs = [float(row.get("epoch", index)) for index, row in enumerate(history, start=1)]
    for key, label, colour in (
        (quantity, "training", QUIET[0]),
        (f"val_{quantity}", "validation", FIRST[0]),
    ):
        values = numbers([row.get(key) for row in history])
        if np.isfinite(values).any():
            style = {"color": colour, "markersize": 3.2, "linewidth": 1.5}
            axes.plot(epochs, values, "o-", label=label, **style)
            if best_epoch is not None and best_epoch in epochs and key.startswith("val_"):
                kept = values[epochs.index(best_epoch)]
                mark = {"color": SECOND[0], "markersize": 6.5, "zorder": 5}
                axes.plot([best_epoch], [kept], "o", label="kept", **mark)
    if best_epoch is not None:
        axes.axvline(best_epoch, color=SECOND[0], linewidth=0.9, dashes=(3, 3))
    axes.set_xlabel("Epoch")
    axes.set_ylabel(_QUANTITIES.get(quantity, visible(quantity)))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")


def sample_grid(
    images: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int = 4
) -> bytes:
    """Return a sheet of images with captions, as PNG on white.

    Images are uint8 (h, w), or (h, w, 3) in colour, ``columns`` in a row. Long captions are
    shortened.

    Raises
    ------
    UsageError
        If there is no image, or not one caption for each image.
    """
    if not len(images) or len(images) != len(captions) or columns < 1:
        raise UsageError(
            "a sheet needs at least one image, one column and a caption for each image",
            received=f"{len(images)} images, {len(captions)} captions, {columns} columns",
        )
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    with styled("samples"):
        figure = Figure(figsize=(2.2 * columns, 2.45 * rows), dpi=110, layout="constrained")
        figure.set_facecolor("white")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels:
            axes.set_axis_off()
        for axes, image, caption in zip(panels, images, captions, strict=False):
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
            axes.set_title(shorten(caption, 30), fontsize=8, loc="center")
        page = io.BytesIO()
        FigureCanvasAgg(figure).print_png(page, metadata={"Software": None})
        return page.getvalue()
