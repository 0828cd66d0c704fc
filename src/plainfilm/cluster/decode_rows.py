"""Decodes planned files: reads them ahead, decodes their bytes in a sandboxed process.

Several threads each read a few files, wait until the decoding process has decoded them, and pass
them on. So the latency of a store is hidden, and reading, decoding and what follows overlap. The
bytes in memory are limited. Nothing of a file is written to the disk.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import hash_bytes
from plainfilm.cluster.plan import Row
from plainfilm.cluster.stores import StoreError
from plainfilm.decoding.decode import Decoded, Failure, Reader
from plainfilm.decoding.pool import Pool
from plainfilm.decoding.sandbox import Sandbox
from plainfilm.errors import ImageError, SourceError
from plainfilm.pixels import LIMITS, read_image
from plainfilm.pixels.limits import check_bytes
from plainfilm.records import PixelSpec

T = TypeVar("T")
Pixels = NDArray[np.uint8]

_TOGETHER = 16  # files that a thread reads and decodes together
_TOGETHER_BYTES = 32 << 20
_HELD_BYTES = 128 << 20  # of all files that are being read or decoded
_UNKNOWN_BYTES = 4 << 20  # assumed for a file whose size was not known when it was planned
_UNREACHABLE = 0.01  # share of the rows of a chunk above which the archive counts as unreachable


class Content(NamedTuple):
    """The size and hash of a planned file; None if it could not be read."""

    bytes: int | None = None
    sha256: str | None = None


class RowDecoder:
    """Decodes chunks of planned files.

    Parameters
    ----------
    read
        Returns the content of a planned file, or raises a StoreError; several threads call it.
    spec
        What the images become.
    threads
        Number of threads that read.
    reader, sandbox
        How a file is decoded, and the limits of the process that does it.
    """

    def __init__(
        self,
        read: Callable[[Row], bytes],
        spec: PixelSpec,
        *,
        threads: int,
        reader: Reader = read_image,
        sandbox: Sandbox | None = None,
    ) -> None:
        self._read, self._spec = read, spec
        self._pool = Pool(1, reader, sandbox)
        self._threads = ThreadPoolExecutor(threads)

    def close(self) -> None:
        """End the decoding process and the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.close()

    def run(
        self,
        rows: Sequence[Row],
        use: Callable[[Sequence[Decoded | Failure], Pixels], Sequence[T]],
        chunk_rows: int,
    ) -> Iterator[tuple[Row, Content, T]]:
        """Yield each row in order with its content and its result.

        ``use`` returns the results of some files from their outcomes and images (n, size, size).
        Several threads call it. ``chunk_rows`` is the number of rows of the whole chunk.

        Raises
        ------
        SourceError
            If more than one row and more than 1 % of the rows of the chunk are unreachable.
        """
        unreachable = _Unreachable(chunk_rows)
        shares: deque[tuple[Sequence[Row], int, Future[Iterator[tuple[Content, T]]]]] = deque()
        held = 0
        try:
            for share, size in _shares(rows):
                while shares and held + size > _HELD_BYTES:
                    done, own, future = shares.popleft()
                    held -= own
                    yield from ((row, *one) for row, one in zip(done, future.result(), strict=True))
                shares.append(
                    (share, size, self._threads.submit(self._work, share, use, unreachable))
                )
                held += size
            for done, _, future in shares:
                yield from ((row, *one) for row, one in zip(done, future.result(), strict=True))
        finally:
            for _, _, future in shares:
                future.cancel()

    def _work(
        self,
        share: Sequence[Row],
        use: Callable[[Sequence[Decoded | Failure], Pixels], Sequence[T]],
        unreachable: _Unreachable,
    ) -> Iterator[tuple[Content, T]]:
        """Read and decode some files and use them."""
        files: list[bytes | Failure] = []
        for row in share:
            file = self._read_one(row)
            if isinstance(file, Failure) and file.reason == "unreachable":
                unreachable.add(file)
            files.append(file)
        outcomes, pixels = self._decode(files)
        contents = [
            Content()
            if isinstance(file, Failure)
            else Content(len(file), getattr(outcome, "sha256", "") or hash_bytes(file))
            for file, outcome in zip(files, outcomes, strict=True)
        ]
        return zip(contents, use(outcomes, pixels), strict=True)

    def _decode(
        self, files: Sequence[bytes | Failure]
    ) -> tuple[Sequence[Decoded | Failure], Pixels]:
        """Return outcomes and images (n, size, size); a file that is not there keeps its reason."""
        pixels = np.empty((len(files), self._spec.size, self._spec.size), np.uint8)
        there = [row for row, file in enumerate(files) if isinstance(file, bytes)]
        out = pixels if len(there) == len(files) else pixels[there]
        found = [file for file in files if isinstance(file, bytes)]
        decoded = iter(self._pool.decode(found, self._spec, out))
        if out is not pixels:
            pixels[there] = out
        return [file if isinstance(file, Failure) else next(decoded) for file in files], pixels

    def _read_one(self, row: Row) -> bytes | Failure:
        """Return the content of a file, or the reason why there is none."""
        try:
            check_bytes(row.bytes or 0, LIMITS)  # before it is in memory
            return self._read(row)
        except ImageError as error:
            return Failure(error.reason, error.problem)
        except StoreError as error:
            return Failure(error.reason, error.problem)


class _Unreachable:
    """Counts the files of a chunk that cannot be reached."""

    def __init__(self, rows: int) -> None:
        self._rows, self._most = rows, max(1, int(_UNREACHABLE * rows))
        self._count = 0
        self._lock = threading.Lock()

    def add(self, failure: Failure) -> None:
        """Count a file; raise a SourceError if there are too many."""
        with self._lock:
            self._count += 1
        if self._count > self._most:
            raise SourceError(
                "the archive cannot be reached",
                received=f"{self._count} of {self._rows} files of a chunk failed, the last with: "
                + failure.problem,
                remedy="nothing of these files was stored; when the archive can be reached, "
                "the same command continues",
            )


def _shares(rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], int]]:
    """Yield a few rows at a time, with the sum of their bytes."""
    start = total = 0
    for at, row in enumerate(rows):
        size = _UNKNOWN_BYTES if row.bytes is None else row.bytes
        if at > start and (at - start == _TOGETHER or total + size > _TOGETHER_BYTES):
            yield rows[start:at], total
            start, total = at, 0
        total += size
    if start < len(rows):
        yield rows[start:], total
