"""Records which chunks of a plan are done: a chunk is done when its part exists.

``parts/FFFFF-GGGGG.parquet`` is the part of row group GGGGG of plan file FFFFF. It is written once
and completely; the first writer wins. There is no other state, so that any number of processes on
any number of machines can work on one output, and any of them can be killed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, NamedTuple

from plainfilm._document import Document
from plainfilm._files import canonical_json, hash_json, parse_json
from plainfilm._text import printable
from plainfilm.cluster.parts import encode_part, open_part
from plainfilm.cluster.plan import Chunk, Plan, read_plan
from plainfilm.cluster.stores import Store
from plainfilm.errors import RunError, UsageError

PARTS = "parts"
FAILED = "failed"
DONE = "DONE.json"
IDENTITIES = ("score.json", "audit.json")
"""Names of identity documents."""

_READERS = 8
_TOGETHER = 256


class Share(NamedTuple):
    """One of several equal shares of the chunks, as of the jobs of a job array."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """Return the share that a text such as ``3/16`` names.

        >>> Share.parse("3/16")
        Share(number=3, of=16)
        """
        number, slash, of = text.partition("/")
        if slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of):
            return cls(int(number), int(of))
        raise UsageError(
            "a share must be K/N with K from 1 to N",
            received=printable(text),
            remedy="give 1/16 for the first of 16 shares",
        )


@dataclass(frozen=True, slots=True)
class Done(Document):
    """The content of ``DONE.json``: written when every chunk has a valid part.

    Attributes
    ----------
    identity
        Hash of the job's identity document.
    rows, parts
        Number of rows and parts.
    counts
        Number of rows by reason why there is no result.
    """

    SCHEMA: ClassVar[int] = 1
    REMEDY: ClassVar[str] = "run the job again with the same command, which writes the file again"

    identity: str
    rows: int
    parts: int
    counts: Mapping[str, int] = field(default_factory=dict)


class Ledger:
    """The parts of a plan that are done, for one job.

    Parameters
    ----------
    store
        The output.
    plan
        The plan of the output.
    identity
        What the results depend on. It is written to ``document`` by the first process; another
        identity is refused later. None for that of ``document``.
    document
        Name of the identity document.

    Raises
    ------
    UsageError
        If the output is that of another identity or plan.
    """

    def __init__(
        self,
        store: Store,
        plan: Plan,
        identity: Mapping[str, Any] | None,
        *,
        document: str = "score.json",
    ) -> None:
        self.store, self.plan, self.document = store, plan, document
        if identity is None:
            values = self._stored()
        else:
            values = {**identity, "plan": plan.identity}
            text = json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
            if not store.put_new(document, text.encode() + b"\n"):
                self._check(values)
        self.identity = hash_json(values)

    def to_do(self, share: Share | None = None) -> list[Chunk]:
        """Return the chunks without a part, in order; all of them or those of a share."""
        done = self._done_names()
        return [chunk for chunk in self.chunks(share) if chunk.name not in done]

    def chunks(self, share: Share | None = None) -> Iterator[Chunk]:
        """Yield all chunks in order, or those of a share."""
        number, of = share or Share(1, 1)
        return islice(self.plan.chunks(), number - 1, None, of)

    def is_done(self, chunk: Chunk) -> bool:
        """Return whether a chunk has a part."""
        return self.store.exists(chunk.part)

    def commit(
        self, chunk: Chunk, table: Any, counts: Mapping[str, int], *, replace: bool = False
    ) -> bool:
        """Write the part of a chunk; return False if another process was first.

        ``counts`` is the number of rows by reason why there is no result. ``replace`` writes the
        part again, as when errors are retried.
        """
        if len(table) != chunk.rows:
            raise ValueError(f"{len(table)} rows for {chunk}")
        data = encode_part(table, self.identity, counts)
        if replace:
            self.store.remove(DONE)  # first, as its counts are those of the old part
            self.store.replace(chunk.part, data)
            return True
        return self.store.put_new(chunk.part, data)

    def fail(self, chunk: Chunk, reason: str, attempts: int) -> None:
        """Record that a chunk failed in all attempts; it is tried again in the next run."""
        values = {"chunk": chunk.name, "rows": chunk.rows, "reason": reason, "attempts": attempts}
        self.store.replace(f"{FAILED}/{chunk.name}.json", canonical_json(values).encode())

    def clear_failed(self, chunk: Chunk) -> None:
        """Remove the record of a failure, after the chunk is done."""
        self.store.remove(f"{FAILED}/{chunk.name}.json")

    def failed(self) -> dict[str, str]:
        """Return the chunks that failed and have no part, with the reason."""
        named = {entry.name for entry in self.store.entries(FAILED)}
        done = self._done_names() if named else set()
        found = {}
        for chunk in self.plan.chunks() if named else ():
            name = f"{FAILED}/{chunk.name}.json"
            if name in named and chunk.name not in done:
                try:
                    found[chunk.name] = str(parse_json(self.store.read(name))["reason"])
                except (ValueError, TypeError, KeyError):
                    found[chunk.name] = f"{name} is damaged; the same command tries it again"
        return found

    def read(self, chunk: Chunk, columns: Sequence[str] | None = None) -> Any:
        """Return the part of a chunk as an Arrow table.

        Raises a RunError if it is damaged, of another job, or has another number of rows.
        """
        with self._opened(chunk) as (opened, _):
            return opened.read(columns=columns, use_threads=False)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield the tables of all parts in the order of the plan."""
        for chunk in self.plan.chunks():
            yield self.read(chunk, columns)

    def counts(self, chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, dict[str, int]]]:
        """Yield the number of rows of each part by reason; the parts are checked as by `read`."""
        with ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, len(chunks), _TOGETHER):  # so that few wait in memory
                own = chunks[start : start + _TOGETHER]
                yield from zip(own, pool.map(self._read_counts, own), strict=True)

    def finish(self) -> Done | None:
        """Write ``DONE.json`` if every chunk has a valid part; return its content or None."""
        if self.to_do():
            return None
        counts: Counter[str] = Counter()
        chunks = list(self.plan.chunks())
        for _, own in self.counts(chunks):
            counts.update(own)
        done = Done(self.identity, len(self.plan), len(chunks), dict(sorted(counts.items())))
        self.store.replace(DONE, canonical_json(done.to_json()).encode())
        return done

    def done(self) -> Done | None:
        """Return the content of ``DONE.json``, or None."""
        if not self.store.exists(DONE):
            return None
        return Done.parse(self.store.read(DONE), f"{self.store.uri}/{DONE}")

    def _done_names(self) -> set[str]:
        """Return the names of the parts, without suffix."""
        suffix = ".parquet"
        return {
            entry.name[len(PARTS) + 1 : -len(suffix)]
            for entry in self.store.entries(PARTS)
            if entry.name.endswith(suffix)
        }

    @contextmanager
    def _opened(self, chunk: Chunk) -> Iterator[tuple[Any, dict[str, int]]]:
        """Open a part, as a `ParquetFile` and its counts; a damaged one is a RunError."""
        import pyarrow

        try:
            with self.store.open(chunk.part) as file:
                yield open_part(file, self.identity, chunk.rows)
        except (OSError, ValueError, TypeError, pyarrow.ArrowException) as error:
            is_own = type(error) is ValueError
            raise RunError(
                f"a part cannot be used: {chunk.part}",
                received=error if is_own else "it is truncated or damaged",
                remedy=f"remove {self.store.uri}/{chunk.part} and run the same command again",
            ) from error

    def _read_counts(self, chunk: Chunk) -> dict[str, int]:
        with self._opened(chunk) as (_, counts):
            return counts

    def _check(self, values: Mapping[str, Any]) -> None:
        """Raise a UsageError if the stored identity is another one."""
        stored = self._stored()
        differing = [key for key in {**stored, **values} if stored.get(key) != values.get(key)]
        if differing:
            raise UsageError(
                f"{self.store.uri} is the output of another job",
                received="; ".join(
                    f"{key}: {_shown(values.get(key))}, stored: {_shown(stored.get(key))}"
                    for key in differing
                ),
                remedy="choose another output folder",
            )

    def _stored(self) -> dict[str, Any]:
        """Return the content of the identity document."""
        try:
            return dict(parse_json(self.store.read(self.document)))
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"{self.store.uri}/{self.document} cannot be read",
                received=error,
                remedy="choose another output folder",
            ) from error


def open_stored(store: Store, document: str) -> Ledger | None:
    """Return the ledger of a job that was begun, whatever its identity; None if there is none."""
    plan = read_plan(store)
    if plan is None or not store.exists(document):
        return None
    return Ledger(store, plan, None, document=document)


def _shown(value: object) -> str:
    return printable("nothing" if value is None else canonical_json(value), 80)
