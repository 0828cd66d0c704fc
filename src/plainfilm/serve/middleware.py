"""The outermost layer: access checks, time limits, and one form for every failure.

It is plain ASGI around all routes, so every failure, including one of the framework, leaves as a
problem with a stable code.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plainfilm.inference.codes import InferenceError
from plainfilm.inference.engine import Engine
from plainfilm.serve.limits import Settings
from plainfilm.serve.prediction_routes import client_of
from plainfilm.serve.problems import Problem
from plainfilm.serve.request_body import ClientGone, RequestBody
from plainfilm.serve.security import HEADERS, Guard

_PREDICTION_PATHS = frozenset({"/v1/predictions", "/v1/predictions/stream"})
_HTTP_CODES = {404: "not-found", 405: "method-not-allowed"}
_DEFAULT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class Middleware:
    """ASGI application that wraps the routes."""

    def __init__(self, app: ASGIApp, engine: Engine, settings: Settings) -> None:
        self.app, self._engine, self._limits = app, engine, settings.limits
        self._guard = Guard(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # neither websockets nor lifespan events are supported
            return
        began = time.monotonic()
        scope["app"] = self  # Starlette then raises HTTPException instead of answering itself
        out = _Output(send, self._engine, scope["method"] != "HEAD")
        if scope["method"] == "HEAD":  # the answer of GET without its body (RFC 9110, 9.3.2)
            scope = {**scope, "method": "GET"}
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        try:
            self._guard.check(scope["method"], scope["path"], headers)
            await self._handle(scope, receive, out, headers)
        except InferenceError as error:
            problem = error if isinstance(error, Problem) else Problem.of(error)
            await _send_problem(problem, out)
        except HTTPException as error:
            code = _HTTP_CODES.get(error.status_code, "bad-request")
            await _send_problem(Problem(code, headers=error.headers), out)
        except TimeoutError:
            await _send_problem(Problem("deadline"), out)
        except (ClientGone, OSError):
            out.status = out.status or 499
        except Exception as error:
            # The type only: the message may quote a file.
            self._engine.log.write("defect", error=type(error).__name__, where=_where(error))
            await _send_problem(Problem("internal"), out)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._engine.telemetry.requests.add(route, str(out.status))
            if scope["path"] in _PREDICTION_PATHS:
                self._engine.telemetry.seconds.add(time.monotonic() - began)

    async def _handle(
        self, scope: Scope, receive: Receive, out: _Output, headers: Mapping[str, str]
    ) -> None:
        async with asyncio.timeout(self._limits.seconds):
            if scope["path"] not in _PREDICTION_PATHS:
                await self.app(scope, receive, out.send)
                return
            body = RequestBody(headers, receive, self._limits, self._engine.budget)
            with self._engine.admit(client_of(scope)), body:
                scope["plainfilm.body"] = body
                await self.app(scope, receive, out.send)


class _Output:
    """The answer to one request."""

    def __init__(self, send: Send, engine: Engine, with_body: bool) -> None:
        self._send, self._engine, self._with_body = send, engine, with_body
        self.status = 0
        self.ended = False
        self.is_lines = False

    async def send(self, message: Message) -> None:
        """Send a message with the common headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *HEADERS]
            if not any(name == b"content-security-policy" for name, _ in headers):
                headers.append(_DEFAULT_POLICY)
            if self._engine.stopping:
                headers.append((b"connection", b"close"))
            self.is_lines = (b"content-type", b"application/x-ndjson") in headers
            await self._send({**message, "headers": headers})
            return
        body: bytes = message.get("body", b"") if self._with_body else b""
        more: bool = message.get("more_body", False)
        self.ended = self.ended or not more
        await self._send({**message, "body": body, "more_body": more})


async def _send_problem(problem: Problem, out: _Output) -> None:
    if out.status:
        # The status is sent already. A stream reports the problem in its last line; any other
        # answer ends incomplete, which the client notices.
        if out.is_lines and not out.ended:
            await out.send({"type": "http.response.body", "body": problem.body() + b"\n"})
        return
    for message in problem.messages():
        await out.send(message)


def _where(error: BaseException) -> str:
    """Return module, function and line of the innermost frame of plainfilm in a traceback."""
    place = "unknown"
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if module.startswith("plainfilm."):
            place = f"{module}:{frame.f_code.co_name}:{line}"
    return place
