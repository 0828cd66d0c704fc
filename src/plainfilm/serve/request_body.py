"""The body of a request: read as it comes, counted before it is kept, never on a disk.

Starlette's own form parser lays uploads above 1 MB into temporary files; an X-ray must not lie in
any file that its owner did not choose. So the multipart body is taken apart here, with the push
parser below that one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from plainfilm.inference.items import ImageFile
from plainfilm.inference.limits import MemoryBudget
from plainfilm.serve.limits import ServiceLimits
from plainfilm.serve.problems import Problem

__all__ = ["MULTIPART", "RAW_TYPES", "ClientGone", "RequestBody"]

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

RAW_TYPES: Mapping[str, str | None] = {
    "image/jpeg": "jpeg",
    "image/png": "png",
    "image/tiff": "tiff",
    "image/bmp": "bmp",
    "image/webp": "webp",
    "image/gif": "gif",
    "application/dicom": "dicom",
    "application/octet-stream": None,
}
"""Content types of a raw body, and the format that each declares."""

MULTIPART = "multipart/form-data"
_HEADERS_OF_PART = 8
_HEADER_OF_PART = 4096
_COUNTED = 1 << 16  # bytes of an answer: only pictures are so large
_DRAINED = 8 << 20  # bytes of a refused body that are still read, so that the refusal is


class ClientGone(Exception):
    """The client closed the connection; nobody waits for an answer."""


class RequestBody:
    """The body of one request; use as a context manager, which releases what it has reserved.

    Parameters
    ----------
    headers
        The request's headers, names in lower case.
    receive
        The ASGI channel.
    limits
        What is taken.
    budget
        What all requests share.

    Raises
    ------
    Problem
        On entering: 413 for a declared length above the limit, 429 where all have too much.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        receive: Receive,
        limits: ServiceLimits,
        budget: MemoryBudget,
    ) -> None:
        self._receive, self._limits, self._budget = receive, limits, budget
        kind, options = parse_options_header(headers.get("content-type", ""))
        self.kind = kind.decode("latin-1").lower()
        self._boundary = options.get(b"boundary", b"")
        length = headers.get("content-length")
        self._declared = int(length) if length is not None and length.isdecimal() else None
        self._reserved = 0
        self._seen = self._answers = 0
        self.complete = False

    def __enter__(self) -> RequestBody:
        if (self._declared or 0) > self._limits.body:
            raise self._too_large()
        self._reserve(self._declared or 0)
        return self

    def __exit__(self, *details: object) -> None:
        self._budget.give_back(self._reserved + self._answers)
        self._reserved = self._answers = 0

    @property
    def is_multipart(self) -> bool:
        """Return whether the body has parts."""
        return self.kind == MULTIPART

    def hold(self, count: int) -> None:
        """Reserve bytes of an answer that waits to be sent; small ones are not counted.

        Raises
        ------
        Problem
            429 where they are not left.
        """
        if count > _COUNTED:
            self._budget.take(count)
            self._answers += count

    def release(self, count: int) -> None:
        """Give back what an answer held that has been sent."""
        if count > _COUNTED:
            self._budget.give_back(count)
            self._answers -= count

    def _reserve(self, count: int) -> None:
        self._budget.take(count)
        self._reserved += count

    def _too_large(self) -> Problem:
        return Problem("body-too-large", f"at most {self._limits.body:,} bytes in a request")

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes.

        Raises
        ------
        Problem
            408 for a client that sends nothing for too long, 413, 429.
        ClientGone
            If it closes the connection.
        """
        while not self.complete:
            try:
                async with asyncio.timeout(self._limits.stall_seconds):
                    message = await self._receive()
            except TimeoutError as error:
                raise Problem("body-timeout", headers={"connection": "close"}) from error
            if message["type"] != "http.request":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            self.complete = not message.get("more_body", False)
            self._seen += len(chunk)
            if self._seen > self._limits.body:
                raise self._too_large()
            if self._seen > self._reserved:
                self._reserve(self._seen - self._reserved)
            if chunk:
                yield chunk

    async def drain(self) -> None:
        """Read on for a moment what was refused: a client that is still sending reads no answer."""
        if self.complete:
            return
        seen = 0
        try:
            async with asyncio.timeout(2):
                while seen < _DRAINED:
                    message = await self._receive()
                    seen += len(message.get("body", b""))
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        self.complete = True
                        return
        except TimeoutError:
            return

    async def read_file(self) -> ImageFile:
        """Read a body that is one file.

        Raises
        ------
        Problem
            413 where it is larger than one image may be, 415 for another content type, and those
            of :meth:`chunks`.
        """
        if self.kind not in RAW_TYPES:
            taken = ", ".join(sorted(RAW_TYPES))
            raise Problem("unsupported-media-type", f"send {MULTIPART}, or one of: {taken}")
        limit = self._limits.file
        if (self._declared or 0) > limit:
            raise Problem("body-too-large", f"at most {limit:,} bytes in an image")
        parts: list[bytes] = []
        async for chunk in self.chunks():
            parts.append(chunk)
            if self._seen > limit:
                raise Problem("body-too-large", f"at most {limit:,} bytes in an image")
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return ImageFile(data, RAW_TYPES[self.kind])

    async def parts(self) -> AsyncGenerator[ImageFile, None]:
        """Yield the files of a multipart body, each as soon as it is complete.

        Raises
        ------
        Problem
            400 for a body that is not well formed or has no file, 413 for too many, and those of
            :meth:`chunks`.
        """
        if not self._boundary:
            raise Problem("bad-multipart", "the content type names no boundary")
        splitter = _Splitter(self._limits.file)
        found = 0
        try:
            parser = MultipartParser(
                self._boundary,
                splitter.callbacks(),
                max_header_count=_HEADERS_OF_PART,
                max_header_size=_HEADER_OF_PART,
            )
            async for chunk in self.chunks():
                parser.write(chunk)
                while splitter.ready:
                    found += 1
                    if found > self._limits.images:
                        limit = self._limits.images
                        raise Problem("too-many-images", f"at most {limit:,} images in a request")
                    yield splitter.ready.popleft()
        except FormParserError as error:
            raise Problem("bad-multipart") from error
        if not splitter.ended:
            raise Problem("bad-multipart", "the body ends within a part")
        if not found:
            raise Problem("no-images", "send at least one file")


class _Splitter:
    """Gather what the push parser tells into files."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.ready: deque[ImageFile] = deque()
        self.ended = False
        self._begin()

    def callbacks(self) -> Any:
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._name, self._text = b"", b""
        self._is_file = False
        self._size = 0
        self._chunks: list[bytes] = []
        self._digest: Any = None

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._text += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._text)
            # Only that there is a name matters. What it says is forgotten with the part.
            self._is_file = b"filename" in options or b"filename*" in options
        self._name, self._text = b"", b""

    def _headers_finished(self) -> None:
        if not self._is_file:
            raise Problem("bad-multipart", "every part must be a file")

    def _data(self, data: bytes, start: int, end: int) -> None:
        chunk = data[start:end]
        self._size += len(chunk)
        self._chunks.append(chunk)
        if self._size > self._limit:
            # What is not kept is hashed as it passes; what is kept is hashed by who decodes it.
            self._digest = self._digest or hashlib.sha256()
            for one in self._chunks:
                self._digest.update(one)
            self._chunks.clear()

    def _end(self) -> None:
        kept = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        digest = None if self._digest is None else self._digest.hexdigest()
        self.ready.append(ImageFile(kept, too_large=digest))
        self._begin()

    def _finish(self) -> None:
        self.ended = True
