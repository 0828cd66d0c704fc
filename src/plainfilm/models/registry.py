"""Builds networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from plainfilm.config import check_network
from plainfilm.errors import ConfigError
from plainfilm.models.compact import compact
from plainfilm.models.tutorial import tutorial

NETWORKS: Mapping[str, Callable[..., Any]] = {"compact": compact, "tutorial": tutorial}
"""Functions that build networks; `plainfilm.config.NETWORKS` lists the same names."""


def build_network(name: str, size: int, outputs: int, options: Mapping[str, Any]) -> Any:
    """Build a network from images (n, size, size, 1), 0 to 255, to logits (n, outputs), float32.

    ``options`` are keywords of the function that builds it. A ConfigError is raised if there is no
    such network or option, or the input is too small for the network.
    """
    check_network(name)
    build = NETWORKS[name]
    parameters = inspect.signature(build).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    for key in options:
        if key not in known:
            raise ConfigError(
                f"the network {name!r} has no option {key!r}",
                remedy=f"known options: {', '.join(known)}",
            )
    try:
        return build(size, outputs, **options)
    except (TypeError, ValueError, IndexError) as error:
        raise ConfigError(
            f"the network {name!r} with {dict(options)} cannot be built for images of {size} "
            "pixels",
            received=str(error).strip().splitlines()[0],
        ) from error
