"""The routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from plainfilm import __version__
from plainfilm.inference.engine import Engine
from plainfilm.inference.items import PICTURES, ImageFile, Item, ItemOptions
from plainfilm.inference.registry import LoadedBundle
from plainfilm.serve import schema
from plainfilm.serve.card_page import card_page
from plainfilm.serve.limits import ServiceLimits, Settings
from plainfilm.serve.middleware import Middleware
from plainfilm.serve.problems import Problem
from plainfilm.serve.request_body import RequestBody
from plainfilm.serve.security import PAGE_POLICY, REPORT_POLICY

__all__ = ["build_app"]

_PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}

BundleName = Annotated[
    str | None, Query(alias="bundle", description="Name of the bundle; the default one if absent.")
]


def build_app(engine: Engine, settings: Settings) -> Middleware:
    """Return the ASGI application of a engine."""
    app = FastAPI(
        title="plainfilm",
        version=__version__,
        summary="Probabilities of findings on chest X-rays, from a sealed bundle.",
        description=schema.DESCRIPTION,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat the client's own words
        openapi_tags=schema.TAGS,
    )
    _tell_problems(app)
    _add_predictions(app, engine, settings.limits)
    _add_models(app, engine)
    _add_health(app, engine)
    _add_page(app)
    return Middleware(app, engine, settings)


def _tell_problems(app: FastAPI) -> None:
    """Let every failure through to the door, in our words."""

    class Nothing(Response):
        """Sends nothing: Starlette then raises the error again, and the door answers."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            return

    async def any_other(request: Request, error: Exception) -> Response:
        return Nothing()

    async def theirs(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 422)
        codes = {404: "not-found", 405: "method-not-allowed", 422: "bad-parameter"}
        headers = getattr(error, "headers", None)
        raise Problem(codes.get(status, "bad-request"), headers=headers) from error

    app.add_exception_handler(HTTPException, theirs)
    app.add_exception_handler(RequestValidationError, theirs)
    app.add_exception_handler(Exception, any_other)


def _find(engine: Engine, name: str | None) -> LoadedBundle:
    loaded = engine.registry.get(name)
    if loaded is None:
        names = ", ".join(one.name for one in engine.registry)
        raise Problem("no-such-bundle", f"there are: {names}")
    return loaded


def _ask(engine: Engine, request: Request) -> tuple[LoadedBundle, ItemOptions]:
    """Read the parameters, by hand: these two routes are asked a thousand times a second."""
    given = request.query_params if request.scope["query_string"] else {}
    loaded = _find(engine, given.get("bundle"))
    wanted = frozenset(filter(None, given.get("include", "").split(",")))
    if not wanted <= set(PICTURES):
        raise Problem("bad-parameter", f"include takes: {', '.join(PICTURES)}")
    label = given.get("label")
    if label is not None and label not in loaded.predictor.labels:
        raise Problem("no-such-label", f"the labels are: {', '.join(loaded.predictor.labels)}")
    return loaded, ItemOptions(wanted, label)


def _add_predictions(app: FastAPI, engine: Engine, limits: ServiceLimits) -> None:
    @app.post("/v1/predictions", **schema.PREDICTIONS)
    async def predictions(request: Request) -> Response:
        loaded, ask = _ask(engine, request)
        body: RequestBody = request.scope["plainfilm.body"]
        if body.is_multipart:
            most = limits.pictures if ask.include else None
            async with aclosing(_answer_parts(engine, limits, loaded, body, ask, most)) as answers:
                pairs = [pair async for pair in answers]
            found = [item for _, item in sorted(pairs, key=lambda pair: pair[0])]
        else:
            item = await engine.predict(loaded, await body.raw(), 0, ask)
            body.hold(len(item.content))
            if item.error is not None:
                raise Problem.of(item.error, _named(loaded))
            found = [item]
        return _json(_join(loaded.identity, found), loaded)

    @app.post("/v1/predictions/stream", **schema.STREAM)
    async def stream(request: Request) -> Response:
        loaded, ask = _ask(engine, request)
        body: RequestBody = request.scope["plainfilm.body"]
        if not body.is_multipart:
            raise Problem("unsupported-media-type", "send multipart/form-data")
        answers = _answer_parts(engine, limits, loaded, body, ask, None)
        # What is wrong with the request as a whole is told by a status, so wait for the first one.
        first = await anext(answers)
        return _Lines(first, answers, loaded, body)


class _Lines(Response):
    """JSON lines in the order in which images are done.

    Not Starlette's streaming response: that listens for the client's leaving on the channel from
    which our body is still coming.
    """

    media_type = "application/x-ndjson"

    def __init__(
        self,
        first: tuple[int, Item],
        rest: AsyncGenerator[tuple[int, Item], None],
        loaded: LoadedBundle,
        body: RequestBody,
    ) -> None:
        self._body = body
        self._first, self._rest, self.background = first, rest, None
        self._end = b', "bundle": ' + json.dumps(dict(loaded.identity)).encode() + b"}\n"
        self.status_code = 200
        self.init_headers(_named(loaded))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(k, v) for k, v in self.raw_headers if k != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def tell(item: Item) -> None:
            line = item.content[:-1] + self._end
            await send({"type": "http.response.body", "body": line, "more_body": True})
            self._body.release(len(item.content))

        async with aclosing(self._rest):
            await tell(self._first[1])
            async for _, item in self._rest:
                await tell(item)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _answer_parts(
    engine: Engine,
    limits: ServiceLimits,
    loaded: LoadedBundle,
    body: RequestBody,
    ask: ItemOptions,
    most: int | None,
) -> AsyncGenerator[tuple[int, Item], None]:
    """Answer for the parts of a body while it arrives, and yield the answers as they are done.

    No more than ``limits.ahead`` images are in work; the body waits meanwhile in the socket, and
    the client with it.
    """
    # Pictures are megabytes, and those of a client that reads slowly wait here.
    ahead = min(limits.ahead, limits.pictures if ask.include else 1 << 30)
    work: set[asyncio.Task[tuple[int, Item]]] = set()

    async def one(index: int, upload: ImageFile) -> tuple[int, Item]:
        item = await engine.predict(loaded, upload, index, ask)
        body.hold(len(item.content))
        return index, item

    try:
        index = 0
        async with aclosing(body.parts()) as uploads:
            async for upload in uploads:
                if most is not None and index >= most:
                    limit = f"at most {most} images with pictures; the stream takes more"
                    raise Problem("too-many-images", limit)
                work.add(asyncio.create_task(one(index, upload)))
                index += 1
                done = {task for task in work if task.done()}
                if len(work) - len(done) >= ahead:
                    done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                work -= done
                for task in done:
                    yield task.result()
        while work:
            done, work = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in work:
            task.cancel()


def _join(identity: Mapping[str, str], items: list[Item]) -> bytes:
    head = json.dumps({"bundle": dict(identity)})[:-1].encode()
    return head + b', "predictions": [' + b", ".join(item.content for item in items) + b"]}"


def _json(body: bytes, loaded: LoadedBundle) -> Response:
    return Response(body, media_type="application/json", headers=_named(loaded))


def _named(loaded: LoadedBundle) -> dict[str, str]:
    return {"x-plainfilm-bundle": loaded.bundle.id, "x-plainfilm-version": __version__}


def _add_models(app: FastAPI, engine: Engine) -> None:
    @app.get("/v1/model", **schema.MODEL)
    async def model(bundle: BundleName = None) -> Response:
        loaded = _find(engine, bundle)
        query = f"?bundle={loaded.name}"
        content = {
            **loaded.description,
            "default": loaded.name == engine.registry.default,
            "report": f"/report{query}" if loaded.report else None,
            "card": f"/card{query}",
        }
        return _json(json.dumps(content).encode(), loaded)

    @app.get("/v1/bundles", **schema.BUNDLES)
    async def bundles() -> Response:
        default = engine.registry.default
        rows = [
            {"name": one.name, "id": one.bundle.id, "default": one.name == default}
            for one in engine.registry
        ]
        return Response(json.dumps({"bundles": rows}), media_type="application/json")

    @app.get("/report", **schema.REPORT)
    async def report(bundle: BundleName = None) -> Response:
        loaded = _find(engine, bundle)
        if loaded.report is None:
            raise Problem("no-report")
        try:
            page = await asyncio.to_thread(loaded.report.read_bytes)
        except OSError as error:
            raise Problem("no-report") from error
        return _html(page, REPORT_POLICY, loaded)

    @app.get("/card", **schema.CARD)
    async def card(bundle: BundleName = None) -> Response:
        loaded = _find(engine, bundle)
        return _html(card_page(loaded.card, loaded.name).encode(), REPORT_POLICY, loaded)


def _html(page: bytes, policy: str, loaded: LoadedBundle) -> Response:
    headers = {"content-security-policy": policy, **_named(loaded)}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def _add_health(app: FastAPI, engine: Engine) -> None:
    @app.get("/healthz", **schema.HEALTH)
    async def healthz() -> Response:
        return Response('{"status": "alive"}', media_type="application/json")

    @app.get("/readyz", **schema.READY)
    async def readyz() -> Response:
        if (code := engine.not_ready) is not None:
            raise Problem(code)
        return Response('{"status": "ready"}', media_type="application/json")

    @app.get("/metrics", **schema.METRICS)
    async def metrics() -> Response:
        return Response(
            engine.telemetry.text(),
            media_type="text/plain; version=0.0.4; charset=utf-8",
        )


def _add_page(app: FastAPI) -> None:
    # All files of the page are known at the start: no path of a client ever opens one.
    read: Callable[[Path], Response] = lambda path: Response(  # noqa: E731
        path.read_bytes(),
        media_type=_TYPES[path.suffix],
        headers={"content-security-policy": PAGE_POLICY},
    )
    files = {
        path.relative_to(_PAGE).as_posix(): path
        for path in sorted(_PAGE.rglob("*"))
        if path.is_file() and path.suffix in _TYPES
    }

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        if "index.html" not in files:
            raise Problem("not-found")
        return read(files["index.html"])

    @app.get("/static/{name:path}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in files:
            raise Problem("not-found")
        return read(files[name])
