"""Imports optional dependencies and says how to install them."""

from __future__ import annotations

import importlib
from types import ModuleType

from plainfilm.errors import MissingExtraError


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, which the extra ``extra`` of plainfilm installs."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"this needs the Python package {error.name!r}, which is not installed",
            remedy=install_hint(extra),
        ) from error


def install_hint(extra: str | None = None) -> str:
    """Return the command that installs plainfilm from a checkout, with an extra."""
    target = f"'.[{extra}]'" if extra else "."
    return f"pip install {target}  (in a checkout of plainfilm)"
