"""The one gate for optional dependencies."""

from __future__ import annotations

import importlib
from types import ModuleType

from plainfilm.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or say which extra of plainfilm brings it.

    Raises
    ------
    MissingExtraError
        If the module, or one that it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"this needs the Python package {error.name!r}, which is not installed",
            remedy=f'pip install "plainfilm[{extra}]"',
        ) from error
