"""Records which instances of an archive could not be fetched, and when to try again."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from plainfilm.pacs.database import Database
from plainfilm.pacs.ledger_deliveries import NEEDED

__all__ = ["MOST_ATTEMPTS", "FailedFetch", "Fetches"]

MOST_ATTEMPTS = 5
"""Attempts to fetch an instance, after which it waits for a person."""

_PAUSE, _GROWTH, _LONGEST = 60.0, 4, 3600.0  # seconds between attempts, by attempt
_FORGOTTEN = 86_400.0


@dataclass(frozen=True, slots=True)
class FailedFetch:
    """An instance or series that could not be fetched.

    ``reason`` is a code. ``given_up`` is true if it is not tried again by itself.
    """

    uid: str
    reason: str
    attempts: int
    given_up: bool
    since: float


class Fetches(Database):
    """The fetches in a ledger; instances and series are named by `uid_key`."""

    def to_fetch(self, uids: Collection[str]) -> list[str]:
        """Return those that are not recorded, and whose failed fetch, if any, is due again."""
        return self._unknown(uids, "state = 'given-up' OR (due > :now AND due <= :now + :longest)")

    def unfetched(self, uids: Collection[str]) -> list[str]:
        """Return those that are not recorded, whether or not a fetch of them failed."""
        return self._unknown(uids, "0")

    def _unknown(self, uids: Collection[str], waiting: str) -> list[str]:
        values = {"uids": json.dumps(list(uids)), "now": self._clock(), "longest": _LONGEST}
        with self._reading() as rows:
            found = rows.execute(
                "SELECT value FROM json_each(:uids) "
                "WHERE NOT EXISTS (SELECT 1 FROM images WHERE uid = value AND state != 'lost') "
                "AND NOT EXISTS (SELECT 1 FROM results WHERE uid = value) "
                f"AND NOT EXISTS (SELECT 1 FROM fetches WHERE uid = value AND ({waiting}))",
                values,
            )
            return [uid for (uid,) in found]

    def fetch_failed(self, uid: str, reason: str) -> FailedFetch:
        """Count a failed attempt; the pause before the next one grows."""
        now = self._clock()
        with self._writing() as rows:
            rows.execute(
                "INSERT INTO fetches (uid, state, attempts, due, reason, since) "
                "VALUES (?, 'waiting', 0, 0, '', ?) ON CONFLICT (uid) DO NOTHING",
                (uid, now),
            )
            query = "SELECT attempts, since FROM fetches WHERE uid = ?"
            attempts, since = rows.execute(query, (uid,)).fetchone()
            attempts += 1
            state = "given-up" if attempts >= MOST_ATTEMPTS else "waiting"
            due = now + min(_LONGEST, _PAUSE * _GROWTH ** (attempts - 1))
            rows.execute(
                "UPDATE fetches SET state = ?, attempts = ?, due = ?, reason = ? WHERE uid = ?",
                (state, attempts, due, reason, uid),
            )
        return FailedFetch(uid, reason, attempts, state == "given-up", since)

    def fetched(self, uid: str) -> None:
        """Forget the failed attempts of an instance or series."""
        with self._writing() as rows:
            rows.execute("DELETE FROM fetches WHERE uid = ?", (uid,))

    def forget_old_fetches(self) -> int:
        """Forget failed fetches that were due a day ago: the archive no longer lists them."""
        with self._writing() as rows:
            return rows.execute(
                "DELETE FROM fetches WHERE state = 'waiting' AND due < ?",
                (self._clock() - _FORGOTTEN,),
            ).rowcount

    def failed_fetches(self) -> list[FailedFetch]:
        """Return what could not be fetched, the oldest first."""
        query = "SELECT uid, reason, attempts, state, since FROM fetches ORDER BY since, uid"
        with self._reading() as rows:
            return [
                FailedFetch(uid, reason, attempts, state == "given-up", since)
                for uid, reason, attempts, state, since in rows.execute(query)
            ]

    def retry_fetches(self) -> int:
        """Make the next attempt of everything that was given up due now; return the number."""
        with self._writing() as rows:
            return rows.execute("DELETE FROM fetches WHERE state = 'given-up'").rowcount

    def is_idle(self, pausing: Collection[str] = ()) -> bool:
        """Return whether no image waits, and every delivery to other destinations was tried."""
        with self._reading() as rows:
            (busy,) = rows.execute(
                "SELECT EXISTS (SELECT 1 FROM images WHERE state = 'received') OR EXISTS "
                "(SELECT 1 FROM deliveries INDEXED BY deliveries_due "
                "WHERE state IN ('waiting', 'committing') AND state = 'waiting' AND attempts = 0 "
                "AND destination NOT IN (SELECT value FROM json_each(?)))",
                (json.dumps(list(pausing)),),
            ).fetchone()
        return not busy

    def is_done(self) -> bool:
        """Return whether all images are answered, delivered everywhere, and none failed to come."""
        with self._reading() as rows:
            (undone,) = rows.execute(
                "SELECT EXISTS (SELECT 1 FROM images WHERE state IN ('received', 'lost')) "
                f"OR EXISTS (SELECT 1 FROM deliveries WHERE {NEEDED}) "
                "OR EXISTS (SELECT 1 FROM fetches)"
            ).fetchone()
        return not undone
