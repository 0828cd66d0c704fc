"""Recipes: frozen dataclasses that are read from TOML files."""

from plainfilm.config.augment import AUGMENTATIONS, AugmentConfig
from plainfilm.config.load import load_recipe, recipe_names
from plainfilm.config.schema import (
    KERAS_PREFIX,
    NETWORKS,
    ORIGIN_OPTIONS,
    PROBE,
    DataConfig,
    DistilConfig,
    FitConfig,
    NetworkConfig,
    PointsConfig,
    Recipe,
    check_network,
)

__all__ = [
    "AUGMENTATIONS",
    "KERAS_PREFIX",
    "NETWORKS",
    "ORIGIN_OPTIONS",
    "PROBE",
    "AugmentConfig",
    "DataConfig",
    "DistilConfig",
    "FitConfig",
    "NetworkConfig",
    "PointsConfig",
    "Recipe",
    "check_network",
    "load_recipe",
    "recipe_names",
]
