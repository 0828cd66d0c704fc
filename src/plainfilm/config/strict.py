"""Plain values to frozen dataclasses; an unknown key is an error that lists the known ones."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from plainfilm.errors import ConfigError

__all__ = ["build", "name_unknown"]


def name_unknown(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"there is no setting {key!r}" + (f"; did you mean {close[0]!r}?" if close else "")


def build(kind: Any, value: Any, where: str) -> Any:
    """Build the dataclass ``kind`` from a table, checking keys and types."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be a table", received=repr(value))
    hints = get_type_hints(kind)
    unknown = [key for key in value if key not in hints]
    if unknown:
        raise ConfigError(
            name_unknown(unknown[0], list(hints)) + f" in {where}",
            remedy=f"known settings of {where}: {', '.join(hints)}",
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
        return build(hint, value, where)
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
