"""The predictor as an HTTP service with a web page.

``server`` starts and stops it, ``app`` has the routes; a request goes through ``security``,
``body`` (its parts, counted as they come), ``workers`` (decoding in processes that may die),
``batching`` (one run of the network for what waits) and ``answers``. ``decoder`` is what such a
process runs. Importing the room loads none of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm.serve.limits import ServiceLimits, Settings

__all__ = ["ServiceLimits", "Settings", "run_service"]


def run_service(bundles: Sequence[str], settings: Settings) -> int:
    """Serve ``[NAME=]PATH`` bundles until a signal says to stop, and return the exit status.

    Raises
    ------
    MissingExtraError
        If the extra ``serve`` is not installed.
    UsageError
        If the settings are not safe together.
    BundleError
        If one of the bundles cannot be opened.
    """
    from plainfilm import _optional

    for module in ("fastapi", "uvicorn", "httptools", "python_multipart"):
        _optional.require(module, "serve")
    from plainfilm.serve.bundles import parse_named
    from plainfilm.serve.server import run

    return run(parse_named(bundles), settings)
