"""The first layers of every network: scale images of 0 to 255."""

from __future__ import annotations

from typing import Any

from keras import layers

from plainfilm.errors import ConfigError

__all__ = ["normalise"]


def normalise(image: Any, kind: str) -> Any:
    """Scale an image (n, height, width, 1) of 0 to 255 inside the network.

    Parameters
    ----------
    image
        Keras tensor.
    kind
        ``midrange`` maps 0..255 to -1..1. ``image`` subtracts each image's mean and divides by its
        standard deviation, so that exposure and window have no effect.
    """
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="midrange")(image)
    if kind == "midrange":
        return x
    if kind == "image":
        # Group normalisation with one group and no weights. The epsilon keeps blank images finite.
        return layers.GroupNormalization(
            groups=1, epsilon=1e-3, center=False, scale=False, dtype="float32", name="standardise"
        )(x)
    raise ConfigError("the normalisation must be midrange or image", received=kind)
