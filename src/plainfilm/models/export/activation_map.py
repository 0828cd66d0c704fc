"""Adds the class activation map: where in the image the logit of each label comes from.

The mean of a map over the plane and the bias of the last layer are the logit (Zhou et al., CVPR
2016). A standard deviation is also a mean over the plane, of squared differences divided by it.
"""

from __future__ import annotations

from typing import Any

from keras import layers

from plainfilm.models.export.writer import Writer, to_numpy
from plainfilm.models.layers import FeatureScaling, MeanAndDeviation


def has_activation_map(network: Any) -> bool:
    """Return whether only global pooling, scaling and dropout are below the last dense layer."""
    return bool(_poolings(network))


def add_activation_map(w: Writer, network: Any, head: str, labels: int) -> None:
    """Add the output ``activation`` (n, labels, height, width), if `has_activation_map`."""
    poolings, scaling = _poolings(network), _scaling(network)
    kernel = to_numpy(network.layers[-1].kernel)
    if head == "softmax" and labels == 1:
        kernel = kernel[:, 1:] - kernel[:, :1]
    if scaling is not None:
        kernel = kernel / to_numpy(scaling.deviation)[:, None]
    parts, first = [], 0
    for number, pooling in enumerate(poolings):
        name = "activation" if len(poolings) == 1 else f"activation_{number}"
        planes = w.names[id(pooling.input)]
        if isinstance(pooling, MeanAndDeviation):
            planes = _with_squares(w, planes, pooling, name)
        count = int(pooling.output.shape[-1])
        rows = kernel[first : first + count].T[:, :, None, None]
        first += count
        constants = [w.constant(f"{name}_kernel", rows)]
        if scaling is not None and number == 0:
            offset = -to_numpy(scaling.mean) @ kernel
            constants.append(w.constant(f"{name}_offset", offset))
        parts.append(w.add("Conv", [planes, *constants], name))
    if len(parts) > 1:
        w.add("Sum", parts, "activation")


def _with_squares(w: Writer, planes: str, pooling: Any, name: str) -> str:
    """Return the planes, and those whose mean is the standard deviation."""
    _, variance = w.add_variance([planes], name, [2, 3])
    epsilon = w.constant(f"{name}_epsilon", pooling.EPSILON)
    deviation = w.add(
        "Sqrt", [w.add("Add", [variance, epsilon], f"{name}_safe")], f"{name}_deviation"
    )
    squares = w.add("Add", [f"{name}_square", epsilon], f"{name}_squares")
    shares = w.add("Div", [squares, deviation], f"{name}_shares")
    return w.add("Concat", [planes, shares], f"{name}_planes", axis=1)


def _poolings(network: Any) -> list[Any]:
    """Return the pooling layers whose features enter the last layer; none if there are others."""
    if not isinstance(network.layers[-1], layers.Dense):
        return []
    below = _below(network.layers[-1], layers.Dropout | FeatureScaling)
    found = [below]
    if isinstance(below, layers.Concatenate):
        found = [tensor._keras_history.operation for tensor in below.input]
    planes = {tuple(one.input.shape[1:3]) for one in found if isinstance(one, MeanAndDeviation)}
    if all(isinstance(one, MeanAndDeviation) for one in found) and len(planes) == 1:
        return found
    return found if isinstance(below, layers.GlobalAveragePooling2D) else []


def _scaling(network: Any) -> Any | None:
    below = _below(network.layers[-1], layers.Dropout)
    return below if isinstance(below, FeatureScaling) else None


def _below(layer: Any, skipped: Any) -> Any:
    """Return the layer below another, after those of the ``skipped`` kinds."""
    below = layer.input._keras_history.operation
    while isinstance(below, skipped):
        below = below.input._keras_history.operation
    return below
