"""Finds text that repeats among more rows than fit into memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from plainfilm._files import explain_oserror

PARTS = 256


class Repeats:
    """Finds the rows of a text column that repeat an earlier row.

    The 128-bit hash of each row is written to one of 256 temporary files, which are then sorted one
    at a time. The text itself is not written.
    """

    def __init__(self) -> None:
        with _explained():
            self._folder = tempfile.TemporaryDirectory(prefix="plainfilm-")
        self._rows = 0

    def add(self, column: Any) -> None:
        """Add the next rows, an Arrow column of text."""
        import numpy as np

        digests = b"".join(
            hashlib.blake2b(text.encode(), digest_size=16).digest() for text in column.to_pylist()
        )
        hashed = np.frombuffer(digests, "<u8").reshape(-1, 2)
        rows = np.arange(self._rows, self._rows + len(hashed), dtype="<u8")
        self._rows += len(hashed)
        records = np.column_stack([hashed, rows])
        part = hashed[:, 0] % PARTS
        order = np.argsort(part, kind="stable")
        records = records[order]
        ends = np.searchsorted(part[order], np.arange(PARTS + 1))
        for number in np.unique(part).tolist():
            with _explained(), self._path(number).open("ab") as file:
                file.write(records[ends[number] : ends[number + 1]].tobytes())

    def find(self) -> Any:
        """Return the sorted numbers of the rows that repeat an earlier row, as an array."""
        import numpy as np

        found = [np.empty(0, np.int64)]
        for number in range(PARTS):
            if self._path(number).exists():
                records = np.fromfile(self._path(number), "<u8").reshape(-1, 3)
                records = records[np.lexsort(records.T[::-1])]
                same = (records[1:, :2] == records[:-1, :2]).all(axis=1)
                found.append(records[1:, 2][same].astype(np.int64))
        return np.sort(np.concatenate(found))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def _path(self, number: int) -> Path:
        return Path(self._folder.name, f"{number:03d}")


@contextmanager
def _explained() -> Iterator[None]:
    """Raise an OSError of the temporary files as a StorageError."""
    try:
        yield
    except OSError as error:
        where = f"the temporary files ({error.filename or 'TMPDIR'})"
        raise explain_oserror(error, where) from error
