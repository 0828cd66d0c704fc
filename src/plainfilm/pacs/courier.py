"""The thread of one destination: sends what is due, and records each outcome.

After a failure one result is sent at a time, so that one that makes an archive fail is found and
waits longer and longer, while the others are delivered. After two failures in a row, or without a
connection, the destination as a whole waits.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from plainfilm.pacs.commitment import new_transaction
from plainfilm.pacs.delivery_report import DeliveryReport
from plainfilm.pacs.ledger import Ledger
from plainfilm.pacs.ledger_deliveries import DueDelivery
from plainfilm.pacs.outcomes import Committer, Outcome, Outgoing, Sender, Unavailable
from plainfilm.pacs.spool import Spool

_BATCH = 16
_MOST_REFUSALS = 3
_MOST_FAILURES = 2
_COMMIT_SECONDS = 3600.0
_LOST_SECONDS = 0.02  # so that many missing files do not keep other writers from the ledger
_LINGER = 1.0  # seconds that an association stays open without results
_LOOK_SECONDS = 2.0  # another process may make deliveries due


@dataclass(frozen=True, slots=True)
class Backoff:
    """Times between attempts: doubled each time, with a random part, in seconds."""

    first: float = 1.0
    longest: float = 300.0

    def seconds(self, failures: int) -> float:
        """Return the time to wait after so many failures."""
        wait = self.first * 2.0 ** min(max(failures - 1, 0), 20)
        return float(min(wait * random.uniform(1.0, 1.5), self.longest))


class Courier:
    """Delivers to one destination until ``stop`` is set.

    Attributes
    ----------
    name
        The destination.
    failures
        Failures in a row of the archive as a whole.
    woken
        Set it when there are new results.
    """

    def __init__(
        self,
        name: str,
        sender: Sender,
        ledger: Ledger,
        spool: Spool,
        report: DeliveryReport,
        *,
        stop: threading.Event,
        backoff: Backoff,
        committer: Committer | None = None,
    ) -> None:
        self.failures, self.woken = 0, threading.Event()
        self.name, self._sender, self._ledger, self._spool = name, sender, ledger, spool
        self._report, self._committer = report, committer
        self._stop, self._backoff = stop, backoff
        self._refusals: Counter[int] = Counter()
        self._pause = 0.0

    @property
    def pauses(self) -> bool:
        """Whether the destination as a whole waits after failures."""
        return self._pause > 0

    def run(self) -> None:
        """Deliver until the end; an error of a disk or a library delays, and loses nothing."""
        errors = 0
        while not self._stop.is_set():
            try:
                self._step()
                errors = 0
            except Exception as error:
                errors += 1
                self._report.error(error)
                self._pause = self._backoff.seconds(errors)
                self._stop.wait(self._pause)
                self._pause = 0.0
        self._sender.close()

    def _step(self) -> None:
        """Send what is due, or wait until something is."""
        self.woken.clear()
        most = 1 if self.failures else _BATCH
        if batch := self._ledger.due_deliveries(self.name, time.time(), most):
            self._pause = 0.0
            self._deliver(batch)
            if self._pause:
                self._sender.close()
                self._stop.wait(self._pause)
            return
        due = self._ledger.next_delivery(self.name)
        wait = _LOOK_SECONDS if due is None else min(max(due - time.time(), 0.05), _LOOK_SECONDS)
        if not self.woken.wait(min(wait, _LINGER)):
            self._sender.close()
            self.woken.wait(max(0.0, wait - _LINGER))

    def _deliver(self, batch: Sequence[DueDelivery]) -> None:
        """Send a batch, and record each outcome at once."""
        pending = {one.id: one for one in batch}
        stored: list[tuple[DueDelivery, Outgoing, Outcome]] = []
        outbox = self._spool.folder / "outbox"
        outgoing = [
            Outgoing(one.id, one.kind, outbox / f"{one.result}.dcm", one.uid) for one in batch
        ]
        try:
            for result, outcome in self._sender.send(outgoing):
                due = pending.pop(result.id)
                if self._committer is not None and outcome.verdict == "delivered":
                    stored.append((due, result, outcome))
                else:
                    self._record(due, outcome)
                    self._judge(outcome)
                if self._pause or self._stop.is_set():
                    break
        except Unavailable as error:
            self._postpone_all(list(pending.values()), error.outcome)
        except Exception as error:
            # Only the first one may be the cause; recording it lets the others be sent.
            self._report.error(error)
            self._sender.close()
            self._postpone_all(list(pending.values())[:1], Outcome("later", "error"))
        if stored and self._committer is not None:
            self._request_commitment(self._committer, stored)

    def _judge(self, outcome: Outcome) -> None:
        """Decide from the outcome of one result whether the archive as a whole has a problem."""
        if outcome.verdict in ("later", "misconfigured"):
            self.failures += 1
            if self.failures >= _MOST_FAILURES:
                self._pause = self._wait(self.failures, outcome)
            if self._pause or outcome.verdict == "misconfigured":
                self._report.unavailable(outcome)
        else:
            self.failures = 0
            self._report.available()

    def _postpone_all(self, pending: Sequence[DueDelivery], outcome: Outcome) -> None:
        """Record that the archive as a whole is unavailable."""
        self.failures += 1
        self._pause = self._wait(self.failures, outcome)
        self._report.unavailable(outcome)
        for due in pending:
            self._postpone(due, outcome, due.attempts + 1)

    def _wait(self, failures: int, outcome: Outcome) -> float:
        """Return the seconds until the next attempt."""
        wait = self._backoff.seconds(failures)
        if outcome.verdict == "misconfigured":
            wait = self._backoff.longest
        return max(wait, outcome.after)

    def _record(self, due: DueDelivery, outcome: Outcome) -> None:
        """Record the outcome of one result."""
        if outcome.verdict == "delivered":
            if self._ledger.delivered(due.id, status=outcome.status):
                self._spool.drop_result(due.result)
            self._report.delivered(due, outcome)
        elif outcome.verdict == "class-refused":
            self._ledger.refuse_class(due.id, outcome.status)
            self._report.class_refused(due, outcome)
        elif outcome.status == "file-missing":
            self._ledger.lose_results([due.result])
            self._report.lost(due, outcome)
            self._stop.wait(_LOST_SECONDS)
        elif outcome.verdict == "refused":
            self._refusals[due.id] += 1
            if self._refusals[due.id] < _MOST_REFUSALS and outcome.status != "file-damaged":
                self._postpone(due, outcome, self._refusals[due.id])
                return
            self._ledger.park(due.id, outcome.status)
            self._report.parked(due, outcome)
        else:
            self._postpone(due, outcome, due.attempts + 1)
            return
        self._refusals.pop(due.id, None)

    def _postpone(self, due: DueDelivery, outcome: Outcome, attempts: int) -> None:
        """Record that one result is sent again later."""
        wait = self._wait(attempts, outcome)
        self._ledger.postpone(due.id, time.time() + wait, outcome.status)
        self._report.postponed(due, outcome, wait)

    def _request_commitment(
        self, committer: Committer, stored: Sequence[tuple[DueDelivery, Outgoing, Outcome]]
    ) -> None:
        """Ask the archive to confirm; the ledger knows it first, because the report may be fast."""
        transaction, until = new_transaction(), time.time() + _COMMIT_SECONDS
        for due, _, outcome in stored:
            self._ledger.committing(due.id, transaction, due=until)
            self._report.stored(due, outcome)
        asked = committer.request_commitment([result for _, result, _ in stored], transaction)
        self._judge(asked)
        if asked.verdict == "delivered":
            return
        refused = asked.verdict == "class-refused"
        if refused:
            self._report.commitment_refused(asked)
        for due, _, outcome in stored:
            self._record(due, outcome if refused else replace(asked, status="not-committed"))
