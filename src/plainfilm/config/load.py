"""Loads recipes by name or from a file, with overrides."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from plainfilm import _files
from plainfilm._json import name_unknown
from plainfilm.config.augment import AUGMENTATIONS
from plainfilm.config.schema import Recipe
from plainfilm.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes of plainfilm."""
    return tuple(sorted(p.name[:-5] for p in _folder().iterdir() if p.name.endswith(".toml")))


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe.

    Parameters
    ----------
    name
        One of `recipe_names`, or the path of a TOML file.
    overrides
        Strings ``key=value``. The key is a dotted path (``fit.epochs``), or its last part if that
        is unique (``epochs``). The value is TOML; a bare word is a string. An override of
        ``fit.epochs`` alone sets ``fit.minimum_steps`` to 0.

    Raises
    ------
    ConfigError
        If there is no such recipe, it is not TOML, or a key or value is unknown.
    """
    import tomllib

    text, stem = _read(name)
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of any length; deep nesting
        raise ConfigError(f"the recipe {name} is not valid TOML", received=error) from error
    tree.setdefault("name", stem)
    tree.setdefault("description", "")
    overridden = {_override(tree, override) for override in overrides}
    if "fit.epochs" in overridden and "fit.minimum_steps" not in overridden:
        tree["fit"]["minimum_steps"] = 0
    augment = tree.get("augment", {})
    if isinstance(augment, str):
        augment = {"name": augment}
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


def _folder() -> Traversable:
    from importlib import resources  # not needed for prediction, and slow to import

    return resources.files("plainfilm") / "recipes"


def _read(name: str | Path) -> tuple[str, str]:
    """Return the text and the name of a recipe."""
    path = Path(name)
    if path.suffix == ".toml":
        try:
            return _files.read_regular(path, _files.MEBI).decode("utf-8-sig"), path.stem
        except (OSError, UnicodeDecodeError) as error:
            reason = _files.reason_of(error)
            raise ConfigError(f"the recipe file {path} cannot be read", received=reason) from error
    names = recipe_names()
    if str(name) not in names:
        raise ConfigError(
            name_unknown(str(name), names, "recipe"),
            remedy=f"choose one of {', '.join(names)}, or give the path of a .toml file",
        )
    return (_folder() / f"{name}.toml").read_text("utf-8"), str(name)


def _override(tree: dict[str, Any], override: str) -> str:
    """Set one value in the tree; return its dotted key."""
    import tomllib

    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError("a setting must have the form key=value", received=override)
    try:
        parsed = tomllib.loads(f"value = {text}")
        value = parsed["value"] if len(parsed) == 1 else text.strip()
    except (ValueError, RecursionError):
        value = text.strip()
    path = key.split(".") if "." in key else _full_path(key)
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
    """Return the path of a setting that is given by its last part."""
    hints = get_type_hints(Recipe)
    if leaf in hints:
        return [leaf]
    sections = {
        name: kind
        for name, hint in hints.items()
        for kind in (hint, *get_args(hint))  # a section may be left out
        if dataclasses.is_dataclass(kind)
    }
    paths = [[section, field.name] for section, kind in sections.items() for field in fields(kind)]
    found = [path for path in paths if path[1] == leaf]
    if len(found) == 1:
        return found[0]
    if not found:
        known = sorted({path[1] for path in paths})
        raise ConfigError(
            name_unknown(leaf, known),
            remedy=f"known settings: {', '.join(known)}; "
            f"an option of the network is written network.options.{leaf}",
        )
    choices = ", ".join(".".join(path) for path in found)
    raise ConfigError(f"the setting {leaf!r} is ambiguous", remedy=f"write one of: {choices}")
