"""The first layers of every network: 0 to 255 in, what the convolutions like out."""

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
        ``midrange`` maps 0..255 to -1..1; ``image`` subtracts each image's own mean and divides by
        its own standard deviation, which makes the network blind to exposure and window.
    """
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="midrange")(image)
    if kind == "midrange":
        return x
    if kind == "image":
        # Group normalisation with a single group, without learned parameters, is exactly that;
        # the epsilon keeps a blank image finite.
        return layers.GroupNormalization(
            groups=1, epsilon=1e-3, center=False, scale=False, dtype="float32", name="standardise"
        )(x)
    raise ConfigError("the normalisation must be midrange or image", received=kind)
