"""Routes that predict: all results in one answer, or a stream of JSON lines."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from plainfilm import __version__
from plainfilm.decoding.fair_queue import Key
from plainfilm.inference.answer import ImageFile
from plainfilm.inference.engine import Engine
from plainfilm.inference.registry import LoadedBundle
from plainfilm.serve.items import INCLUDED, Item, ItemOptions, make_item
from plainfilm.serve.limits import ServiceLimits
from plainfilm.serve.problems import Problem
from plainfilm.serve.request_body import RequestBody


def find_bundle(engine: Engine, name: str | None) -> LoadedBundle:
    """Return the bundle with this name, or the default one for None; raise 404 if it is missing."""
    loaded = engine.registry.get(name)
    if loaded is None:
        names = ", ".join(one.name for one in engine.registry)
        raise Problem("no-such-bundle", f"available bundles: {names}")
    return loaded


def bundle_headers(loaded: LoadedBundle) -> dict[str, str]:
    """Return the headers that identify the bundle of an answer."""
    return {"x-plainfilm-bundle": loaded.bundle.id, "x-plainfilm-version": __version__}


def client_of(scope: Scope) -> str:
    """Return the address of a client, of IPv6 the network (/64) that one client has."""
    host: str = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else address.exploded[:19]


class PredictionRoutes:
    """Endpoints of ``/v1/predictions`` and ``/v1/predictions/stream``."""

    def __init__(self, engine: Engine, limits: ServiceLimits) -> None:
        self._engine, self._limits = engine, limits
        self._numbers = count(1)

    async def predict(self, request: Request) -> Response:
        """Answer when all images are done; the items are in the order of the images."""
        loaded, options = self._read_parameters(request)
        key = self._key(request)
        body: RequestBody = request.scope["plainfilm.body"]
        if body.is_multipart:
            most = self._limits.pictures if options.pictures else None
            async with aclosing(self._predict_parts(loaded, body, options, most, key)) as pairs:
                results = [pair async for pair in pairs]
            items = [item for _, item in sorted(results, key=lambda pair: pair[0])]
        else:
            file = await body.read_file()
            item = await make_item(self._engine, loaded, file, 0, options, key)
            body.hold(len(item.content))
            if item.error is not None:
                raise Problem.of(item.error, bundle_headers(loaded))
            items = [item]
        head = json.dumps({"bundle": loaded.identity})[:-1].encode()
        content = head + b', "predictions": [' + b", ".join(i.content for i in items) + b"]}"
        headers = bundle_headers(loaded)
        return Response(content, media_type="application/json", headers=headers)

    async def stream(self, request: Request) -> Response:
        """Answer with one JSON line for each image when it is done."""
        loaded, options = self._read_parameters(request)
        key = self._key(request)
        body: RequestBody = request.scope["plainfilm.body"]
        if not body.is_multipart:
            raise Problem("unsupported-media-type", "send multipart/form-data")
        results = self._predict_parts(loaded, body, options, None, key)
        # An error of the whole request sets the status, so wait for the first result.
        first = await anext(results)
        return _JsonLines(first, results, loaded, body)

    def _key(self, request: Request) -> Key:
        return Key(client_of(request.scope), next(self._numbers))

    def _read_parameters(self, request: Request) -> tuple[LoadedBundle, ItemOptions]:
        parameters = request.query_params
        loaded = find_bundle(self._engine, parameters.get("bundle"))
        include = frozenset(filter(None, parameters.get("include", "").split(",")))
        if not include <= set(INCLUDED):
            raise Problem("bad-parameter", f"values of include: {', '.join(INCLUDED)}")
        label, labels = parameters.get("label"), loaded.predictor.labels
        if label is not None and label not in labels:
            raise Problem("no-such-label", f"labels: {', '.join(labels)}")
        return loaded, ItemOptions(include, label)

    async def _predict_parts(
        self,
        loaded: LoadedBundle,
        body: RequestBody,
        options: ItemOptions,
        most: int | None,
        key: Key,
    ) -> AsyncGenerator[tuple[int, Item], None]:
        """Predict on the parts of a body while it arrives, and yield each result when it is done.

        At most ``limits.ahead`` images are in progress, and a quarter of the memory for all
        requests. The rest of the body waits in the socket, which slows the client down.
        """
        # Pictures take megabytes each, and they wait here while the client reads slowly.
        ahead = min(self._limits.ahead, self._limits.pictures if options.pictures else 1 << 30)
        share = self._limits.held // 4
        tasks: set[asyncio.Task[tuple[int, Item]]] = set()

        async def predict(index: int, file: ImageFile) -> tuple[int, Item]:
            item = await make_item(self._engine, loaded, file, index, options, key)
            body.finish(file)
            body.hold(len(item.content))
            return index, item

        try:
            index = 0
            async with aclosing(body.parts()) as files:
                async for file in files:
                    if most is not None and index >= most:
                        limit = f"at most {most} images with pictures; the stream accepts more"
                        raise Problem("too-many-images", limit)
                    tasks.add(asyncio.create_task(predict(index, file)))
                    index += 1
                    done = {task for task in tasks if task.done()}
                    tasks -= done
                    while len(tasks) >= ahead or (tasks and body.in_progress > share):
                        some, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                        done |= some
                    for task in done:
                        yield task.result()
            while tasks:
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in tasks:
                task.cancel()


class _JsonLines(Response):
    """JSON lines in the order in which images are done.

    Starlette's StreamingResponse watches for a disconnect on the channel from which the body of
    the request is still arriving, so it cannot be used.
    """

    media_type = "application/x-ndjson"

    def __init__(
        self,
        first: tuple[int, Item],
        rest: AsyncGenerator[tuple[int, Item], None],
        loaded: LoadedBundle,
        body: RequestBody,
    ) -> None:
        super().__init__(headers=bundle_headers(loaded))
        del self.headers["content-length"]
        self._first, self._rest, self._request_body = first, rest, body
        self._end = b', "bundle": ' + json.dumps(loaded.identity).encode() + b"}\n"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)

        async def send_line(item: Item) -> None:
            line = item.content[:-1] + self._end
            await send({"type": "http.response.body", "body": line, "more_body": True})
            self._request_body.release(len(item.content))

        async with aclosing(self._rest):
            await send_line(self._first[1])
            async for _, item in self._rest:
                await send_line(item)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
