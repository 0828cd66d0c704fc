"""Turns the output of an encoder into one row of features for each image."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import ConfigError
from plainfilm.models.graph import GraphBuilder

__all__ = ["Pooling", "add_pooling", "pool"]

Pooling = Literal["first", "mean"]


def pool(
    outputs: NDArray[np.floating], pooling: Pooling | None, *, channels_last: bool
) -> NDArray[np.float64]:
    """Return the features (n, d) of outputs, as `add_pooling` does it in a graph.

    Outputs (n, d) are unchanged. Of planes (n, channels, height, width) these are the mean and the
    standard deviation of each channel, and of tokens (n, tokens, d) the ``first`` or the ``mean``.

    Raises
    ------
    ConfigError
        If the outputs have another number of axes, or ``pooling`` does not fit them.
    """
    values = np.asarray(outputs, np.float64)
    _check(values.shape, pooling)
    if values.ndim == 3:
        return values[:, 0] if pooling == "first" else values.mean(axis=1)
    if values.ndim == 4:
        plane = (1, 2) if channels_last else (2, 3)
        return np.concatenate([values.mean(axis=plane), values.std(axis=plane)], axis=1)
    return values


def add_pooling(
    builder: GraphBuilder,
    output: str,
    axes: int,
    pooling: Pooling | None,
    *,
    channels_last: bool,
) -> str:
    """Add what `pool` does to an output with a number of axes; return the name of the features.

    The operators have one form in all versions since 8.
    """
    value = builder.add("Cast", [output], "encoder_output", to=builder.onnx.TensorProto.FLOAT)
    if axes == 3 and pooling == "first":
        first = builder.constant("first_token", 0, np.int64)
        return builder.add("Gather", [value, first], "encoder_token", axis=1)
    if axes == 3:
        turned = builder.add("Transpose", [value], "encoder_turned", perm=[0, 2, 1])
        mean = builder.add("GlobalAveragePool", [turned], "encoder_mean")
        return builder.add("Flatten", [mean], "encoder_token")
    if axes == 4:
        if channels_last:
            value = builder.add("Transpose", [value], "encoder_planes", perm=[0, 3, 1, 2])
        return add_mean_and_deviation(builder, value, "encoder")
    return value


def add_mean_and_deviation(
    builder: GraphBuilder, planes: str, name: str, epsilon: float = 0.0
) -> str:
    """Add the mean and the standard deviation of each channel, (n, 2 channels).

    ``epsilon`` is added to the variance.
    """
    mean = builder.add("GlobalAveragePool", [planes], f"{name}_mean")
    centred = builder.add("Sub", [planes, mean], f"{name}_centred")
    square = builder.add("Mul", [centred, centred], f"{name}_square")
    variance = builder.add("GlobalAveragePool", [square], f"{name}_variance")
    if epsilon:
        small = builder.constant(f"{name}_epsilon", epsilon)
        variance = builder.add("Add", [variance, small], f"{name}_safe")
    deviation = builder.add("Sqrt", [variance], f"{name}_deviation")
    both = builder.add("Concat", [mean, deviation], f"{name}_both", axis=1)
    return builder.add("Flatten", [both], f"{name}_pooled")


def _check(shape: tuple[int, ...], pooling: Pooling | None) -> None:
    if not 2 <= len(shape) <= 4:
        raise ConfigError(
            "the output of an encoder must have features (n, d), planes (n, channels, height, "
            "width) or tokens (n, tokens, d)",
            received=f"an output of shape {shape}",
            remedy="name another output with network.options.output",
        )
    if (len(shape) == 3) != (pooling is not None):
        raise ConfigError(
            "network.options.pooling is needed for tokens and only for them",
            received=f"{pooling or 'no pooling'} for an output of shape {shape}",
            remedy="set it to first (the class token) or mean"
            if pooling is None
            else "leave it out",
        )
