"""Defines the augmentation of training images: the keys of ``[augment]``, and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from plainfilm.config.checks import check, check_each


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How training images are augmented. Values are drawn for each image in each epoch.

    Attributes
    ----------
    name
        One of `AUGMENTATIONS`; the other keys override its values.
    flip
        Whether to flip left and right with probability 1/2.
    quarter_turns
        Whether to rotate by 0, 90 or 180 degrees with equal probability.
    rotation
        Largest angle in degrees, in both directions.
    shift
        Largest shift along each axis, as a share of the side.
    zoom
        Largest change of size: 0.15 draws factors between 1/1.15 and 1.15.
    enlarge
        Largest further enlargement: 0.2 draws factors up to 1.2 times those of ``zoom``.
    aspect
        Largest change of the ratio of width to height, drawn like ``zoom``.
    shear
        Largest shear angle in degrees, in both directions.
    blur
        Share of images that are blurred, with a standard deviation of 0.4 to 1.3 % of the side, or
        of 128 pixels if the side is smaller.
    sharpen
        Share of images that are sharpened, by 0.3 to 1.5 times the difference from a blurred one.
        These are other images than the blurred ones.
    side_bars
        Share of images with a grey bar on the left, the right or both sides, up to 16 % wide.
    text
        Share of images with bright random characters in one to three corners.
    gamma
        Largest exponent of the grey values (0 to 1), drawn like ``zoom``.
    contrast
        Largest change of contrast about mid-grey, drawn like ``zoom``.
    brightness
        Largest shift of all grey values, in both directions, as a share of the full range.
    noise
        Largest standard deviation of added Gaussian noise, as a share of the full range.
    border
        Share of images with a black border, up to 11 % of the side wide.
    box
        Share of images in which a square of 30 % of the side has one grey value.
    inversion
        Share of images with black and white exchanged.
    crop_from
        Side of the images from which random crops are taken; 0 trains on whole images.
    fill
        Value of pixels outside the image: ``black`` or the ``nearest`` pixel.
    """

    name: str = "none"
    flip: bool = False
    quarter_turns: bool = False
    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    enlarge: float = 0.0
    aspect: float = 0.0
    shear: float = 0.0
    blur: float = 0.0
    sharpen: float = 0.0
    side_bars: float = 0.0
    text: float = 0.0
    gamma: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    noise: float = 0.0
    border: float = 0.0
    box: float = 0.0
    inversion: float = 0.0
    crop_from: int = 0
    fill: Literal["black", "nearest"] = "black"

    def __post_init__(self) -> None:
        shares = "shift blur sharpen side_bars text brightness noise border box inversion"
        names = "augment: rotation zoom enlarge aspect shear gamma contrast"
        check_each(self, names, lambda v: 0 <= v <= 180, "must be between 0 and 180")
        problem = "is a share and must be between 0 and 1"
        check_each(self, f"augment: {shares}", lambda v: 0 <= v <= 1, problem)
        check(
            self.blur + self.sharpen <= 1,
            "augment.blur and augment.sharpen are of different images: their sum must be at most 1",
            self.blur + self.sharpen,
        )
        check(self.crop_from >= 0, "augment.crop_from must not be negative", self.crop_from)

    @property
    def moves(self) -> bool:
        """Whether pixels are moved, so that images must be resampled."""
        turns = (self.flip, self.quarter_turns, self.rotation, self.shear)
        return any((*turns, self.crop_from, self.shift, self.zoom, self.enlarge, self.aspect))


AUGMENTATIONS: Mapping[str, AugmentConfig] = {
    "none": AugmentConfig("none"),
    # The tf.data pipeline of the tutorial. It drew its quarter turn only once, when the graph was
    # traced; here it is drawn for each image.
    "tutorial": AugmentConfig("tutorial", flip=True, quarter_turns=True, crop_from=176),
    # The other pipeline of the tutorial, an ImageDataGenerator.
    "tutorial-generator": AugmentConfig(
        "tutorial-generator", flip=True, rotation=40, shift=0.2, shear=0.2, zoom=0.2, fill="nearest"
    ),
    "radiograph": AugmentConfig(
        "radiograph",
        flip=True,
        rotation=6,
        shift=0.05,
        zoom=0.1,
        aspect=0.1,
        contrast=0.3,
        brightness=0.2,
        noise=0.1,
    ),
    # Also varies what devices, crops and collimators leave behind, which a classifier may otherwise
    # use as a shortcut.
    "robust": AugmentConfig(
        "robust",
        flip=True,
        rotation=8,
        shift=0.06,
        zoom=0.1,
        enlarge=0.22,
        aspect=0.27,
        blur=0.3,
        sharpen=0.15,
        side_bars=0.4,
        gamma=0.8,
        contrast=0.65,
        brightness=0.1,
        noise=0.08,
        border=0.2,
        box=0.15,
    ),
}
