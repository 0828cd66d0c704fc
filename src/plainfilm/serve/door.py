"""The outermost layer: who may enter, for how long, and how every failure leaves.

It is plain ASGI and wraps all routes, so no failure, of ours or of the framework's, goes out in any
other form than a problem with a stable code.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from plainfilm.serve.body import ClientGone, Intake
from plainfilm.serve.problems import PROBLEM_TYPE, Problem
from plainfilm.serve.security import HEADERS, Guard
from plainfilm.serve.service import Service

__all__ = ["Door"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_WORK = frozenset({"/v1/predictions", "/v1/predictions/stream"})
_PIECE = 1 << 18  # bytes of an answer that are sent before the client must have taken some
_DEFAULT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class Door:
    """All routes behind one door.

    Parameters
    ----------
    app
        The routes.
    service
        What they serve.
    clock
        What tells the time, in seconds.
    """

    def __init__(
        self, app: App, service: Service, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.app, self._service, self._clock = app, service, clock
        self._guard = Guard(service.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # no websockets, and the process starts and stops itself
            return
        began = self._clock()
        out = _Outgoing(send, self._service, with_body=scope["method"] != "HEAD")
        if scope["method"] == "HEAD":  # what GET would answer, without its body (RFC 9110, 9.3.2)
            scope = {**scope, "method": "GET"}
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        intake = Intake(headers, receive, self._service.limits, self._service.budget)
        try:
            await self._let_in(scope, receive, out, intake, headers)
        except Problem as problem:
            await _refuse(problem, out, intake)
        except TimeoutError:
            await _refuse(Problem("deadline"), out, intake)
        except (ClientGone, OSError):
            out.status = out.status or 499
        except Exception as error:
            # The type alone: its words may quote a file.
            self._service.log.write("defect", kind=type(error).__name__, where=_where(error))
            await _refuse(Problem("internal"), out, intake)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._service.metrics.requests[route, out.status] += 1
            if scope["path"] in _WORK:
                self._service.metrics.seconds.add(self._clock() - began)

    async def _let_in(
        self,
        scope: Scope,
        receive: Receive,
        out: _Outgoing,
        intake: Intake,
        headers: dict[str, str],
    ) -> None:
        service = self._service
        self._guard.check(scope["method"], scope["path"], headers)
        async with asyncio.timeout(service.limits.seconds):
            if scope["path"] not in _WORK:
                await self.app(scope, receive, out.send)
                return
            if service.active >= service.limits.waiting:
                raise Problem("busy")
            service.active += 1
            try:
                with intake:
                    scope["plainfilm.intake"] = intake
                    await self.app(scope, receive, out.send)
            finally:
                service.active -= 1


class _Outgoing:
    """The way out of one request."""

    def __init__(self, send: Send, service: Service, *, with_body: bool) -> None:
        self._send, self._service, self._with_body = send, service, with_body
        self.status = 0
        self.ended = False
        self.is_lines = False

    async def send(self, message: Message) -> None:
        """Send on, with the headers that every answer has, and in pieces that must be taken."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *HEADERS]
            if not any(name == b"content-security-policy" for name, _ in headers):
                headers.append(_DEFAULT_POLICY)
            if self._service.stopping:
                headers.append((b"connection", b"close"))
            self.is_lines = (b"content-type", b"application/x-ndjson") in headers
            await self._send({**message, "headers": headers})
            return
        body: bytes = message.get("body", b"") if self._with_body else b""
        more: bool = message.get("more_body", False)
        self.ended = self.ended or not more
        while len(body) > _PIECE:
            await self._in_time({**message, "body": body[:_PIECE], "more_body": True})
            body = body[_PIECE:]
        await self._in_time({**message, "body": body, "more_body": more})

    async def _in_time(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._service.limits.stall_seconds):
                await self._send(message)
        except TimeoutError as error:
            raise ClientGone from error


async def _refuse(problem: Problem, out: _Outgoing, intake: Intake) -> None:
    if out.status:
        # Too late for a status. Lines can still say it; anything else breaks off, visibly.
        if out.is_lines and not out.ended:
            await out.send({"type": "http.response.body", "body": problem.body() + b"\n"})
        return
    await intake.drain()
    if not intake.complete:
        problem.headers["connection"] = "close"
    body = problem.body()
    headers = {
        "content-type": PROBLEM_TYPE,
        "content-length": str(len(body)),
        **problem.headers,
    }
    raw = [(name.encode(), text.encode("latin-1")) for name, text in headers.items()]
    start = {"type": "http.response.start", "status": problem.status, "headers": raw}
    await out.send(start)
    await out.send({"type": "http.response.body", "body": body})


def _where(error: BaseException) -> str:
    """Return the place in our code where a defect showed, without its values."""
    trace, place = error.__traceback__, "unknown"
    while trace is not None:
        code = trace.tb_frame.f_code
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.startswith("plainfilm."):
            place = f"{module}:{code.co_name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
