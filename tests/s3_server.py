"""A stand-in for an S3 store on loopback that can fail as a real one does."""

from __future__ import annotations

import logging
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BUCKET = "radiographs"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class S3Server:
    """The server: counts its requests by method, and fails those that `fail` names.

    ``endpoint`` is its URL and ``environment`` what a client needs to find it.
    """

    def __init__(self, endpoint: str, application: Application) -> None:
        self.endpoint = endpoint
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "AKIAKEYOFTHETESTS",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
            "AWS_REGION": "us-east-1",
        }
        self.requests: Counter[str] = Counter()
        self._application = application
        self._lock = threading.Lock()
        self._failures: list[tuple[str, str, str, float]] = []

    def fail(self, status: str, *, method: str = "", path: str = "", times: float = 1) -> None:
        """Answer the next requests of a method and path (both optional) with a status.

        If the status is ``lost``, the request is done, but the answer is one of 503.
        """
        with self._lock:
            self._failures.append((status, method, path, times))

    def create_bucket(self, name: str) -> None:
        """Create an empty bucket."""
        request = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")
        urllib.request.urlopen(request).close()

    def recover(self) -> None:
        """Fail no further request."""
        with self._lock:
            self._failures.clear()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        status = self._failure(method, path)
        if status is None:
            return self._application(environ, start)
        if status == "lost":  # done, but the client does not see it
            list(self._application(environ, lambda *_: None))
            status = "503 Service Unavailable"
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(status, [("Content-Type", "application/xml")])
        code = status.partition(" ")[2].replace(" ", "")
        return [f"<Error><Code>{code}</Code><Key>AKIAKEYOFTHETESTS</Key></Error>".encode()]

    def _failure(self, method: str, path: str) -> str | None:
        """Return the status of a request that fails, and count it."""
        with self._lock:
            self.requests[method] += 1
            for number, (status, own, part, times) in enumerate(self._failures):
                if own in ("", method) and part in path:
                    left = (status, own, part, times - 1)
                    self._failures[number : number + 1] = [left] if times > 1 else []
                    return status
        return None


@contextmanager
def start_s3_server() -> Iterator[S3Server]:
    """Start a server with an empty bucket; its variables are set while it runs."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    server = S3Server(f"http://{host}:{port}", moto._server.app)
    moto._server.app = server
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.environment.items():
                patch.setenv(name, value)
            server.create_bucket(BUCKET)
            yield server
    finally:
        moto.stop()
