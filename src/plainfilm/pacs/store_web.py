"""Sends results to an archive by STOW-RS.

The standard library's client is used, because it follows no redirect, repeats no request, reads no
proxy settings and no ``.netrc``, and logs nothing. A result is delivered only if the response names
it as stored: a status 200 alone may come from a proxy or a login page.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from plainfilm.errors import PlainfilmError
from plainfilm.pacs.credentials import authorization
from plainfilm.pacs.outcomes import (
    DEFAULT_SECONDS,
    Outcome,
    Outgoing,
    StepSeconds,
    Unavailable,
    read_meta,
)
from plainfilm.pacs.settings import WebDestination
from plainfilm.pacs.stow_response import Answer, concerns_all, of_answer, read_answer, read_response

_PIECE = 64 << 10  # each has its own time limit
_MOST_REQUEST = 16 << 20


class _Closed(Unavailable):
    """The archive closed the connection instead of answering."""


class WebSender:
    """Sends results over one connection, which ``close`` ends.

    Parameters
    ----------
    destination
        The archive.
    tls
        Certificates for ``https``; None uses the authorities of the system.
    credentials
        File that is read for each connection, so that a token may be replaced.
    seconds
        Time limits.
    """

    def __init__(
        self,
        destination: WebDestination,
        *,
        tls: ssl.SSLContext | None = None,
        credentials: Path | None = None,
        seconds: StepSeconds = DEFAULT_SECONDS,
    ) -> None:
        self._url, self._tls = urlsplit(destination.url), tls
        self._credentials, self._seconds = credentials, seconds
        self._most = _MOST_REQUEST
        self._connection: http.client.HTTPConnection | None = None
        self._fields: dict[str, str] = {}
        self._named: set[str] = set()  # sent and answered over this connection

    def send(self, results: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Outcome]]:
        """Send results together; where that fails, one by one."""
        group: list[Outgoing] = []
        uids: list[str] = []
        size = 0
        for result in results:
            meta = read_meta(result)
            if isinstance(meta, Outcome):
                yield result, meta
                continue
            if group and size + meta.size > self._most:
                yield from self._send(group, uids)
                group, uids, size = [], [], 0
            group, uids, size = [*group, result], [*uids, meta.uid], size + meta.size
        if group:
            yield from self._send(group, uids)

    def _send(
        self, group: Sequence[Outgoing], uids: Sequence[str]
    ) -> Iterator[tuple[Outgoing, Outcome]]:
        """Send a group; send those alone that the response says nothing about."""
        answer = self._post(group)
        whole = of_answer(answer)
        if concerns_all(answer):
            raise Unavailable(whole)
        known = read_answer(answer)
        is_old = bool(known.keys() & self._named)  # a response to another request, again
        self._named |= known.keys() & {*uids}
        for result, uid in zip(group, uids, strict=True):
            if uid in known:
                yield result, known[uid]
            elif len(group) > 1:
                yield from self._send([result], [uid])
            elif is_old:
                self.close()
                yield result, Outcome("later", "invalid-answer")
            else:
                # An archive may name no instance that it cannot read, and may change UIDs.
                yield result, next(iter(known.values())) if len(known) == 1 else whole
        if answer.status == 413 and len(group) > 1:
            self._most = 0

    def _post(self, group: Sequence[Outgoing]) -> Answer:
        """Send one request; raise Unavailable without a valid response."""
        reused = self._connection is not None and self._connection.sock is not None
        try:
            return self._exchange(group)
        except _Closed:
            if not reused:
                raise
        return self._exchange(group)  # the archive closed a connection that was idle

    def _exchange(self, group: Sequence[Outgoing]) -> Answer:
        """Send one request and read its response."""
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"--{boundary}--\r\n".encode()
        size = sum(len(head) + one.path.stat().st_size + 2 for one in group) + len(tail)
        fields = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(size),
            "Accept": "application/dicom+json",
        }
        with self._limited(self._seconds.exchange(size)) as connection:
            path = f"{self._url.path}/studies"
            # The response may explain why the archive stopped reading.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(
                    "POST", path, _pieces(group, head, tail), {**fields, **self._fields}
                )
            with connection.getresponse() as response:
                answer = read_response(response)
        if answer.status in (401, 403):  # read the credentials again
            self.close()
        return answer

    @contextlib.contextmanager
    def _limited(self, seconds: float) -> Iterator[http.client.HTTPConnection]:
        """Yield the connection; shut it down after a time, whatever the archive sends."""
        connection = self._connect()
        assert connection.sock is not None
        timer = threading.Timer(seconds, _shut_down, [connection.sock])
        timer.daemon = True
        timer.start()
        complete = False
        try:
            yield connection
            complete = True
        except (ConnectionError, ssl.SSLEOFError):
            raise _Closed(Outcome("later", "no-answer")) from None
        except TimeoutError:
            raise Unavailable(Outcome("later", "no-answer")) from None
        except (OSError, http.client.HTTPException, ValueError):
            raise Unavailable(Outcome("later", "invalid-answer")) from None
        finally:
            timer.cancel()
            if not complete:
                self.close()

    def _connect(self) -> http.client.HTTPConnection:
        """Return the connection; open it if there is none."""
        if self._connection is None or self._connection.sock is None:
            try:
                return self._open_connection()
            except ssl.SSLError:
                reason = Outcome("misconfigured", "tls")
            except PlainfilmError:
                reason = Outcome("misconfigured", "credentials")
            except TimeoutError:
                reason = Outcome("later", "no-connection-in-time")
            except OSError:
                reason = Outcome("later", "no-connection")
            self.close()
            raise Unavailable(reason)
        return self._connection

    def _open_connection(self) -> http.client.HTTPConnection:
        """Connect, and negotiate TLS."""
        self.close()
        fields = {}
        if self._credentials is not None:
            fields["Authorization"] = authorization(self._credentials)
        host, port, seconds = self._url.hostname or "", self._url.port, self._seconds.connect
        connection = (
            http.client.HTTPSConnection(host, port, timeout=seconds, context=self._tls)
            if self._url.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=seconds)
        )
        self._connection, self._fields, self._named = connection, fields, set()
        connection.connect()
        connection.sock.settimeout(self._seconds.answer)
        return connection

    def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _shut_down(own: socket.socket) -> None:
    """End both directions of a connection, which wakes up the thread that uses it."""
    with contextlib.suppress(OSError):
        own.shutdown(socket.SHUT_RDWR)


def _pieces(group: Sequence[Outgoing], head: bytes, tail: bytes) -> Iterator[bytes]:
    """Yield the body of a request in small pieces."""
    for result in group:
        yield head
        with result.path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
        yield b"\r\n"
    yield tail
