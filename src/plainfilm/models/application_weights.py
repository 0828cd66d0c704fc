"""Reads the weights of networks of Keras Applications: ImageNet's, or those of a file."""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle.pretrained import PretrainedWeights
from plainfilm.errors import ConfigError
from plainfilm.models.applications import find_application, without_scaling

_LARGE_CONVNEXT = ("ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge")


def encoder_weights(name: str, weights: str) -> list[NDArray[np.float32]]:
    """Return the weights of a network of Keras Applications without its last layer.

    ``weights`` is ``imagenet``, which Keras downloads once, or the path of a ``.h5`` or ``.keras``
    file. Nothing in a file is executed.

    Raises
    ------
    ConfigError
        If they cannot be downloaded, or the file is of another network.
    """
    function = find_application(name)
    try:
        # Keras warns of image sizes other than that of ImageNet, and prints the download.
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            network = function(include_top=False, weights=weights)
    except Exception as error:  # Keras raises errors of any class, also for a failed download
        raise _cannot_read(name, weights, error) from error
    arrays: list[NDArray[np.float32]] = without_scaling(network).get_weights()
    return arrays


def assign_encoder(network: Any, arrays: list[NDArray[np.float32]]) -> None:
    """Assign what `encoder_weights` returned to a network from `keras_application`."""
    network.get_layer("encoder").set_weights(arrays)


def imagenet_origin(name: str, arrays: list[NDArray[np.float32]]) -> PretrainedWeights:
    """Return the origin of the ImageNet weights of a network."""
    further = ("ImageNet-21k",) if name in _LARGE_CONVNEXT else ()
    return PretrainedWeights(
        name=f"{name} (ImageNet)",
        sha256=_hash(arrays),
        source="Keras Applications, https://keras.io/api/applications/",
        trained_on=("ImageNet (ILSVRC 2012)", *further),
    )


def _hash(arrays: list[NDArray[np.float32]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()


def _cannot_read(name: str, weights: str, error: Exception) -> ConfigError:
    # Keras announces a reason, and prints the variables of the layer after it.
    lines = (line.strip() for line in str(error).splitlines())
    reason = next((line for line in lines if line and line[-1] != ":"), type(error).__name__)
    reason = re.split(r" Expected: \[| Target variable: ", reason)[0]
    if weights == "imagenet":
        return ConfigError(
            f"Keras cannot load the ImageNet weights of {name}",
            received=reason,
            remedy="connect to the internet once, or download the file on another machine and set "
            "network.weights to its path",
        )
    return ConfigError(
        f"{weights} does not contain weights of {name} without its last layer",
        received=reason,
        remedy="give a file of the same network, saved with include_top=False",
    )
