"""HTTP service with a web page.

``server`` starts and stops the service, ``app`` has the routes, ``middleware`` checks each request
(``security``) and turns failures into ``problems``, and ``request_body`` reads the images. The
predictions come from ``plainfilm.inference``. Importing this package loads no web framework.
"""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm.serve.limits import ServiceLimits, Settings

__all__ = ["ServiceLimits", "Settings", "run_service"]


def run_service(bundles: Sequence[str], settings: Settings) -> int:
    """Serve ``[NAME=]PATH`` bundles until SIGTERM or Ctrl-C, and return the exit status.

    Raises
    ------
    MissingExtraError
        If the extra ``serve`` is not installed.
    UsageError
        If the combination of settings is unsafe, or the address is in use.
    BundleError
        If a bundle cannot be opened.
    """
    from plainfilm import _optional

    for module in ("starlette", "h11", "python_multipart", "markdown_it"):
        _optional.require(module, "serve")
    from plainfilm.inference.registry import parse_sources
    from plainfilm.serve.server import run

    return run(parse_sources(bundles), settings)
