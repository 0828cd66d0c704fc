"""Asks archives to commit what they stored, and reads their reports (storage commitment).

The archive reports on an association that it opens, which the network process accepts, or at once
on the same association. A result stays in the outbox until its report. What an archive reports as
failed is sent again; so is what it does not report within an hour.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined, unused-ignore]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from plainfilm.pacs.answers import Answers
from plainfilm.pacs.ledger import Ledger
from plainfilm.pacs.messages import N_ACTION
from plainfilm.pacs.outcomes import Outcome, Outgoing, of_status, read_meta
from plainfilm.pacs.requests import PLAIN, Receiver
from plainfilm.pacs.spool import Spool

_REQUEST = 1  # the only action type of the class
_SAME_ASSOCIATION = 0.5  # seconds that a report on the same association is waited for
_UNSUPPORTED = (0x0112, 0x0118, 0x0122, 0x0123, 0x0211)


def new_transaction() -> str:
    """Return a UID that cannot be guessed."""
    return str(generate_uid(prefix=None))


class Commitment:
    """Storage commitment over the associations with one archive."""

    def __init__(self, ledger: Ledger, spool: Spool) -> None:
        self._receiver = Receiver(ledger, spool, lambda _: None)
        self._reported = threading.Event()

    def context(self) -> PresentationContext:
        """Return the context to propose."""
        return build_context(StorageCommitmentPushModel, PLAIN)

    def handlers(self) -> list[tuple[Any, ...]]:
        """Return the handlers of reports on the same association."""
        return [(evt.EVT_N_EVENT_REPORT, self._receive)]

    def _receive(self, event: Any) -> tuple[int, Dataset | None]:
        answer = self._receiver.commit(event)
        self._reported.set()
        return answer

    def request(
        self,
        association: Association,
        results: Sequence[Outgoing],
        transaction: str,
        answers: Answers,
    ) -> Outcome:
        """Send an N-ACTION; ``delivered`` means that a report will follow."""
        accepted = {one.abstract_syntax for one in association.accepted_contexts}
        if StorageCommitmentPushModel not in accepted:
            return Outcome("class-refused", "no-context")
        self._reported.clear()
        try:
            answer, _ = association.send_n_action(
                _information(results, transaction),
                _REQUEST,
                StorageCommitmentPushModel,
                StorageCommitmentPushModelInstance,
                answers.expect(N_ACTION, StorageCommitmentPushModelInstance),
            )
        except (RuntimeError, ValueError):  # the association has ended
            return Outcome("later", "no-answer")
        status = answer.get("Status")
        if status is None:
            return Outcome("later", "no-answer")
        if status in _UNSUPPORTED:
            return Outcome("class-refused", f"{status:04X}")
        if status == 0:
            self._reported.wait(_SAME_ASSOCIATION)
            return Outcome("delivered", "0000")
        return Outcome("later", of_status(status).status)


def _information(results: Sequence[Outgoing], transaction: str) -> Dataset:
    """Return the data set of a request."""
    items = []
    for result in results:
        meta = read_meta(result)
        if not isinstance(meta, Outcome):
            item = Dataset()
            item.ReferencedSOPClassUID = meta.sop_class
            item.ReferencedSOPInstanceUID = meta.uid
            items.append(item)
    information = Dataset()
    information.TransactionUID, information.ReferencedSOPSequence = transaction, items
    return information
