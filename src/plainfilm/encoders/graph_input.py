"""Adds a network of another program to a graph, with the nodes that prepare its images."""

from __future__ import annotations

import numpy as np

from plainfilm.bundle.imported import Preprocessing
from plainfilm.encoders.free_batch import free_batch
from plainfilm.encoders.source import SourceGraph
from plainfilm.models.graph import IMAGE, GraphBuilder

__all__ = ["TYPES", "add_source"]

_PREFIX = "model_"

TYPES = {"float32": 1, "float16": 10, "float64": 11, "uint8": 2}
"""Types of the input of a network, as ONNX numbers them."""


def add_source(
    builder: GraphBuilder,
    source: SourceGraph,
    size: int,
    how: Preprocessing,
    batch: int | None = None,
) -> str:
    """Add a network from the image of a bundle on; return the name of its output.

    ``batch`` is the number of images in a run, None for any number.
    """
    prepared = _add_input(builder, size, how)
    declared = source.shape[0]
    model = source.model if declared in (None, batch) else free_batch(source.model, declared)
    prefixed = builder.onnx.compose.add_prefix(model, _PREFIX).graph
    for node in prefixed.node:
        node.input[:] = [prepared if o == _PREFIX + source.input else o for o in node.input]
    builder.nodes += prefixed.node
    builder.constants += prefixed.initializer
    return _PREFIX + source.output


def _add_input(builder: GraphBuilder, size: int, how: Preprocessing) -> str:
    """Add everything from the image to the input of a network, as `images.prepare` does it.

    The operators have one form in all versions since the oldest that is read. Returns the name of
    the input.
    """
    builder.add("Cast", [IMAGE], "image_float", to=TYPES["float32"])
    shape = builder.constant("plane_shape", [-1, 1, size, size], np.int64)
    value = builder.add("Reshape", ["image_float", shape], "image_plane")
    if how.transposed:
        value = builder.add("Transpose", [value], "image_transposed", perm=[0, 1, 3, 2])
    if how.scaling == "image":
        value = _add_spread(builder, value)
    unit = 1.0 if how.scaling == "image" else 255.0
    mean, std = (
        np.broadcast_to(np.array(one, np.float64), how.channels).reshape(1, -1, 1, 1)
        for one in (how.mean, how.std)
    )
    scale = builder.constant("input_scale", (how.high - how.low) / unit / std)
    offset = builder.constant("input_offset", (how.low - mean) / std)
    value = builder.add("Mul", [value, scale], "input_scaled")
    value = builder.add("Add", [value, offset], "input_planes")
    if how.axes == "nhwc":
        value = builder.add("Transpose", [value], "input_last", perm=[0, 2, 3, 1])
    elif how.axes == "nhw":
        flat = builder.constant("input_shape", [-1, size, size], np.int64)
        value = builder.add("Reshape", [value, flat], "input_flat")
    return builder.add("Cast", [value], "prepared", to=TYPES[how.dtype])


def _add_spread(builder: GraphBuilder, value: str) -> str:
    """Scale each image from its darkest to its lightest pixel to 0..1."""
    top = builder.add("GlobalMaxPool", [value], "image_top")
    negative = builder.add("Neg", [value], "image_negative")
    bottom = builder.add("GlobalMaxPool", [negative], "image_bottom")  # minus the smallest value
    spread = builder.add("Add", [top, bottom], "image_spread")
    safe = builder.add("Max", [spread, builder.constant("grey_level", [1.0])], "image_spread_safe")
    above = builder.add("Add", [value, bottom], "image_above")
    return builder.add("Div", [above, safe], "image_unit")
