"""Routes of the service."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from plainfilm._json import to_json
from plainfilm.inference.engine import Engine
from plainfilm.inference.registry import LoadedBundle
from plainfilm.serve.card_page import card_page
from plainfilm.serve.limits import Settings
from plainfilm.serve.middleware import Middleware
from plainfilm.serve.openapi import document
from plainfilm.serve.prediction_routes import PredictionRoutes, bundle_headers, find_bundle
from plainfilm.serve.problems import Problem
from plainfilm.serve.security import PAGE_POLICY, REPORT_POLICY

_PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def build_app(engine: Engine, settings: Settings) -> Middleware:
    """Return the ASGI application of the service."""
    predictions, info = PredictionRoutes(engine, settings.limits), _InfoRoutes(engine)
    routes = [
        Route("/v1/predictions", predictions.predict, methods=["POST"]),
        Route("/v1/predictions/stream", predictions.stream, methods=["POST"]),
        Route("/v1/model", info.model),
        Route("/v1/bundles", info.bundles),
        Route("/report", info.report),
        Route("/card", info.card),
        Route("/healthz", info.alive),
        Route("/readyz", info.ready),
        Route("/metrics", info.metrics),
        Route("/openapi.json", info.openapi),
        Route("/", _page),
        Route("/static/{name:path}", _page),
    ]
    return Middleware(Router(routes, redirect_slashes=False), engine, settings)


class _InfoRoutes:
    """Endpoints about the bundles and the service."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._document = json.dumps(document())

    async def model(self, request: Request) -> Response:
        loaded = find_bundle(self._engine, request.query_params.get("bundle"))
        query = f"?bundle={loaded.name}"
        content = {
            **to_json(loaded.description, complete=True),
            "default": loaded.name == self._engine.registry.default,
            "report": f"/report{query}" if loaded.report else None,
            "card": f"/card{query}",
        }
        return JSONResponse(content, headers=bundle_headers(loaded))

    async def bundles(self, request: Request) -> Response:
        registry = self._engine.registry
        rows = [
            {"name": one.name, "id": one.bundle.id, "default": one.name == registry.default}
            for one in registry
        ]
        return JSONResponse({"bundles": rows})

    async def report(self, request: Request) -> Response:
        loaded = find_bundle(self._engine, request.query_params.get("bundle"))
        if loaded.report is None:
            raise Problem("no-report")
        try:
            content = await asyncio.to_thread(loaded.report.read_bytes)
        except OSError as error:
            raise Problem("no-report") from error
        return _html(content, loaded)

    async def card(self, request: Request) -> Response:
        loaded = find_bundle(self._engine, request.query_params.get("bundle"))
        return _html(card_page(loaded.card, loaded.name), loaded)

    async def alive(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        if (code := self._engine.not_ready) is not None:
            raise Problem(code)
        return JSONResponse({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        text = self._engine.telemetry.text()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, request: Request) -> Response:
        return Response(self._document, media_type="application/json")


# All files of the page are listed at import: the path of a request never opens a file.
_FILES = {
    path.relative_to(_PAGE).as_posix(): path
    for path in sorted(_PAGE.rglob("*"))
    if path.suffix in _TYPES
}


async def _page(request: Request) -> Response:
    path = _FILES.get(request.path_params.get("name", "index.html"))
    if path is None:
        raise Problem("not-found")
    headers = {"content-security-policy": PAGE_POLICY}
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix], headers=headers)


def _html(content: str | bytes, loaded: LoadedBundle) -> Response:
    headers = {"content-security-policy": REPORT_POLICY, **bundle_headers(loaded)}
    return Response(content, media_type="text/html", headers=headers)
