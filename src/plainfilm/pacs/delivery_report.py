"""Writes log lines and metrics of the deliveries to one destination.

Lines and labels have the number of the destination, codes, and the first digits of keys.
"""

from __future__ import annotations

from plainfilm.inference.log import Log
from plainfilm.inference.prometheus import Count
from plainfilm.pacs.ledger_deliveries import DueDelivery
from plainfilm.pacs.outcomes import Outcome

OUTCOMES = ("delivered", "warning", "stored", "postponed", "parked", "class-refused", "lost")
"""Outcomes in the counter of deliveries; ``stored`` is delivered if the archive confirms it."""

_RETRY = "remove the cause, then run plainfilm pacs retry with the state folder"
_REMEDIES = {
    "tls": "compare the certificates, their authority and the host name with those of the archive",
    "credentials": "write USER:PASSWORD or a bearer token into the file of --credentials",
    "association-rejected": "register the own AE title in the archive, and check the archive's own",
    "no-class-accepted": "allow Comprehensive 3D SR and Secondary Capture from the own AE title",
    "unconfirmed": "check the URL: the response does not name the stored instances",
    "http-401": "check the file of --credentials",
    "http-403": "allow these credentials to store in the archive",
    "http-404": "check the URL of the DICOMweb service, to which /studies is added",
}
_REMEDY = "check the address of the destination and the configuration of the archive"


class DeliveryReport:
    """Log lines and counters of one destination.

    What concerns the archive as a whole is written when it changes, not at each attempt.
    """

    def __init__(self, number: int, log: Log, deliveries: Count) -> None:
        self.number, self._log, self._deliveries = number, log, deliveries
        self._latest: dict[str, str] = {}
        for kind in ("report", "capture"):
            for outcome in OUTCOMES:
                deliveries.add(str(number), kind, outcome, count=0)

    def error(self, error: Exception) -> None:
        """Write that a disk or a library failed."""
        self._write("delivery-error", error=type(error).__name__)

    def unavailable(self, outcome: Outcome) -> None:
        """Write that an archive fails, or fails in another way."""
        fields = {}
        if outcome.verdict == "misconfigured":
            fields["remedy"] = _REMEDIES.get(outcome.status, _REMEDY)
        consequence = "results wait in the outbox"
        self._change("archive", "archive-unavailable", outcome.status, consequence, **fields)

    def available(self) -> None:
        """Write that an archive works again."""
        if self._latest.pop("archive", None):
            self._write("archive-available")

    def delivered(self, due: DueDelivery, outcome: Outcome) -> None:
        """Write that an archive has stored a result."""
        self._latest.pop(due.kind, None)
        self._one(due, outcome, "warning" if outcome.warned else "delivered")

    def stored(self, due: DueDelivery, outcome: Outcome) -> None:
        """Write that an archive has stored a result and is asked to confirm it."""
        self._one(due, outcome, "stored")

    def postponed(self, due: DueDelivery, outcome: Outcome, seconds: float) -> None:
        """Write that a result is sent again."""
        self._one(due, outcome, "postponed", seconds=round(seconds, 1))

    def parked(self, due: DueDelivery, outcome: Outcome) -> None:
        """Write that a result waits for a person."""
        self._one(due, outcome, "parked", remedy=_RETRY)

    def lost(self, due: DueDelivery, outcome: Outcome) -> None:
        """Write that a result is not in the outbox."""
        consequence, remedy = "the archive does not get this result", "send its images again"
        self._one(due, outcome, "lost", consequence=consequence, remedy=remedy)

    def class_refused(self, due: DueDelivery, outcome: Outcome) -> None:
        """Write that an archive refuses a kind of results."""
        name = "structured reports" if due.kind == "report" else "Secondary Capture images"
        self._change(
            due.kind,
            "class-refused",
            outcome.status,
            consequence=f"the archive gets no {name}; they wait in the outbox",
            remedy=f"allow the storage class in the archive; {_RETRY}",
        )
        self._one(due, outcome, "class-refused")

    def commitment_refused(self, outcome: Outcome) -> None:
        """Write that an archive does not confirm what it has stored."""
        self._change(
            "commitment",
            "commitment-refused",
            outcome.status,
            consequence="results count as delivered when the archive has stored them",
            remedy="allow Storage Commitment in the archive, or omit --commit",
        )

    def _change(self, about: str, event: str, status: str, consequence: str, **fields: str) -> None:
        """Write a line, unless the latest one about the same has the same status."""
        if self._latest.get(about) != status:
            self._latest[about] = status
            self._write(event, status=status, consequence=consequence, **fields)

    def _one(self, due: DueDelivery, outcome: Outcome, name: str, **fields: object) -> None:
        """Count and log the outcome of one result."""
        self._deliveries.add(str(self.number), due.kind, name)
        key, status = due.result[:12], outcome.status
        self._write("delivery", outcome=name, result=key, kind=due.kind, status=status, **fields)

    def _write(self, event: str, **fields: object) -> None:
        """Write a line about this destination."""
        self._log.write(event, destination=self.number, **fields)
