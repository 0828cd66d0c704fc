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
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from plainfilm.errors import PlainfilmError
from plainfilm.pacs.credentials import authorization

_BLOCK = 1 << 18
_PART_HEADERS = 16 << 10
_MOST_VALUES = 1_000_000  # objects and arrays of a search; 16 MiB of real results have fewer
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


class WebReader:
    """Reads below one URL.

    Parameters
    ----------
    url
        Root of the DICOMweb service, without a slash at the end.
    credentials
        File of `plainfilm.pacs.credentials`; it is read for each request.
    tls
        Certificates for ``https``; None uses the authorities of the system.
    seconds
        Time for one request with its response.
    """

    def __init__(
        self,
        url: str,
        *,
        credentials: Path | None = None,
        tls: ssl.SSLContext | None = None,
        seconds: float = 60.0,
    ) -> None:
        self._url, self._credentials, self._tls = urlsplit(url), credentials, tls
        self._seconds = seconds
        self._connected: socket.socket | None = None
        self._aborted = False

    def abort(self) -> None:
        """End the request in progress, if any, and all later ones; call it in any thread."""
        self._aborted = True
        if (connected := self._connected) is not None:
            _shut_down(connected)

    def json(self, path: str, most: int) -> list[dict[str, Any]]:
        """Return the data sets of a search; [] if nothing was found."""
        response = self.get(path, "application/dicom+json", most)
        if response is None or not response.body:
            return []
        text = bytes(response.body)
        if text.count(b"{") + text.count(b"[") > _MOST_VALUES:
            raise WebError("too-large")
        try:
            found = json.loads(text)
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
        headers = {"Accept": accept, "Accept-Encoding": "identity", "Connection": "close"}
        if self._credentials is not None:
            try:
                headers["Authorization"] = authorization(self._credentials)
            except PlainfilmError:
                raise WebError("credentials", down=True) from None
        with _translated(), contextlib.closing(self._new_connection()) as connection:
            connection.connect()
            self._connected = connection.sock
            try:
                with _deadline(connection.sock, self._seconds):
                    if self._aborted:
                        raise WebError("stopped", down=True)
                    connection.request("GET", self._url.path + path, headers=headers)
                    with connection.getresponse() as response:
                        return _read(response, most)
            finally:
                self._connected = None

    def _new_connection(self) -> http.client.HTTPConnection:
        """Return a connection that is not open yet."""
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=self._seconds, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=self._seconds)


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
        _shut_down(connected)

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


def _shut_down(connected: socket.socket) -> None:
    """End both directions of a connection, which wakes up the thread that uses it."""
    with contextlib.suppress(OSError):  # SSLSocket's own method is not safe for threads
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


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
