"""Records what happened to each delivery of a result to a destination.

A delivery is ``waiting``, ``committing`` (stored; the archive has still to confirm it),
``delivered``, or ``parked`` or ``class-refused`` (a person has to act).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from plainfilm.pacs.database import Database

__all__ = ["NEEDED", "Deliveries", "DueDelivery", "needed_of"]

_LEAP = 4500.0  # seconds; no delivery is postponed longer; if it seems so, the clock was set back
_TRANSACTIONS = 48 * 33  # characters: hashes of an hourly request for two days
NEEDED = "state IN ('waiting', 'committing', 'parked', 'class-refused')"
"""Condition of the deliveries for which a result stays in the outbox."""


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery to be tried now: ``result`` is the key in the outbox, ``uid`` a `uid_key`."""

    id: int
    result: str
    kind: Literal["report", "capture"]
    attempts: int
    uid: str


class Deliveries(Database):
    """The deliveries in a ledger."""

    def due_deliveries(self, destination: str, now: float, most: int) -> list[DueDelivery]:
        """Return deliveries to a destination that are due, the longest due first."""
        with self._reading() as rows:
            found = rows.execute(
                "SELECT id, result, kind, attempts, uid FROM deliveries "
                "JOIN results ON results.key = result "
                "WHERE destination = ? AND state IN ('waiting', 'committing') "
                "AND (due <= ? OR due > ?) ORDER BY due, id LIMIT ?",
                (destination, now, now + _LEAP, most),
            )
            return [DueDelivery(*row) for row in found]

    def next_delivery(self, destination: str) -> float | None:
        """Return the Unix time at which the next delivery is due; None if there is none."""
        with self._reading() as rows:
            (due,) = rows.execute(
                "SELECT min(due) FROM deliveries "
                "WHERE destination = ? AND state IN ('waiting', 'committing')",
                (destination,),
            ).fetchone()
        return None if due is None else float(due)

    def delivered(self, id: int, *, status: str = "0000") -> bool:
        """Record a delivery; return True if no destination needs the result any more."""
        with self._writing() as rows:
            self._set(rows, id, "delivered", status)
            query = "SELECT result FROM deliveries WHERE id = ?"
            results = [result for (result,) in rows.execute(query, (id,))]
            return not needed_of(rows, results)

    def postpone(self, id: int, due: float, status: str) -> None:
        """Record a failed attempt; the next one is due at the Unix time ``due``.

        A delivery that was confirmed before stays delivered.
        """
        with self._writing() as rows:
            rows.execute(
                "UPDATE deliveries SET attempts = attempts + 1, due = ?, status = ?, "
                "state = 'waiting' WHERE id = ? AND state IN ('waiting', 'committing')",
                (due, status, id),
            )

    def park(self, id: int, status: str) -> None:
        """Record that a delivery waits for a person."""
        with self._writing() as rows:
            self._set(rows, id, "parked", status)

    def refuse_class(self, id: int, status: str) -> None:
        """Record that the destination does not take this kind of object."""
        with self._writing() as rows:
            self._set(rows, id, "class-refused", status)

    def park_others(self, destinations: Collection[str]) -> int:
        """Park deliveries to destinations that are not configured any more; return their number."""
        marks = ", ".join("?" * len(destinations))
        with self._writing() as rows:
            return rows.execute(
                "UPDATE deliveries SET state = 'parked', status = 'not-configured', since = ?, "
                "commitment = NULL WHERE state IN ('waiting', 'committing') "
                f"AND destination NOT IN ({marks})",
                (self._clock(), *destinations),
            ).rowcount

    def committing(self, id: int, transaction: str, *, due: float) -> None:
        """Record that a result is stored and the archive was asked to confirm it.

        Without a confirmation, it is sent again at the Unix time ``due``. Of the transaction's UID
        only a hash is recorded, with those of earlier ones: an archive may confirm a day later.
        """
        with self._writing() as rows:
            rows.execute(
                "UPDATE deliveries SET state = 'committing', due = ?, since = ?, "
                "commitment = substr(? || ' ' || coalesce(commitment, ''), 1, ?) "
                "WHERE id = ? AND state IN ('waiting', 'committing')",
                (due, self._clock(), _hash(transaction), _TRANSACTIONS, id),
            )

    def committed(
        self, transaction: str, uids_ok: Collection[str], uids_failed: Collection[str]
    ) -> list[str]:
        """Record a confirmation; return the keys of results that no destination needs any more.

        ``uids_ok`` are delivered; ``uids_failed`` are sent again, after 1 s at first and 5 minutes
        at last. Both are `uid_key` of results.
        """
        now = self._clock()
        with self._writing() as rows:
            asked = rows.execute(
                "SELECT id, result, uid FROM deliveries JOIN results ON results.key = result "
                "WHERE state = 'committing' AND commitment > '' AND instr(commitment, ?)",
                (_hash(transaction),),
            ).fetchall()
            done = []
            for id, result, uid in asked:
                if uid in uids_failed:
                    rows.execute(
                        "UPDATE deliveries SET state = 'waiting', attempts = attempts + 1, "
                        "due = ? + min(300, 1 << min(attempts, 9)), since = ?, "
                        "status = 'not-committed', commitment = NULL "
                        "WHERE id = ?",
                        (now, now, id),
                    )
                elif uid in uids_ok:
                    self._set(rows, id, "delivered", "0000")
                    done.append(result)
            needed = needed_of(rows, done)
            return [result for result in done if result not in needed]

    def needed_results(self, among: Collection[str] | None = None) -> set[str]:
        """Return the keys of all results, or of those given, that a destination still needs."""
        with self._reading() as rows:
            if among is not None:
                return needed_of(rows, among)
            query = f"SELECT DISTINCT result FROM deliveries WHERE {NEEDED}"
            return {result for (result,) in rows.execute(query)}

    def has_result(self, key: str) -> bool:
        """Return whether a result is recorded."""
        with self._reading() as rows:
            return bool(rows.execute("SELECT 1 FROM results WHERE key = ?", (key,)).fetchone())

    def lose_results(self, results: Collection[str]) -> int:
        """Record that results are missing in the outbox; return the number of their images.

        The images are lost then: if they are sent again, they are answered again.
        """
        keys = [(result,) for result in results]
        with self._writing() as rows:
            images = rows.executemany(
                "UPDATE images SET state = 'lost', outcome = 'result-lost', finished = ? "
                "WHERE state = 'answered' AND batch = (SELECT batch FROM results WHERE key = ?)",
                [(self._clock(), result) for result in results],
            ).rowcount
            rows.executemany("DELETE FROM deliveries WHERE result = ?", keys)
            rows.executemany("DELETE FROM results WHERE key = ?", keys)
        return max(0, images)

    def retry(self) -> int:
        """Make deliveries that are parked, refused or postponed due now; return their number."""
        now = self._clock()
        with self._writing() as rows:
            return rows.execute(
                "UPDATE deliveries SET state = 'waiting', attempts = 0, due = ?, since = ? "
                "WHERE state IN ('parked', 'class-refused') OR (state = 'waiting' AND due > ?)",
                (now, now, now),
            ).rowcount

    def _set(self, rows: sqlite3.Connection, id: int, state: str, status: str) -> None:
        """Set the state and the last status of a delivery."""
        rows.execute(
            "UPDATE deliveries SET state = ?, status = ?, since = ?, commitment = NULL "
            "WHERE id = ? AND state != 'delivered'",
            (state, status, self._clock(), id),
        )


def needed_of(rows: sqlite3.Connection, results: Collection[str]) -> set[str]:
    """Return those of the results that a destination still needs."""
    query = f"SELECT 1 FROM deliveries WHERE result = ? AND {NEEDED} LIMIT 1"
    return {result for result in results if rows.execute(query, (result,)).fetchone()}


def _hash(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:32]
