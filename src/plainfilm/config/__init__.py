"""Recipes: frozen dataclasses, read from TOML."""

from plainfilm.config.load import load_recipe, recipe_names
from plainfilm.config.schema import (
    AUGMENTATIONS,
    AugmentConfig,
    DataConfig,
    FitConfig,
    NetworkConfig,
    PointsConfig,
    Recipe,
)

__all__ = [
    "AUGMENTATIONS",
    "AugmentConfig",
    "DataConfig",
    "FitConfig",
    "NetworkConfig",
    "PointsConfig",
    "Recipe",
    "load_recipe",
    "recipe_names",
]
