"""Recipes: frozen dataclasses, read from TOML; an unknown key is an error that lists the known."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from thorax.errors import ConfigError
from thorax.records import PixelSpec

__all__ = [
    "AUGMENTATIONS",
    "AugmentConfig",
    "DataConfig",
    "FitConfig",
    "NetworkConfig",
    "Recipe",
    "load_recipe",
    "recipe_names",
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
        Share of the patients held out where the source has no such partition.
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
        ``adam`` or ``adamw`` (decoupled ``weight_decay``, biases and gains spared).
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
    optimiser: Literal["adam", "adamw"] = "adamw"
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


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to get from images to a classifier; see the TOML files in ``thorax/recipes``."""

    name: str
    description: str
    input: PixelSpec
    network: NetworkConfig
    fit: FitConfig
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()

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
        recipe: Recipe = _build(cls, value, "recipe")
        return recipe


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with thorax."""
    folder = resources.files("thorax") / "recipes"
    return tuple(sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml")))


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe by name or path.

    Parameters
    ----------
    name
        One of `recipe_names`, or the path of a TOML file.
    overrides
        ``key=value`` each; the key is dotted (``fit.epochs``) or a last part that is unique
        (``epochs``), the value is TOML, or a bare word for a string.

    Raises
    ------
    ConfigError
        If there is no such recipe, it is not TOML, or a key or value is not known.
    """
    text, stem = _read(name)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the recipe {name} is not valid TOML", received=error) from error
    tree.setdefault("name", stem)
    for override in overrides:
        _override(tree, override)
    if isinstance(tree.get("augment"), str):
        tree["augment"] = {"name": tree["augment"]}
    augment = tree.get("augment", {})
    if not isinstance(augment, dict):
        raise ConfigError("augment must be a name or a table", received=repr(augment))
    preset = augment.get("name", "none")
    if not isinstance(preset, str) or preset not in AUGMENTATIONS:
        raise ConfigError(
            f"there is no augmentation {preset!r}",
            todo=f"choose one of: {', '.join(AUGMENTATIONS)}",
        )
    tree["augment"] = dataclasses.asdict(AUGMENTATIONS[preset]) | augment
    return Recipe.from_json(tree)


def _read(name: str | Path) -> tuple[str, str]:
    path = Path(name)
    if path.suffix == ".toml":
        try:
            return path.read_text(encoding="utf-8"), path.stem
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the recipe file {path} cannot be read", received=error) from error
    names = recipe_names()
    if str(name) not in names:
        raise ConfigError(
            f"there is no recipe {str(name)!r}",
            todo=f"choose one of {', '.join(names)}, or give the path of a .toml file",
        )
    return (resources.files("thorax") / "recipes" / f"{name}.toml").read_text("utf-8"), str(name)


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError("a setting must look like key=value", received=override)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    path = key.split(".")
    if len(path) == 1:
        path = _full_path(key)
    node = tree
    for part in path[:-1]:
        if isinstance(node.get(part), str) and part == "augment":
            node[part] = {"name": node[part]}
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{key} cannot be set: {part} is not a table", received=override)
    node[path[-1]] = value


def _full_path(leaf: str) -> list[str]:
    """Find where a setting that is named by its last part alone belongs."""
    hints = get_type_hints(Recipe)
    if leaf in hints:
        return [leaf]
    found = [
        [section, leaf]
        for section, kind in hints.items()
        if dataclasses.is_dataclass(kind) and leaf in {f.name for f in fields(kind)}
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        known = sorted(
            {f.name for k in hints.values() if dataclasses.is_dataclass(k) for f in fields(k)}
        )
        raise ConfigError(
            _unknown(leaf, known),
            todo=f"known settings: {', '.join(known)}; "
            f"an option of the network is written network.options.{leaf}",
        )
    choices = ", ".join(".".join(path) for path in found)
    raise ConfigError(f"the setting {leaf!r} is ambiguous", todo=f"write one of: {choices}")


def _unknown(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"there is no setting {key!r}" + (f"; did you mean {close[0]!r}?" if close else "")


def _build(kind: Any, value: Any, where: str) -> Any:
    """Build the dataclass ``kind`` from a table, checking keys and types."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be a table", received=repr(value))
    hints = get_type_hints(kind)
    unknown = [key for key in value if key not in hints]
    if unknown:
        raise ConfigError(
            _unknown(unknown[0], list(hints)) + f" in {where}",
            todo=f"known settings of {where}: {', '.join(hints)}",
        )
    required = [
        f.name
        for f in fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in value]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    return kind(
        **{key: _convert(hints[key], item, f"{where}.{key}") for key, item in value.items()}
    )


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)
    origin = get_origin(hint)
    if origin is Literal:
        if value not in get_args(hint):
            raise ConfigError(
                f"{where} must be one of: {', '.join(map(str, get_args(hint)))}",
                received=repr(value),
            )
        return value
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table", received=repr(value))
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where} must be of type {hint.__name__}", received=repr(value))
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where} must be a finite number", received=value)
    return value
