"""Class activation and occlusion maps: which parts of an image a prediction is based on.

They do not show whether this evidence is medical: a map that highlights the lungs proves nothing,
but a map that highlights a corner marker proves a shortcut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainfilm.errors import BundleError, UsageError

__all__ = ["Explainable", "heat_colours", "heatmap", "overlay"]

BATCH = 32
"""Number of occluded copies in a batch."""

FAINTEST = 1e-3
"""An occlusion map whose largest drop in logits is smaller is rounding noise."""

# The colour map Inferno (Smith and van der Walt, CC0) in steps of a tenth. Its lightness rises
# evenly, so that it can be read in grey print and with colour blindness.
_HEX = "000004 160b39 420a68 6a176e 932667 bc3754 dd513a f37819 fca50a f6d746 fcffa4"
_INFERNO = np.frombuffer(bytes.fromhex(_HEX), np.uint8).reshape(-1, 3)


class Explainable(Protocol):
    """The interface that `heatmap` needs of a predictor; ``runtime.Predictor`` has it."""

    @property
    def labels(self) -> Sequence[str]:
        """Return the names of the labels, in the order of the probabilities."""

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, labels) in 0..1 for (n, size, size)."""

    def activation_maps(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Return the evidence for each label, (n, labels, h, w), or None where there is none."""


def heatmap(
    predictor: Explainable, pixels: NDArray[np.uint8], label: str | int
) -> NDArray[np.float32]:
    """Return a map of the evidence for ``label`` in an image.

    This is a class activation map if the network has one, else an occlusion map. Negative evidence
    is set to 0, and the rest is divided by its largest value. So 1 is the strongest evidence in
    *this* image, even if it is weak: the maps of two images cannot be compared in strength. An
    image without positive evidence gives zeros.

    Parameters
    ----------
    predictor
        A `Predictor`.
    pixels
        uint8 (size, size), prepared with the pixel spec of the predictor.
    label
        Name or index of the label.

    Returns
    -------
    float32 (size, size), 0 to 1

    Raises
    ------
    UsageError
        If the image has the wrong shape or type, or the label is unknown.
    BundleError
        If the network returns values that are not finite, or of an unexpected shape.

    References
    ----------
    Zhou et al., *Learning Deep Features for Discriminative Localization*, CVPR 2016.
    Zeiler and Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[0] != pixels.shape[1]:
        raise UsageError(
            "a heat map needs one square grey image of type uint8",
            received=f"{pixels.dtype} {pixels.shape}",
            remedy="use the pixels that read_image returns for the bundle's pixel spec",
        )
    if not pixels.size:
        raise UsageError("a heat map needs an image with pixels", received=str(pixels.shape))
    index = _label_index(predictor.labels, label)
    maps = predictor.activation_maps(pixels[None])
    if maps is None:
        return _scale(_occlusion_map(predictor, pixels, index), floor=FAINTEST)
    if maps.ndim != 4 or len(maps) != 1 or maps.shape[1] <= index:
        raise BundleError(
            "the network's activation maps have an unexpected shape",
            received=str(maps.shape),
            remedy=f"expected (1, {len(predictor.labels)}, height, width); seal the bundle again",
        )
    return _scale(_enlarge(_finite(maps[0, index]), pixels.shape[0]))


def overlay(
    pixels: NDArray[np.uint8], heat: NDArray[np.float32], opacity: float = 0.45
) -> NDArray[np.uint8]:
    """Return an image with its heat map overlaid in colour.

    Colour and opacity increase with the heat. Where it is 0, the image is unchanged.

    Parameters
    ----------
    pixels
        uint8 (h, w).
    heat
        float32 (h, w), 0 to 1; other values are clipped.
    opacity
        Opacity where the heat is 1, 0 to 1. It is multiplied by the square root of the heat.

    Returns
    -------
    uint8 (h, w, 3)

    Raises
    ------
    UsageError
        If the shapes differ, the heat is not finite, or the opacity is out of range.
    """
    if pixels.ndim != 2 or pixels.dtype != np.uint8 or heat.shape != pixels.shape:
        raise UsageError(
            "an image and its heat map must be grey and have the same shape",
            received=f"{pixels.dtype} {pixels.shape} and {heat.dtype} {heat.shape}",
        )
    if not 0.0 <= opacity <= 1.0:
        raise UsageError("the opacity must be between 0 and 1", received=opacity)
    if not np.isfinite(heat).all():
        raise UsageError("the heat map has values that are not finite")
    share = opacity * np.sqrt(np.clip(heat.astype(np.float64), 0.0, 1.0))[..., None]
    mixed = (1.0 - share) * pixels[..., None] + share * _colours(heat)
    return np.asarray(np.rint(mixed), np.uint8)


def heat_colours(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the colours of a heat map, uint8 (h, w, 3), as `overlay` uses them."""
    return np.asarray(np.rint(_colours(heat)), np.uint8)


def _colours(heat: NDArray[np.float32]) -> NDArray[np.float64]:
    places = np.linspace(0.0, 1.0, len(_INFERNO))
    # Heat outside 0..1 has the colour of the nearer end.
    return np.stack([np.interp(heat, places, channel) for channel in _INFERNO.T], axis=-1)


def _label_index(labels: Sequence[str], label: str | int) -> int:
    if isinstance(label, str):
        if label in labels:
            return list(labels).index(label)
    elif 0 <= label < len(labels):
        return int(label)
    raise UsageError(
        "the model does not have this label",
        received=label,
        remedy=f"choose one of: {', '.join(labels)}",
    )


def _finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(values).all():
        raise BundleError(
            "the network returned values that are not finite",
            remedy="check the bundle; its weights may be damaged",
        )
    return values


def _enlarge(coarse: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Resize a map to (size, size), bilinearly."""
    image = Image.fromarray(np.ascontiguousarray(coarse, dtype=np.float32))
    fine = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(fine, dtype=np.float32)


def _scale(evidence: NDArray[np.float32], floor: float = 0.0) -> NDArray[np.float32]:
    """Keep the positive evidence and divide it by its largest value."""
    positive = np.maximum(evidence, 0.0)
    top = float(positive.max())
    if top <= floor:
        return np.zeros(evidence.shape, np.float32)
    return np.asarray(positive / top, np.float32)


def _occlusion_map(
    predictor: Explainable, pixels: NDArray[np.uint8], index: int
) -> NDArray[np.float32]:
    """Return how much the logit of the label drops if a grey patch covers a part of the image.

    The patch has an eighth of the side and the mean grey value of the image. It is moved by half
    its width. The value of a pixel is the mean drop over the patches that cover it. Logits are used
    because probabilities near 0 and 1 hardly change, even if much evidence is covered.
    """
    size = pixels.shape[0]
    patch = max(1, size // 8)
    starts = sorted({*range(0, size - patch + 1, max(1, patch // 2)), size - patch})
    places = [(top, left) for top in starts for left in starts]
    grey = np.uint8(np.rint(pixels.mean()))
    whole = _logits(predictor, pixels[None], index)[0]
    drop = np.zeros((size, size))
    covered = np.zeros((size, size))
    for first in range(0, len(places), BATCH):
        some = places[first : first + BATCH]
        batch = np.repeat(pixels[None], len(some), axis=0)
        for image, (top, left) in zip(batch, some, strict=True):
            image[top : top + patch, left : left + patch] = grey
        for value, (top, left) in zip(_logits(predictor, batch, index), some, strict=True):
            drop[top : top + patch, left : left + patch] += whole - value
            covered[top : top + patch, left : left + patch] += 1
    return (drop / covered).astype(np.float32)


def _logits(predictor: Explainable, batch: NDArray[np.uint8], index: int) -> NDArray[np.float64]:
    probabilities = _finite(predictor.probabilities(batch))
    shape = probabilities.shape
    if len(shape) != 2 or shape[0] != len(batch) or shape[1] <= index:
        raise BundleError(
            "the network's probabilities have an unexpected shape", received=str(shape)
        )
    clipped = np.clip(probabilities[:, index].astype(np.float64), 1e-7, 1.0 - 1e-7)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))
