"""Records what happened to each image: received, answered, ignored or lost.

The ledger holds keys (hashes), states and times only, no patient data. Images wait in the state
``received``. Deliveries are in `plainfilm.pacs.ledger_deliveries`, failed fetches in
`plainfilm.pacs.ledger_fetches`, counts and the removal of finished rows in
`plainfilm.pacs.ledger_upkeep`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from plainfilm.pacs.ledger_deliveries import needed_of
from plainfilm.pacs.ledger_fetches import Fetches
from plainfilm.pacs.ledger_upkeep import Upkeep

__all__ = ["MOST_VERSIONS", "Ledger", "PendingImage", "ResultRow", "image_key", "uid_key"]

MOST_VERSIONS = 5
"""Most contents of one SOP Instance UID that are answered; later ones are ignored."""

_LONGEST = 6.0  # quiet times that an image waits for a study that gets more and more images


@dataclass(frozen=True, slots=True)
class PendingImage:
    """An image that waits for its result; ``received`` is a Unix time."""

    key: str
    uid: str
    sha256: str
    study: str
    received: float
    attempts: int


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A result in the outbox: its key there, the `uid_key` of its SOP Instance UID, its kind."""

    key: str
    uid: str
    kind: Literal["report", "capture"]


def uid_key(uid: str) -> str:
    """Return the hash that represents a UID in the ledger.

    Examples
    --------
    >>> uid_key("1.2.3")
    'c47f5b18b8a430e698b9fe15e51f6119'
    """
    return hashlib.sha256(uid.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def image_key(uid: str, sha256: str) -> str:
    """Return the key of an image from the hashes of its SOP Instance UID and its data set."""
    return hashlib.sha256(f"{uid} {sha256}".encode()).hexdigest()[:32]


class Ledger(Upkeep, Fetches):
    """The states of all images, results and deliveries of a state folder.

    See Also
    --------
    plainfilm.pacs.database.Database : Errors, threads and processes.
    """

    def known(self, uid: str, sha256: str) -> Literal["new", "duplicate", "own", "ignored"]:
        """Return whether an image would be new.

        Parameters
        ----------
        uid
            `uid_key` of its SOP Instance UID.
        sha256
            Hash of its data set.

        Returns
        -------
        str
            ``new``: to be answered, also if it was lost before. ``duplicate``: received before.
            ``own``: one of the results of this ledger. ``ignored``: other contents of the same UID
            were answered already, `MOST_VERSIONS` times.
        """
        with self._reading() as rows:
            same = rows.execute(
                "SELECT state FROM images WHERE uid = ? AND sha256 = ?", (uid, sha256)
            ).fetchone()
            if same is not None:
                (state,) = same
                return {"lost": "new", "ignored": "ignored"}.get(state, "duplicate")  # type: ignore[return-value]
            if rows.execute("SELECT 1 FROM results WHERE uid = ?", (uid,)).fetchone():
                return "own"
            (versions,) = rows.execute(
                "SELECT count(*) FROM images WHERE uid = ? AND state != 'ignored'", (uid,)
            ).fetchone()
            return "ignored" if versions >= MOST_VERSIONS else "new"

    def add_image(
        self, key: str, uid: str, sha256: str, study: str, *, ignored: bool = False
    ) -> bool:
        """Record an image that is in the spool; return False if it is recorded already.

        An image that was lost waits again.
        """
        state = "ignored" if ignored else "received"
        now = self._clock()
        with self._writing() as rows:
            return bool(
                rows.execute(
                    "INSERT INTO images (key, uid, sha256, study, state, received, finished) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid, sha256) DO UPDATE SET "
                    "state = excluded.state, received = excluded.received, finished = NULL, "
                    "outcome = NULL, attempts = 0, batch = NULL WHERE images.state = 'lost'",
                    (key, uid, sha256, study, state, now, now if ignored else None),
                ).rowcount
            )

    def has_image(self, key: str) -> bool:
        """Return whether an image is recorded and not lost."""
        with self._reading() as rows:
            found = rows.execute("SELECT state FROM images WHERE key = ?", (key,)).fetchone()
        return found is not None and found[0] != "lost"

    def waiting_images(self) -> dict[str, str]:
        """Return the hashes of the data sets of all images that wait, by key."""
        with self._reading() as rows:
            query = "SELECT key, sha256 FROM images WHERE state = 'received'"
            return dict(rows.execute(query).fetchall())

    def due_images(
        self, quiet: float, most: int, *, busy: Collection[str] = ()
    ) -> list[PendingImage]:
        """Return images of one study that is due: of the one whose image waits longest.

        Parameters
        ----------
        quiet
            Seconds without a new image after which a study is due. After six times as long, the
            images are due although more of them arrive.
        most
            Most images to return.
        busy
            Studies to leave out, because they are being answered.
        """
        now = self._clock()
        with self._reading() as rows:
            study = rows.execute(
                "SELECT study FROM images AS one INDEXED BY images_waiting "
                "WHERE state = 'received' AND study NOT IN (SELECT value FROM json_each(:busy)) "
                "AND (received <= :old OR NOT EXISTS (SELECT 1 FROM images "
                "INDEXED BY images_studies WHERE state = 'received' AND study = one.study "
                "AND received > :recent AND received <= :now)) ORDER BY received LIMIT 1",
                {
                    "busy": json.dumps(list(busy)),
                    "old": now - _LONGEST * quiet,
                    "recent": now - quiet,
                    "now": now,
                },
            ).fetchone()
            if study is None:
                return []
            found = rows.execute(
                "SELECT key, uid, sha256, study, received, attempts FROM images "
                "INDEXED BY images_studies WHERE state = 'received' AND study = ? "
                "ORDER BY received LIMIT ?",
                (*study, most),
            )
            return [PendingImage(*row) for row in found]

    def next_due(self, quiet: float, *, busy: Collection[str] = ()) -> float | None:
        """Return the Unix time at which the next study is due; None if no image waits.

        ``busy`` are studies to leave out.
        """
        with self._reading() as rows:
            if due := self.due_images(quiet, 1, busy=busy):
                return min(due[0].received + quiet, self._clock())
            (last,) = rows.execute(
                "SELECT min(due) FROM (SELECT min(max(received) + :quiet, min(received) + :long) "
                "AS due FROM images INDEXED BY images_studies WHERE state = 'received' "
                "AND study NOT IN (SELECT value FROM json_each(:busy)) GROUP BY study)",
                {"quiet": quiet, "long": _LONGEST * quiet, "busy": json.dumps(list(busy))},
            ).fetchone()
        return None if last is None else float(last)

    def begin(self, keys: Iterable[str]) -> None:
        """Count an attempt to answer images, before it is made."""
        with self._writing() as rows:
            rows.executemany(
                "UPDATE images SET attempts = attempts + 1 WHERE key = ?", [(key,) for key in keys]
            )

    def finish(
        self,
        outcomes: Mapping[str, str],
        results: Sequence[ResultRow],
        destinations: Sequence[str],
    ) -> list[str]:
        """Record in one step that images are answered and that their results wait for delivery.

        Parameters
        ----------
        outcomes
            For each key ``predicted``, the code of a refusal, or ``lost``.
        results
            Results in the outbox. One whose UID is recorded already is not delivered again.
        destinations
            Names of the destinations.

        Returns
        -------
        list of str
            Keys of results that were delivered before: the caller removes them from the outbox.
        """
        now = self._clock()
        batch = results[0].key if results else None
        known = []
        with self._writing() as rows:
            rows.executemany(
                "UPDATE images SET state = ?, outcome = ?, finished = ?, batch = ? "
                "WHERE key = ? AND state = 'received'",
                [
                    ("lost" if outcome == "lost" else "answered", outcome, now, batch, key)
                    for key, outcome in outcomes.items()
                ],
            )
            for result in results:
                added = rows.execute(
                    "INSERT OR IGNORE INTO results (key, uid, kind, created, batch) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (result.key, result.uid, result.kind, now, batch),
                ).rowcount
                if added:
                    rows.executemany(
                        "INSERT OR IGNORE INTO deliveries (result, destination, state, due, since) "
                        "VALUES (?, ?, 'waiting', ?, ?)",
                        [(result.key, destination, now, now) for destination in destinations],
                    )
                else:
                    known.append(result.key)
            needed = needed_of(rows, known)
            return [key for key in known if key not in needed]
