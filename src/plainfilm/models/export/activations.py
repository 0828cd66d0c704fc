"""Adds activation functions to an ONNX graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras import activations

from plainfilm.errors import ConfigError
from plainfilm.models.export.writer import Writer, unsupported


def add_activation(w: Writer, layer: Any, name: str, x: str) -> str:
    """Add the activation of a layer."""
    if layer.activation is activations.linear:
        return x
    if (add := _ADD.get(layer.activation)) is not None:
        return add(w, f"{name}_activated", x)
    known = sorted(function.__name__ for function in _ADD)
    raise ConfigError(
        f"the activation of the layer {layer.name} cannot be exported",
        received=getattr(layer.activation, "__name__", layer.activation),
        remedy=f"use linear, {', '.join(known[:-1])} or {known[-1]}",
    )


def add_relu(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    """Add a ReLU layer."""
    if layer.negative_slope or layer.threshold:
        received = f"negative_slope={layer.negative_slope}, threshold={layer.threshold}"
        raise unsupported(layer.name, received, "use a ReLU without them")
    return _clip(w, name, x[0], layer.max_value)


def _clip(w: Writer, name: str, x: str, high: float | None) -> str:
    if high is None:
        return w.add("Relu", [x], name)
    limits = [w.constant(f"{name}_low", 0), w.constant(f"{name}_high", high)]
    return w.add("Clip", [x, *limits], name)


def _silu(w: Writer, name: str, x: str) -> str:
    return w.add("Mul", [x, w.add("Sigmoid", [x], f"{name}_gate")], name)


def _gelu(w: Writer, name: str, x: str) -> str:
    # x times the distribution function of the standard normal distribution.
    scaled = w.add("Div", [x, w.constant(f"{name}_root", math.sqrt(2))], f"{name}_scaled")
    error = w.add("Erf", [scaled], f"{name}_error")
    twice = w.add("Add", [error, w.constant(f"{name}_one", 1)], f"{name}_twice")
    product = w.add("Mul", [x, twice], f"{name}_product")
    return w.add("Mul", [product, w.constant(f"{name}_half", 0.5)], name)


_ADD: dict[Any, Callable[[Writer, str, str], str]] = {
    activations.gelu: _gelu,
    activations.hard_sigmoid: lambda w, name, x: w.add(
        "HardSigmoid", [x], name, alpha=1 / 6, beta=0.5
    ),
    activations.hard_silu: lambda w, name, x: w.add("HardSwish", [x], name),
    activations.relu: lambda w, name, x: w.add("Relu", [x], name),
    activations.relu6: lambda w, name, x: _clip(w, name, x, 6),
    activations.sigmoid: lambda w, name, x: w.add("Sigmoid", [x], name),
    activations.silu: _silu,
    activations.tanh: lambda w, name, x: w.add("Tanh", [x], name),
}
