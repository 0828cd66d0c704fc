"""Counts what is in a ledger, and removes what is finished."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from plainfilm.pacs.ledger_deliveries import NEEDED, Deliveries, needed_of

__all__ = ["DestinationSummary", "Purged", "Summary", "Upkeep"]

_CHUNK = 1000  # rows of one transaction, so that a running service does not wait


@dataclass(frozen=True, slots=True)
class DestinationSummary:
    """The deliveries to one destination.

    Attributes
    ----------
    name
        The destination, as given to the service.
    delivered
        Results that it has.
    warned
        Those of them that it stored with a warning, by its status.
    waiting
        Results to send, also those sent before without success.
    committing
        Results that it stored and has still to confirm.
    parked
        Results that it refused several times, by its last status.
    class_refused
        Results of a kind that it does not take, by its last status.
    failing
        Last status of the result that waits longest; None if nothing failed.
    oldest
        Unix time since which the oldest result waits; None if none waits.
    stopped
        Unix time of the first result that was parked or refused; None if there is none.
    """

    name: str
    delivered: int
    warned: Mapping[str, int]
    waiting: int
    committing: int
    parked: Mapping[str, int]
    class_refused: Mapping[str, int]
    failing: str | None
    oldest: float | None
    stopped: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in a ledger.

    Attributes
    ----------
    received
        Images that were received and not ignored.
    waiting
        Images that are not answered yet.
    predicted
        Images answered with a prediction.
    refused
        Images answered without a prediction, by reason.
    ignored
        Images that were not answered, because other contents of their UID were.
    lost
        Images that were acknowledged, but whose file, or that of their result, is missing or
        damaged. They are answered if they are sent again.
    oldest
        Unix time at which the image that waits longest was received; None if none waits.
    results
        Results that at least one destination still needs.
    destinations
        The deliveries by destination.
    fetches
        Failed fetches that are tried again, by their last reason; of plainfilm dicomweb.
    given_up
        Failed fetches that wait for a person, by their last reason.
    """

    received: int
    waiting: int
    predicted: int
    refused: Mapping[str, int]
    ignored: int
    lost: int
    oldest: float | None
    results: int
    destinations: tuple[DestinationSummary, ...]
    fetches: Mapping[str, int] = field(default_factory=dict)
    given_up: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Purged:
    """What `Upkeep.purge` removed; the caller removes ``unneeded`` from the outbox."""

    images: int
    results: int
    abandoned: int
    unneeded: tuple[str, ...]


class Upkeep(Deliveries):
    """Counts and removal of rows."""

    def summary(self) -> Summary:
        """Return the counts; a million rows take about a second."""
        with self._reading() as rows:
            rows.execute("BEGIN")  # all counts are of one moment
            try:
                return _summary(rows)
            finally:
                rows.execute("ROLLBACK")

    def purge(self, before: float, *, parked: bool = False) -> Purged:
        """Remove what was finished before a Unix time.

        Images that wait, and results that a destination needs, stay. With ``parked``, results that
        were parked or refused before that time are given up and removed, too, and so are fetches
        that were given up. An image whose row is removed is answered again if it is sent again.
        """
        abandoned, unneeded = self._abandon(before) if parked else (0, [])
        results = self._remove(
            "results",
            "created < ? AND NOT EXISTS "
            f"(SELECT 1 FROM deliveries WHERE result = key AND {NEEDED})",
            before,
        )
        images = self._remove(
            "images",
            "finished < ? AND state != 'received' "
            "AND (batch IS NULL OR batch NOT IN (SELECT batch FROM results))",
            before,
        )
        return Purged(images, results, abandoned, tuple(unneeded))

    def _abandon(self, before: float) -> tuple[int, list[str]]:
        """Remove stopped deliveries; return their number, and results that nothing needs then."""
        stopped = "state IN ('parked', 'class-refused') AND since < ?"
        with self._writing() as rows:
            found = rows.execute(f"SELECT result FROM deliveries WHERE {stopped}", (before,))
            results = [result for (result,) in found]
            rows.execute(f"DELETE FROM deliveries WHERE {stopped}", (before,))
            rows.execute("DELETE FROM fetches WHERE state = 'given-up' AND since < ?", (before,))
            needed = needed_of(rows, results)
        return len(results), list(set(results) - needed)

    def _remove(self, table: str, condition: str, before: float) -> int:
        """Remove rows and the deliveries of results, some at a time; return the number of rows."""
        last, count = "", 0
        while True:
            began = time.monotonic()
            with self._writing() as rows:
                found = rows.execute(
                    f"SELECT key FROM {table} WHERE {condition} AND key > ? ORDER BY key LIMIT ?",
                    (before, last, _CHUNK),
                ).fetchall()
                if table == "results":
                    rows.executemany("DELETE FROM deliveries WHERE result = ?", found)
                rows.executemany(f"DELETE FROM {table} WHERE key = ?", found)
            if not found:
                return count
            (last,) = found[-1]
            count += len(found)
            time.sleep(time.monotonic() - began)  # others look for the end of a transaction rarely


def _summary(rows: sqlite3.Connection) -> Summary:
    """Return the counts of all tables."""
    states: dict[str, int] = {}
    answers: dict[str, int] = {}
    for state, outcome, count in rows.execute(
        "SELECT state, outcome, count(*) FROM images GROUP BY state, outcome ORDER BY 3 DESC, 2"
    ):
        states[state] = states.get(state, 0) + count
        if state == "answered":
            answers[outcome] = count
    (oldest,) = rows.execute(
        "SELECT min(received) FROM images INDEXED BY images_waiting WHERE state = 'received'"
    ).fetchone()
    (results,) = rows.execute(
        f"SELECT count(DISTINCT result) FROM deliveries WHERE {NEEDED}"
    ).fetchone()
    ignored = states.get("ignored", 0)
    return Summary(
        received=sum(states.values()) - ignored,
        waiting=states.get("received", 0),
        predicted=answers.pop("predicted", 0),
        refused=answers,
        ignored=ignored,
        lost=states.get("lost", 0),
        oldest=oldest,
        results=results,
        destinations=tuple(_destinations(rows)),
        fetches=_fetches(rows, "waiting"),
        given_up=_fetches(rows, "given-up"),
    )


def _fetches(rows: sqlite3.Connection, state: str) -> dict[str, int]:
    """Return the failed fetches in a state, by reason."""
    query = "SELECT reason, count(*) FROM fetches WHERE state = ? GROUP BY 1 ORDER BY 2 DESC, 1"
    return dict(rows.execute(query, (state,)).fetchall())


def _destinations(rows: sqlite3.Connection) -> Iterator[DestinationSummary]:
    """Yield the deliveries by destination."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    since: dict[tuple[str, str], float] = {}
    for name, state, status, count, first in rows.execute(
        "SELECT destination, state, status, count(*), min(since) FROM deliveries "
        "GROUP BY destination, state, status ORDER BY destination, 4 DESC"
    ):
        counts.setdefault(name, {}).setdefault(state, {})[status or ""] = count
        since[name, state] = min(first, since.get((name, state), first))
    for name, states in counts.items():
        number = {state: sum(found.values()) for state, found in states.items()}
        oldest = rows.execute(
            "SELECT created, status FROM deliveries JOIN results ON results.key = result "
            "WHERE destination = ? AND state IN ('waiting', 'committing') "
            "ORDER BY created, id LIMIT 1",
            (name,),
        ).fetchone() or (None, None)
        stopped = [since[name, one] for one in ("parked", "class-refused") if one in states]
        yield DestinationSummary(
            name=name,
            delivered=number.get("delivered", 0),
            warned={
                status: count
                for status, count in states.get("delivered", {}).items()
                if status not in ("", "0000")
            },
            waiting=number.get("waiting", 0),
            committing=number.get("committing", 0),
            parked=states.get("parked", {}),
            class_refused=states.get("class-refused", {}),
            failing=oldest[1],
            oldest=oldest[0],
            stopped=min(stopped, default=None),
        )
