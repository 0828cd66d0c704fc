"""Checks what the network of a bundle takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._text import plural
from plainfilm.bundle import Bundle
from plainfilm.errors import BundleError
from plainfilm.network_session import NetworkSession, Shape

__all__ = ["check_interface", "check_output", "scores_of"]


def scores_of(bundle: Bundle) -> tuple[str, ...]:
    """Return the outputs that a prediction needs."""
    return ("probabilities",) if bundle.rejection is None else ("probabilities", "novelty")


def check_interface(bundle: Bundle, session: NetworkSession) -> None:
    """Check the declared input and outputs; raise a BundleError if they are not those needed."""
    size, labels = bundle.pixels.size, len(bundle.task.labels)
    inputs, outputs = session.inputs, session.outputs
    image, found = inputs.get("image", ()), outputs.get("probabilities", ())
    if len(inputs) > 1 or [*image][1:] != [size, size] or "logits" not in outputs:
        raise BundleError(
            f"{bundle.graph} does not have the input and outputs of a bundle",
            received=f"inputs {_shapes(inputs)}; outputs {_shapes(outputs)}",
            remedy=f"the input must be image (n, {size}, {size}), with the outputs "
            "probabilities and logits",
        )
    if len(found) != 2 or (isinstance(found[1], int) and found[1] != labels):
        raise BundleError(
            f"{bundle.graph} does not have a probability for each label",
            received=f"probabilities {[*found]}, labels {', '.join(bundle.task.labels)}",
        )
    needed = (*scores_of(bundle), *["activation"] * bundle.has_activation_map)
    if missing := [name for name in needed if name not in outputs]:
        raise BundleError(
            f"{bundle.graph} does not have every output that the bundle needs",
            received=f"no {' and no '.join(missing)}; outputs {_shapes(outputs)}",
            remedy="seal or import the network again with this version",
        )


def check_output(
    name: str, values: NDArray[Any], count: int, labels: int, *, finite: bool = True
) -> None:
    """Check an output for ``count`` images; raise a BundleError if it is not usable.

    ``finite`` requires that all values are finite.
    """
    shapes: dict[str, tuple[int | None, ...]] = {
        "probabilities": (count, labels),
        "novelty": (count,),
        "logits": (count, None),
        "activation": (count, labels, None, None),
    }
    sides = shapes[name]
    fits = len(sides) == values.ndim and all(
        own > 0 if side is None else own == side
        for own, side in zip(values.shape, sides, strict=True)
    )
    if count and not (fits and values.dtype.kind == "f"):
        raise BundleError(
            f"the network's output {name} has an unexpected shape or type",
            received=f"{values.dtype} {[*values.shape]} for {plural(count, 'image')}",
        )
    if finite and not np.isfinite(values).all():
        raise BundleError(
            f"the network returned values that are not finite ({name})",
            remedy="check the bundle; its weights may be damaged",
        )


def _shapes(named: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name} {[*shape]}" for name, shape in named.items())
