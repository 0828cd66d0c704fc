"""Reads from a DICOMweb server: one request a connection, with limits of time and size.

The standard library's client follows no redirect, reads no proxy settings and no ``.netrc``, so
that credentials reach the configured server only.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

_BLOCK = 1 << 18
_PART_HEADERS = 16 << 10
_BUSY = (408, 425, 429, 502, 503, 504)
_NO_ACCESS = (401, 403, 407)


class WebError(Exception):
    """A read failed.

    ``code`` is a stable code in kebab case. ``down`` is true if the server as a whole is
    unavailable, so that further requests are pointless now.
    """

    def __init__(self, code: str, *, down: bool = False) -> None:
        self.code, self.down = code, down
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class Response:
    """A response with status 200."""

    media_type: str
    boundary: str
    body: memoryview


@dataclass(frozen=True, slots=True)
class WebReader:
    """Reads below one URL.

    Parameters
    ----------
    url
        Root of the DICOMweb service, without a slash at the end.
    headers
        Fields of each request, such as ``Authorization``.
    tls
        Certificates for ``https``.
    seconds
        Time for one request with its response.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    seconds: float = 60.0

    def json(self, path: str, most: int) -> list[dict[str, Any]]:
        """Return the data sets of a search; [] if nothing was found."""
        response = self.get(path, "application/dicom+json", most)
        if response is None or not response.body:
            return []
        try:
            found = json.loads(bytes(response.body))
        except (ValueError, RecursionError):
            raise WebError("not-json") from None
        if isinstance(found, dict):  # some servers send a single data set without an array
            found = [found]
        if not (isinstance(found, list) and all(isinstance(one, dict) for one in found)):
            raise WebError("not-json")
        return found

    def file(self, path: str, most: int) -> memoryview:
        """Return one DICOM file in the transfer syntax in which it is stored."""
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        response = self.get(path, accept, most + _PART_HEADERS)
        if response is None:
            raise WebError("empty-response")
        if response.media_type == "application/dicom":
            return response.body
        if response.media_type != "multipart/related":
            raise WebError("other-media-type")
        return first_part(response)

    def get(self, path: str, accept: str, most: int) -> Response | None:
        """Return a response of at most ``most`` bytes; None for status 204."""
        parts = urlsplit(self.url)
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=self.seconds, context=self.tls
            )
        else:
            connection = http.client.HTTPConnection(
                parts.hostname or "", parts.port, timeout=self.seconds
            )
        headers = {"Accept": accept, "Accept-Encoding": "identity", "Connection": "close"}
        with _translated(), contextlib.closing(connection):
            connection.connect()
            with _deadline(connection.sock, self.seconds):
                connection.request("GET", parts.path + path, headers={**headers, **self.headers})
                with connection.getresponse() as response:
                    return _read(response, most)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of a connection into errors without the text of the server."""
    try:
        yield
    except TimeoutError:
        raise WebError("timeout") from None
    except ssl.SSLError:
        raise WebError("tls", down=True) from None
    except OSError:
        raise WebError("no-connection", down=True) from None
    except (http.client.HTTPException, ValueError):
        raise WebError("not-http") from None


@contextlib.contextmanager
def _deadline(connected: socket.socket, seconds: float) -> Iterator[None]:
    """Close a connection after a time, whatever the server sends until then."""
    ended = threading.Event()

    def end() -> None:
        ended.set()
        with contextlib.suppress(OSError):  # not that of SSLSocket, which is not safe for threads
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception:
        if not ended.is_set():
            raise
    finally:
        timer.cancel()
    if ended.is_set():
        raise TimeoutError


def _read(response: http.client.HTTPResponse, most: int) -> Response | None:
    """Check the head of a response and read its body."""
    status = response.status
    if status == 204:
        return None
    if status != 200:
        if 300 <= status < 400:
            raise WebError("redirect", down=True)
        raise WebError(f"http-{status}", down=status in _BUSY + _NO_ACCESS)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WebError("compressed-response")
    if response.length is not None and response.length > most:
        raise WebError("too-large")
    body = bytearray()
    while block := response.read(_BLOCK):
        body += block
        if len(body) > most:
            raise WebError("too-large")
    if response.length:
        raise WebError("incomplete-response", down=True)
    field = Message()
    field["Content-Type"] = response.headers.get("Content-Type", "")
    boundary = field.get_param("boundary")
    media_type = field.get_content_type()
    return Response(media_type, boundary if isinstance(boundary, str) else "", memoryview(body))


def first_part(response: Response) -> memoryview:
    """Return the content of the first part of a multipart response, without copying it."""
    if not response.boundary:
        raise WebError("no-boundary")
    body, line = response.body.obj, b"--" + response.boundary.encode("latin-1", "replace")
    assert isinstance(body, bytearray)
    start = body.find(line, 0, _PART_HEADERS)
    headers = body.find(b"\r\n\r\n", start, start + _PART_HEADERS)
    end = body.find(b"\r\n" + line, headers + 2)
    if min(start, headers, end) < 0:
        raise WebError("incomplete-response")
    return response.body[headers + 4 : end]
