"""Finds and checks the weights from which a training starts, before any image is decoded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plainfilm import _files
from plainfilm.bundle import PretrainedWeights
from plainfilm.config import ORIGIN_OPTIONS, NetworkConfig, Recipe
from plainfilm.errors import ConfigError, RunError
from plainfilm.models.pretrained import lite_weights

_LITE = re.compile(r"efficientnet-lite([0-9])")
_SAME = "give the file weights.safetensors of a bundle with the same network"
_MOST = 1 << 40  # bytes of a file of weights


@dataclass(frozen=True, slots=True, eq=False)
class InitialWeights:
    """The weights from which a training starts.

    Attributes
    ----------
    origin
        What is known of them, for the bundle.
    assign
        Function that assigns them to a Keras network, except to its last layer.
    """

    origin: PretrainedWeights
    assign: Callable[[Any], None]


def initial_weights(network: NetworkConfig) -> InitialWeights | None:
    """Return the weights that ``network.weights`` names; None if they are random.

    Raises
    ------
    ConfigError
        If there are no such weights for this network, or the file is another one.
    MissingExtraError
        If the package of the weights is not installed.
    """
    weights, lite = network.weights, _LITE.fullmatch(network.name)
    if weights in ("random", "imagenet"):
        for key in ORIGIN_OPTIONS:
            if key in network.options:
                raise ConfigError(
                    f"network.options.{key} describes a file of weights",
                    received=f"network.weights={weights}",
                    remedy="set network.weights to the path of the file, or omit the option",
                )
    if weights == "random":
        return None
    path = Path(weights)
    if lite and (weights == "imagenet" or path.suffix == ".pth"):
        return _of_lite(int(lite[1]), None if weights == "imagenet" else path)
    if weights == "imagenet":
        raise ConfigError(
            f"there are no ImageNet weights for the network {network.name!r}",
            remedy="set network.weights=random, or choose a network that has them, such as "
            "efficientnet-lite0",
        )
    if path.suffix == ".safetensors":
        return _of_bundle(network, path)
    raise ConfigError(
        "network.weights must be random, imagenet or a file of weights",
        received=weights,
        remedy=_SAME + (", or the .pth file of the ImageNet weights" if lite else ""),
    )


def without_folders(recipe: Recipe) -> Recipe:
    """Return a recipe that names files of weights without their folders, for runs and bundles."""
    weights, encoder = Path(recipe.network.weights).name, recipe.network.encoder
    encoder = None if encoder is None else Path(encoder).name
    return replace(recipe, network=replace(recipe.network, weights=weights, encoder=encoder))


def _of_lite(variant: int, path: Path | None) -> InitialWeights:
    found = lite_weights(variant, path)

    def assign(network: Any) -> None:
        from plainfilm.models.efficientnet_lite import assign_convolutions

        assign_convolutions(network, found.convolutions)

    return InitialWeights(found.origin, assign)


def _of_bundle(network: NetworkConfig, path: Path) -> InitialWeights:
    """Return the weights of a bundle; only the user knows what they were trained on."""
    try:
        data = _files.read_regular(path, _MOST)
    except OSError as error:
        reason = _files.reason_of(error)
        raise ConfigError(f"the weights {path} cannot be read", received=reason) from error

    def assign(keras_network: Any) -> None:
        from plainfilm.training.state import read_weights

        last = keras_network.layers[-1].variables
        try:
            read_weights(data, keras_network.variables, str(path), ignored=last)
        except RunError as error:
            raise ConfigError(error.problem, received=error.received, remedy=_SAME) from error

    licence, trained_on = _declared(network)
    sha256 = _files.hash_bytes(data)
    origin = PretrainedWeights(
        name=path.name, sha256=sha256, licence=licence, trained_on=trained_on
    )
    return InitialWeights(origin, assign)


def _declared(network: NetworkConfig) -> tuple[str | None, tuple[str, ...]]:
    """Return the licence of a file of weights and what it was trained on, as the user states."""
    licence = network.options.get("licence")
    trained_on = network.options.get("trained_on", [])
    if not isinstance(licence, str | None):
        raise ConfigError("network.options.licence must be text", received=repr(licence))
    if not isinstance(trained_on, list | tuple) or not all(isinstance(x, str) for x in trained_on):
        raise ConfigError(
            "network.options.trained_on must be a list of names", received=repr(trained_on)
        )
    return licence, tuple(trained_on)
