"""Adds the novelty of an image to an ONNX graph.

The operators have one form in all versions since 8, so that the graph of any encoder can have them.
"""

from __future__ import annotations

import numpy as np

from plainfilm.models.graph import GraphBuilder
from plainfilm.models.novelty import FLOOR, SIDE, Distance, Novelty


def add_novelty(
    builder: GraphBuilder, novelty: Novelty, planes: str, features: str, size: int
) -> None:
    """Add the output ``novelty`` (n,) from ``planes`` (n, 1, size, size) and ``features`` (n, d).

    The features are not used if the novelty has none.
    """
    side = min(SIDE, size)
    step = size // side
    if size // step > side:  # as `coarse_copies` does it
        inside = [step * side, step * side]
        inputs = [
            builder.constant(f"copy_{what}", numbers, np.int64)
            for what, numbers in (("start", [0, 0]), ("end", inside), ("axes", [2, 3]))
        ]
        planes = builder.add("Slice", [planes, *inputs], "copy_inside")
    window = {"kernel_shape": [step, step], "strides": [step, step]}
    coarse = builder.add("AveragePool", [planes], "copy_coarse", **window)
    flat = builder.add("Flatten", [coarse], "copy_flat")
    mean = builder.add(
        "MatMul", [flat, builder.constant("copy_mean", _column(side**2))], "copy_mean_level"
    )
    centred = builder.add("Sub", [flat, mean], "copy_centred")
    square = builder.add("Mul", [centred, centred], "copy_square")
    variance = builder.add("MatMul", [square, "copy_mean"], "copy_variance")
    contrast = builder.add("Sqrt", [variance], "copy_contrast")
    floored = builder.add("Add", [contrast, builder.constant("copy_floor", FLOOR)], "copy_floored")
    distances = [
        _add_distance(
            builder, novelty.copies, builder.add("Div", [centred, floored], "copy"), "copy"
        )
    ]
    if novelty.features is not None:
        distances.append(_add_distance(builder, novelty.features, features, "feature"))
    largest = builder.add("Max", distances, "novelty_column")
    shape = builder.constant("novelty_shape", [-1], np.int64)
    builder.add("Reshape", [largest, shape], "novelty")


def _add_distance(builder: GraphBuilder, distance: Distance, values: str, name: str) -> str:
    """Add the distance (n, 1) to the nearest of several means."""
    whitening = builder.constant(f"{name}_whitening", distance.whitening / distance.scale)
    width = distance.whitening.shape[1]
    total = builder.constant(f"{name}_total", width * _column(width))
    squares = []
    for number, mean in enumerate(distance.means):
        own = f"{name}_{number}"
        moved = builder.add("Sub", [values, builder.constant(f"{own}_mean", mean)], f"{own}_moved")
        white = builder.add("MatMul", [moved, whitening], f"{own}_white")
        square = builder.add("Mul", [white, white], f"{own}_square")
        squares.append(builder.add("MatMul", [square, total], f"{own}_distance_squared"))
    nearest = builder.add("Min", squares, f"{name}_nearest")
    return builder.add("Sqrt", [nearest], f"{name}_distance")


def _column(width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the column (width, 1) whose product with a row is its mean."""
    return np.full((width, 1), 1 / width)
