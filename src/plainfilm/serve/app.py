"""The routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from plainfilm import __version__
from plainfilm.serve import schema
from plainfilm.serve.answers import PICTURES, Ask, Item, body_of
from plainfilm.serve.body import Intake, Upload
from plainfilm.serve.bundles import Served
from plainfilm.serve.card_page import card_page
from plainfilm.serve.door import Door
from plainfilm.serve.problems import Problem
from plainfilm.serve.security import PAGE_POLICY, REPORT_POLICY
from plainfilm.serve.service import Service

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


def build_app(service: Service) -> Door:
    """Return the ASGI application of a service."""
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
    _add_predictions(app, service)
    _add_models(app, service)
    _add_health(app, service)
    _add_page(app)
    return Door(app, service)


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


def _find(service: Service, name: str | None) -> Served:
    served = service.shelf.get(name)
    if served is None:
        names = ", ".join(one.name for one in service.shelf)
        raise Problem("no-such-bundle", f"there are: {names}")
    return served


def _ask(service: Service, request: Request) -> tuple[Served, Ask]:
    """Read the parameters, by hand: these two routes are asked a thousand times a second."""
    given = request.query_params if request.scope["query_string"] else {}
    served = _find(service, given.get("bundle"))
    wanted = frozenset(filter(None, given.get("include", "").split(",")))
    if not wanted <= set(PICTURES):
        raise Problem("bad-parameter", f"include takes: {', '.join(PICTURES)}")
    label = given.get("label")
    if label is not None and label not in served.predictor.labels:
        raise Problem("no-such-label", f"the labels are: {', '.join(served.predictor.labels)}")
    return served, Ask(wanted, label)


def _add_predictions(app: FastAPI, service: Service) -> None:
    @app.post("/v1/predictions", **schema.PREDICTIONS)
    async def predictions(request: Request) -> Response:
        served, ask = _ask(service, request)
        intake: Intake = request.scope["plainfilm.intake"]
        if intake.is_multipart:
            most = service.limits.pictures if ask.include else None
            async with aclosing(_answer_parts(service, served, intake, ask, most)) as answers:
                pairs = [pair async for pair in answers]
            found = [item for _, item in sorted(pairs, key=lambda pair: pair[0])]
        else:
            item = await service.answer(served, await intake.raw(), 0, ask)
            intake.hold(len(item.content))
            if item.problem is not None:
                raise item.problem.with_headers(_named(served))
            found = [item]
        return _json(body_of(served.identity, found), served)

    @app.post("/v1/predictions/stream", **schema.STREAM)
    async def stream(request: Request) -> Response:
        served, ask = _ask(service, request)
        intake: Intake = request.scope["plainfilm.intake"]
        if not intake.is_multipart:
            raise Problem("unsupported-media-type", "send multipart/form-data")
        answers = _answer_parts(service, served, intake, ask, None)
        # What is wrong with the request as a whole is told by a status, so wait for the first one.
        first = await anext(answers)
        return _Lines(first, answers, served, intake)


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
        served: Served,
        intake: Intake,
    ) -> None:
        self._intake = intake
        self._first, self._rest, self.background = first, rest, None
        self._end = b', "bundle": ' + json.dumps(dict(served.identity)).encode() + b"}\n"
        self.status_code = 200
        self.init_headers(_named(served))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(k, v) for k, v in self.raw_headers if k != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def tell(item: Item) -> None:
            line = item.content[:-1] + self._end
            await send({"type": "http.response.body", "body": line, "more_body": True})
            self._intake.release(len(item.content))

        async with aclosing(self._rest):
            await tell(self._first[1])
            async for _, item in self._rest:
                await tell(item)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _answer_parts(
    service: Service, served: Served, intake: Intake, ask: Ask, most: int | None
) -> AsyncGenerator[tuple[int, Item], None]:
    """Answer for the parts of a body while it arrives, and yield the answers as they are done.

    No more than ``limits.ahead`` images are in work; the body waits meanwhile in the socket, and
    the client with it.
    """
    # Pictures are megabytes, and those of a client that reads slowly wait here.
    ahead = min(service.limits.ahead, service.limits.pictures if ask.include else 1 << 30)
    work: set[asyncio.Task[tuple[int, Item]]] = set()

    async def one(index: int, upload: Upload) -> tuple[int, Item]:
        item = await service.answer(served, upload, index, ask)
        intake.hold(len(item.content))
        return index, item

    try:
        index = 0
        async with aclosing(intake.parts()) as uploads:
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


def _json(body: bytes, served: Served) -> Response:
    return Response(body, media_type="application/json", headers=_named(served))


def _named(served: Served) -> dict[str, str]:
    return {"x-plainfilm-bundle": served.bundle.id, "x-plainfilm-version": __version__}


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get("/v1/model", **schema.MODEL)
    async def model(bundle: BundleName = None) -> Response:
        served = _find(service, bundle)
        return _json(json.dumps(served.model).encode(), served)

    @app.get("/v1/bundles", **schema.BUNDLES)
    async def bundles() -> Response:
        default = service.shelf.default
        rows = [
            {"name": one.name, "id": one.bundle.id, "default": one.name == default}
            for one in service.shelf
        ]
        return Response(json.dumps({"bundles": rows}), media_type="application/json")

    @app.get("/report", **schema.REPORT)
    async def report(bundle: BundleName = None) -> Response:
        served = _find(service, bundle)
        if served.report is None:
            raise Problem("no-report")
        try:
            page = await asyncio.to_thread(served.report.read_bytes)
        except OSError as error:
            raise Problem("no-report") from error
        return _html(page, REPORT_POLICY, served)

    @app.get("/card", **schema.CARD)
    async def card(bundle: BundleName = None) -> Response:
        served = _find(service, bundle)
        return _html(card_page(served.card, served.name).encode(), REPORT_POLICY, served)


def _html(page: bytes, policy: str, served: Served) -> Response:
    headers = {"content-security-policy": policy, **_named(served)}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", **schema.HEALTH)
    async def healthz() -> Response:
        return Response('{"status": "alive"}', media_type="application/json")

    @app.get("/readyz", **schema.READY)
    async def readyz() -> Response:
        if (code := service.unready) is not None:
            raise Problem(code)
        return Response('{"status": "ready"}', media_type="application/json")

    @app.get("/metrics", **schema.METRICS)
    async def metrics() -> Response:
        identities = [one.identity for one in service.shelf]
        return Response(
            service.metrics.text(identities),
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
