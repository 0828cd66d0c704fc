"""Networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from plainfilm.errors import ConfigError
from plainfilm.models.compact import compact
from plainfilm.models.tutorial import tutorial

__all__ = ["NETWORKS", "build_network"]

NETWORKS: Mapping[str, Callable[..., Any]] = {"compact": compact, "tutorial": tutorial}


def build_network(name: str, size: int, outputs: int, options: Mapping[str, Any]) -> Any:
    """Build a network.

    Parameters
    ----------
    name
        One of `NETWORKS`.
    size
        Side of the input in pixels.
    outputs
        Number of logits.
    options
        Keywords of the network's builder.

    Returns
    -------
    keras.Model
        From images (n, size, size, 1), 0 to 255, to logits (n, outputs), float32.

    Raises
    ------
    ConfigError
        If there is no such network, it has no such option, or the input is too small for it.
    """
    if name not in NETWORKS:
        raise ConfigError(
            f"there is no network {name!r}", remedy=f"choose one of: {', '.join(NETWORKS)}"
        )
    builder = NETWORKS[name]
    known = [
        p.name for p in inspect.signature(builder).parameters.values() if p.kind is p.KEYWORD_ONLY
    ]
    for key in options:
        if key not in known:
            raise ConfigError(
                f"the network {name!r} has no option {key!r}", remedy=f"known: {', '.join(known)}"
            )
    try:
        return builder(size, outputs, **options)
    except (TypeError, ValueError, IndexError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"the network {name!r} with {dict(options)} cannot take images of {size} pixels",
            received=first,
        ) from error
