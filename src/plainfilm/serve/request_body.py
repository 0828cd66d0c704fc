"""Reads the body of a request as it arrives, with limits, and never writes it to a disk.

Starlette's own form parser writes uploads above 1 MB to temporary files, which would leave X-rays
on the disk. This module uses the push parser below it.
"""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from plainfilm.inference.answer import ImageFile
from plainfilm.inference.limits import MemoryBudget
from plainfilm.serve.limits import ServiceLimits
from plainfilm.serve.problems import Problem

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
_MAX_PART_HEADERS = 8
_MAX_PART_HEADER_SIZE = 4096
_MIN_HELD = 1 << 16  # bytes; smaller answers, without pictures, are not counted
_MAX_TYPE = 1024  # characters of a content type; the parser's time grows with their square


class ClientGone(Exception):
    """The client closed the connection."""


class RequestBody:
    """The body of one request; a context manager that reserves memory for it.

    Memory is reserved for the bytes that have arrived, not for those that were declared, and given
    back with `finish` of each file. Entering raises ``body-too-large`` if the declared length
    exceeds the limit, and ``busy`` if a declared file exceeds the memory that is left of what all
    requests share (``budget``). Names of headers are in lower case.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        receive: Receive,
        limits: ServiceLimits,
        budget: MemoryBudget,
    ) -> None:
        self._headers = headers
        self._receive, self._limits, self._budget = receive, limits, budget
        self._received = self._reserved = self._answers = self._declared = 0
        self.in_progress = 0  # bytes of the parts that were yielded and are not finished
        self._complete = False
        self.kind, self._boundary = "", b""

    def __enter__(self) -> RequestBody:
        content_type = self._headers.get("content-type", "")
        if len(content_type) > _MAX_TYPE:
            limit = f"at most {_MAX_TYPE:,} characters"
            raise Problem("unsupported-media-type", limit)
        kind, options = parse_options_header(content_type)
        self.kind = kind.decode("latin-1").lower()
        self._boundary = options.get(b"boundary", b"")
        length = self._headers.get("content-length", "")
        self._declared = int(length) if length.isdecimal() else 0
        self._check_size(self._declared)
        if not self.is_multipart:  # of a multipart body only some files are held at a time
            self._check_room(self._declared)
        return self

    def __exit__(self, *details: object) -> None:
        self._budget.give_back(self._reserved + self._answers)
        self._reserved = self._answers = 0

    @property
    def is_multipart(self) -> bool:
        """Whether the body has parts."""
        return self.kind == MULTIPART

    def hold(self, count: int) -> None:
        """Reserve memory for an answer until it is sent, unless it is small, or raise ``busy``."""
        if count > _MIN_HELD:
            self._budget.take(count)
            self._answers += count

    def release(self, count: int) -> None:
        """Release the memory of an answer that was sent."""
        if count > _MIN_HELD:
            self._budget.give_back(count)
            self._answers -= count

    def _check_size(self, total: int) -> None:
        if total > self._limits.body:
            raise Problem("body-too-large", f"at most {self._limits.body:,} bytes in a request")

    def _check_room(self, held: int) -> None:
        if not self._budget.has_room(held, self._reserved):
            raise Problem("busy")

    def _reserve(self, held: int) -> None:
        """Reserve memory for ``held`` bytes of the body in all."""
        if held > self._reserved:
            self._budget.take(held - self._reserved)
        else:
            self._budget.give_back(self._reserved - held)
        self._reserved = held

    def finish(self, file: ImageFile) -> None:
        """Give back the memory of a part that is no longer used."""
        self.in_progress -= len(file.data)
        self._reserve(max(0, self._reserved - len(file.data)))

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives.

        Raises ``body-timeout``, ``body-too-large`` or ``busy``, or `ClientGone`.
        """
        while not self._complete:
            try:
                message = await self._receive()
            except TimeoutError as error:
                raise Problem("body-timeout", headers={"connection": "close"}) from error
            if message["type"] != "http.request":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            self._complete = not message.get("more_body", False)
            self._received += len(chunk)
            self._check_size(self._received)
            self._check_room(self._reserved + len(chunk))
            self._reserve(self._reserved + len(chunk))
            if chunk:
                yield chunk

    async def read_file(self) -> ImageFile:
        """Read a body that is one file.

        Raises ``unsupported-media-type``, ``body-too-large``, or an error of `chunks`.
        """
        if self.kind not in RAW_TYPES:
            supported = ", ".join(sorted(RAW_TYPES))
            raise Problem("unsupported-media-type", f"send {MULTIPART}, or one of: {supported}")
        limit = self._limits.file
        too_large = Problem("body-too-large", f"at most {limit:,} bytes in an image")
        if self._declared > limit:
            raise too_large
        # It returns what was written without a copy, and a refused request keeps none of it while
        # its answer is sent.
        with io.BytesIO() as data:
            async for chunk in self.chunks():
                data.write(chunk)
                if self._received > limit:
                    raise too_large
            return ImageFile(data.getvalue(), RAW_TYPES[self.kind])

    async def parts(self) -> AsyncGenerator[ImageFile, None]:
        """Yield the files of a multipart body, each when it is complete; `finish` each.

        Raises ``bad-multipart``, ``no-images``, ``too-many-images``, or an error of `chunks`.
        """
        if not self._boundary:
            raise Problem("bad-multipart", "the content type has no boundary")
        collector = _PartCollector(self._limits.file)
        count = 0
        try:
            parser = MultipartParser(
                self._boundary,
                collector.callbacks(),
                max_header_count=_MAX_PART_HEADERS,
                max_header_size=_MAX_PART_HEADER_SIZE,
            )
            async for chunk in self.chunks():
                parser.write(chunk)
                self._reserve(self.in_progress + collector.held)
                while collector.files:
                    count += 1
                    if count > self._limits.images:
                        limit = self._limits.images
                        raise Problem("too-many-images", f"at most {limit:,} images in a request")
                    file = collector.files.popleft()
                    collector.held -= len(file.data)
                    self.in_progress += len(file.data)
                    yield file
        except FormParserError as error:
            raise Problem("bad-multipart") from error
        finally:
            collector.forget()
        if not collector.ended:
            raise Problem("bad-multipart", "the body ends within a part")
        if not count:
            raise Problem("no-images", "send at least one file")


class _PartCollector:
    """Collects the events of the push parser into files."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.files: deque[ImageFile] = deque()
        self.held = 0  # bytes of ``files`` and of the one that arrives
        self.ended = False
        self._on_begin()

    def callbacks(self) -> Any:
        """Return the callbacks for the parser."""
        return {
            "on_part_begin": self._on_begin,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_data,
            "on_part_end": self._on_end,
            "on_end": self._on_finish,
        }

    def forget(self) -> None:
        """Free the memory of the files that were not used."""
        self.files.clear()
        self._data.close()

    def _on_begin(self) -> None:
        self._name = self._value = b""
        self._is_file = False
        self._size = 0
        self._data = io.BytesIO()
        self._digest: Any = None

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            # The name of the file may identify a patient, so only its presence is used.
            self._is_file = b"filename" in options or b"filename*" in options
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        if not self._is_file:
            raise Problem("bad-multipart", "every part must be a file")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        self.held += end - start
        self._data.write(memoryview(data)[start:end])
        if self._size > self._limit:
            # A file that is too large is hashed here and not kept; others are hashed when decoded.
            self._digest = self._digest or hashlib.sha256()
            self._digest.update(self._data.getbuffer())
            self.held -= self._data.getbuffer().nbytes
            self._data = io.BytesIO()

    def _on_end(self) -> None:
        digest = None if self._digest is None else self._digest.hexdigest()
        self.files.append(ImageFile(self._data.getvalue(), too_large=digest))
        self._on_begin()

    def _on_finish(self) -> None:
        self.ended = True
