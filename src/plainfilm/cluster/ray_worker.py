"""Runs calls in a Ray worker process of any node."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

Refusal = tuple[str, dict[str, str | None]]
"""Why a node is refused: its name, and the versions that it has instead."""

_opened: dict[str, Callable[[Any], Any]] = {}


def make_task() -> Callable[..., object]:
    """Return the function that Ray runs.

    Ray sends the code of this inner function itself, so that it also runs on a node whose
    plainfilm is another or missing. It therefore uses only Python's own modules at first.
    """

    def work(expected: Mapping[str, str | None], name: str, opener: bytes, argument: bytes) -> Any:
        import importlib
        import importlib.metadata
        import os
        import platform

        found: dict[str, str | None] = {}
        for package in expected:
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                found[package] = None
        differing = {key: found[key] for key in expected if found[key] != expected[key]}
        if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
            differing["RAY_AUTH_MODE"] = os.environ.get("RAY_AUTH_MODE")
        if differing:
            return platform.node(), differing
        return importlib.import_module("plainfilm.cluster.ray_worker").run(name, opener, argument)

    return work


def run(name: str, opener: bytes, argument: bytes) -> bytes:
    """Return the pickled value of a call; what ``opener`` returns is called, and kept by name."""
    function = _opened.get(name)
    if function is None:
        function = _opened[name] = pickle.loads(opener)()
    return pickle.dumps(function(pickle.loads(argument)))
