"""Recipes by name or file, with overrides."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from plainfilm._json import name_unknown
from plainfilm.config.schema import AUGMENTATIONS, Recipe
from plainfilm.errors import ConfigError

__all__ = ["load_recipe", "recipe_names"]


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with plainfilm."""
    folder = resources.files("plainfilm") / "recipes"
    return tuple(sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml")))


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe by name or path.

    Parameters
    ----------
    name
        One of `recipe_names`, or the path of a TOML file.
    overrides
        ``key=value`` each; the key is dotted (``fit.epochs``) or a last part that is unique
        (``epochs``), the value is TOML, or a bare word for a string. Setting ``fit.epochs`` alone
        also lifts the recipe's ``fit.minimum_steps``.

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
    given = {_override(tree, override) for override in overrides}
    if "fit.epochs" in given and "fit.minimum_steps" not in given:
        tree["fit"]["minimum_steps"] = 0  # who asks for a number of epochs means it
    if isinstance(tree.get("augment"), str):
        tree["augment"] = {"name": tree["augment"]}
    augment = tree.get("augment", {})
    if not isinstance(augment, dict):
        raise ConfigError("augment must be a name or a table", received=repr(augment))
    preset = augment.get("name", "none")
    if not isinstance(preset, str) or preset not in AUGMENTATIONS:
        raise ConfigError(
            f"there is no augmentation {preset!r}",
            remedy=f"choose one of: {', '.join(AUGMENTATIONS)}",
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
            remedy=f"choose one of {', '.join(names)}, or give the path of a .toml file",
        )
    return (resources.files("plainfilm") / "recipes" / f"{name}.toml").read_text("utf-8"), str(name)


def _override(tree: dict[str, Any], override: str) -> str:
    """Set one value in the tree; return its dotted key."""
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
    return ".".join(path)


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
            name_unknown(leaf, known),
            remedy=f"known settings: {', '.join(known)}; "
            f"an option of the network is written network.options.{leaf}",
        )
    choices = ", ".join(".".join(path) for path in found)
    raise ConfigError(f"the setting {leaf!r} is ambiguous", remedy=f"write one of: {choices}")
