"""Writes recipes as TOML files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from plainfilm._json import to_json
from plainfilm.config import Recipe


def recipe_to_toml(recipe: Recipe, comments: Sequence[str] = ()) -> str:
    """Return the text of a recipe that `load_recipe` reads as an equal one."""
    tree = to_json(recipe, complete=True)
    lines = [f"# {line}".rstrip() for comment in comments for line in comment.splitlines()]
    lines += [f"{key} = {_value(tree.pop(key))}" for key in ("name", "description")]
    for section, values in tree.items():
        if values is not None:
            own = [f"{key} = {_value(v)}" for key, v in values.items() if v is not None]
            lines += ["", f"[{section}]", *own]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = [f"{json.dumps(str(k))} = {_value(v)}" for k, v in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)
