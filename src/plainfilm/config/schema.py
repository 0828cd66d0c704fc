"""What a recipe can say: frozen dataclasses that check themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from plainfilm._json import TOML, from_json
from plainfilm.errors import ConfigError
from plainfilm.records import PixelSpec

__all__ = [
    "AUGMENTATIONS",
    "AugmentConfig",
    "DataConfig",
    "FitConfig",
    "NetworkConfig",
    "PointsConfig",
    "Recipe",
]


def _check(condition: bool, what: str, received: object) -> None:
    if not condition:
        raise ConfigError(what, received=received)


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which images are learnt from.

    Attributes
    ----------
    limit
        At most so many training images, a stratified share; 0 takes all.
    limit_balanced
        Whether the limit takes as many of each class (else it keeps their proportion).
    validation, test
        Share of the patients held out where the source has no such split.
    """

    limit: int = 0
    limit_balanced: bool = False
    validation: float = 0.1
    test: float = 0.2

    def __post_init__(self) -> None:
        _check(self.limit >= 0, "data.limit must not be negative", self.limit)
        _check(0 < self.validation < 0.5, "data.validation must be in (0, 0.5)", self.validation)
        _check(0 < self.test < 0.5, "data.test must be in (0, 0.5)", self.test)


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Which network, and its own options (the keywords of its builder)."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How training images are disturbed; every value is drawn anew for each image and epoch.

    Attributes
    ----------
    name
        One of `AUGMENTATIONS`, whose values the further keys override.
    flip
        Mirror left and right with probability 1/2.
    quarter_turns
        Turn by 0, 90 or 180 degrees with equal probability.
    rotation
        Greatest angle in degrees, either way.
    shift
        Greatest shift along each axis, as a share of the side.
    zoom
        Greatest change of size, either way: 0.15 draws factors between 1/1.15 and 1.15.
    aspect
        Greatest change of width against height, drawn like ``zoom``.
    shear
        Greatest shear angle in degrees, either way.
    contrast
        Greatest change of contrast about mid-grey, drawn like ``zoom``.
    brightness
        Greatest shift of all grey values, either way, as a share of the full range.
    noise
        Greatest standard deviation of added Gaussian noise, as a share of the full range.
    crop_from
        Train on random crops out of images of this side; 0 trains on whole images.
    fill
        What lies outside the image: ``black`` or the ``nearest`` pixel.
    """

    name: str = "none"
    flip: bool = False
    quarter_turns: bool = False
    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    aspect: float = 0.0
    shear: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    noise: float = 0.0
    crop_from: int = 0
    fill: Literal["black", "nearest"] = "black"

    def __post_init__(self) -> None:
        for name in (
            "rotation",
            "shift",
            "zoom",
            "aspect",
            "shear",
            "contrast",
            "brightness",
            "noise",
        ):
            value = getattr(self, name)
            _check(0 <= value <= 180, f"augment.{name} must lie between 0 and 180", value)
        for name in ("shift", "brightness", "noise"):
            value = getattr(self, name)
            _check(value <= 1, f"augment.{name} is a share and must be at most 1", value)
        _check(self.crop_from >= 0, "augment.crop_from must not be negative", self.crop_from)


AUGMENTATIONS: Mapping[str, AugmentConfig] = {
    "none": AugmentConfig("none"),
    # The tutorial's tf.data pipeline. Its quarter turn was drawn once, when the graph was traced;
    # here it is drawn for each image.
    "tutorial": AugmentConfig("tutorial", flip=True, quarter_turns=True, crop_from=176),
    # The tutorial's other pipeline, an ImageDataGenerator.
    "tutorial-generator": AugmentConfig(
        "tutorial-generator",
        flip=True,
        rotation=40,
        shift=0.2,
        shear=0.2,
        zoom=0.2,
        fill="nearest",
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
}


@dataclass(frozen=True, slots=True)
class FitConfig:
    """How the network is trained.

    Attributes
    ----------
    epochs, batch
        Passes over the training images; images per step.
    minimum_steps
        Epochs are added until there are so many steps in all, so that a recipe made on thousands
        of images also trains on hundreds; 0 adds none.
    optimiser
        ``adam``; ``adamw`` (decoupled ``weight_decay``, biases and gains spared); or ``muon``, the
        same but for filters, which move as a whole, in fewer steps (`plainfilm.training.muon`).
    learning_rate
        The greatest one.
    schedule
        ``constant``; or ``linear``: warm-up over ``warmup`` of all steps, then down to zero.
    clip_norm
        Greatest norm of a gradient, each variable's own; 0 leaves them.
    label_smoothing
        Share of certainty taken off the labels.
    balance
        ``weights`` weighs classes to equal total weight; ``none`` takes them as they come.
    loss
        ``sigmoid``: one independent probability per label; ``softmax``: one of the classes.
        ``auto`` takes softmax for multi-class tasks, else sigmoid.
    precision
        ``auto`` computes in bfloat16 where the machine gains from it; weights stay float32.
    select
        Which epoch's weights are sealed: the ``last``, or the best by ``val_loss``,
        ``val_accuracy`` or ``val_auroc``.
    patience
        Stop after so many epochs without a better one; 0 never stops early.
    """

    epochs: int
    batch: int = 64
    minimum_steps: int = 0
    optimiser: Literal["adam", "adamw", "muon"] = "adamw"
    learning_rate: float = 2e-3
    schedule: Literal["constant", "linear"] = "linear"
    warmup: float = 0.15
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    balance: Literal["weights", "none"] = "weights"
    loss: Literal["auto", "sigmoid", "softmax"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    select: Literal["last", "val_loss", "val_accuracy", "val_auroc"] = "last"
    patience: int = 0

    def __post_init__(self) -> None:
        _check(self.epochs >= 1, "fit.epochs must be at least 1", self.epochs)
        _check(self.batch >= 1, "fit.batch must be at least 1", self.batch)
        _check(
            self.minimum_steps >= 0, "fit.minimum_steps must not be negative", self.minimum_steps
        )
        _check(self.learning_rate > 0, "fit.learning_rate must be positive", self.learning_rate)
        _check(0 <= self.warmup < 1, "fit.warmup must be in [0, 1)", self.warmup)
        _check(self.weight_decay >= 0, "fit.weight_decay must not be negative", self.weight_decay)
        _check(self.clip_norm >= 0, "fit.clip_norm must not be negative", self.clip_norm)
        _check(
            0 <= self.label_smoothing < 1,
            "fit.label_smoothing must be in [0, 1)",
            self.label_smoothing,
        )
        _check(self.patience >= 0, "fit.patience must not be negative", self.patience)
        _check(
            self.patience == 0 or self.select != "last",
            "fit.patience needs fit.select to name what should get better",
            self.select,
        )


_RESERVED = ("balanced", "rule-out", "rule-in")


@dataclass(frozen=True, slots=True)
class PointsConfig:
    """Which operating points are locked on validation.

    Attributes
    ----------
    sensitivity
        What the point ``rule-out`` must reach there, above 0 and up to 1.
    specificity
        What the point ``rule-in`` must reach there, above 0 and up to 1.
    own
        The user's own thresholds by name, 0 to 1, for every label; taken as they are.
    """

    sensitivity: float = 0.95
    specificity: float = 0.95
    own: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(0 < self.sensitivity <= 1, "points.sensitivity must be in (0, 1]", self.sensitivity)
        _check(0 < self.specificity <= 1, "points.specificity must be in (0, 1]", self.specificity)
        for name, threshold in self.own.items():
            where = f"points.own.{name}"
            number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
            _check(name not in _RESERVED, f"{where}: the name is taken", name)
            _check(number and 0 <= threshold <= 1, f"{where} must be in [0, 1]", threshold)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to get from images to a classifier; see the TOML files in ``plainfilm/recipes``."""

    name: str
    description: str
    input: PixelSpec
    network: NetworkConfig
    fit: FitConfig
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    points: PointsConfig = PointsConfig()

    def __post_init__(self) -> None:
        _check(
            self.augment.crop_from == 0 or self.augment.crop_from >= self.input.size,
            f"augment.crop_from must be 0, or at least input.size, which is {self.input.size}",
            self.augment.crop_from,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain values, for files and hashes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Read what `to_json` wrote.

        Raises
        ------
        ConfigError
            If a key is unknown or a value out of range.
        """
        return from_json(cls, value, "recipe", TOML)
