"""Finds and checks the weights from which a training starts, before any image is decoded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from plainfilm import _files
from plainfilm.bundle import Bundle, PretrainedWeights, read_bundle
from plainfilm.bundle.pretrained import OF_BUNDLE
from plainfilm.bundle.sealed import SUMS
from plainfilm.config import KERAS_PREFIX, ORIGIN_OPTIONS, NetworkConfig, Recipe
from plainfilm.errors import ConfigError, RunError
from plainfilm.models.pretrained import lite_weights
from plainfilm.training.backend import use_backend

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
    bundle
        The bundle that they are from, if it is in the same folder.
    """

    origin: PretrainedWeights
    assign: Callable[[Any], None]
    bundle: Bundle | None = None

    @property
    def inherited(self) -> tuple[PretrainedWeights, ...]:
        """Return the weights that these go back to."""
        return () if self.bundle is None else self.bundle.provenance.as_start()


def initial_weights(network: NetworkConfig, backend: str | None = None) -> InitialWeights | None:
    """Return the weights that ``network.weights`` names; None if they are random.

    Keras is imported, on the given backend, if it has to download them.

    Raises
    ------
    ConfigError
        If there are no such weights for this network, or the file is another one.
    MissingExtraError
        If the package of the weights is not installed.
    BundleError
        If the bundle that the weights are in is damaged.
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
    if network.name.startswith(KERAS_PREFIX):
        if weights == "imagenet":
            return _of_keras(network.name.removeprefix(KERAS_PREFIX), backend)
        if path.suffix in (".h5", ".keras"):
            return _of_keras_file(network, path)
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
        remedy=_SAME + _other_files(network.name),
    )


def _other_files(network: str) -> str:
    if network.startswith(KERAS_PREFIX):
        return ", or a .h5 or .keras file of Keras"
    return ", or the .pth file of the ImageNet weights" if _LITE.fullmatch(network) else ""


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


def _of_keras(name: str, backend: str | None) -> InitialWeights:
    """Return the ImageNet weights of a network of Keras Applications."""
    use_backend(backend)
    from plainfilm.models.application_weights import (
        assign_encoder,
        encoder_weights,
        imagenet_origin,
    )

    arrays = encoder_weights(name, "imagenet")
    return InitialWeights(imagenet_origin(name, arrays), partial(assign_encoder, arrays=arrays))


def _of_keras_file(network: NetworkConfig, path: Path) -> InitialWeights:
    """Return the weights of a file of Keras, which is read when they are assigned."""
    try:
        with _files.open_regular(path, _MOST) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _cannot_read(path, error) from error

    def assign(keras_network: Any) -> None:
        from plainfilm.models.application_weights import assign_encoder, encoder_weights

        name = network.name.removeprefix(KERAS_PREFIX)
        assign_encoder(keras_network, encoder_weights(name, str(path)))

    return InitialWeights(_declared(network, path, sha256), assign)


def _cannot_read(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"the weights {path} cannot be read", received=_files.reason_of(error))


def _of_bundle(network: NetworkConfig, path: Path) -> InitialWeights:
    """Return the weights of a bundle, or of a copy of its file without what the bundle states."""
    try:
        data = _files.read_regular(path, _MOST)
    except OSError as error:
        raise _cannot_read(path, error) from error
    origin = _declared(network, path, _files.hash_bytes(data))
    bundle = _bundle_of(path, data)
    if bundle is not None:
        named = [bundle.provenance.dataset] if bundle.provenance.dataset else []
        origin = replace(
            origin,
            name=f"{OF_BUNDLE} {bundle.id[:12]}",
            trained_on=tuple(dict.fromkeys([*named, *origin.trained_on])),
        )

    def assign(keras_network: Any) -> None:
        from plainfilm.training.state import read_weights

        last = keras_network.layers[-1].variables
        try:
            read_weights(data, keras_network.variables, str(path), ignored=last)
        except RunError as error:
            raise ConfigError(error.problem, received=error.received, remedy=_SAME) from error

    return InitialWeights(origin, assign, bundle)


def _bundle_of(path: Path, data: bytes) -> Bundle | None:
    """Return the verified bundle with a file of weights, None if the file is in none."""
    if not (path.parent / "bundle.json").is_file() or not (path.parent / SUMS).is_file():
        return None
    bundle = read_bundle(path.parent)
    return bundle.without_graph() if bundle.read_weights() == data else None


def _declared(network: NetworkConfig, path: Path, sha256: str) -> PretrainedWeights:
    """Return the origin of a file of weights, with what the user states."""
    licence = network.options.get("licence")
    trained_on = network.options.get("trained_on", [])
    if not isinstance(licence, str | None):
        raise ConfigError("network.options.licence must be text", received=repr(licence))
    if not isinstance(trained_on, list | tuple) or not all(isinstance(x, str) for x in trained_on):
        raise ConfigError(
            "network.options.trained_on must be a list of names", received=repr(trained_on)
        )
    return PretrainedWeights(
        name=path.name, sha256=sha256, licence=licence, trained_on=tuple(trained_on)
    )
