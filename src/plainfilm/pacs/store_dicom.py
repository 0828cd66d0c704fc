"""Sends results to an archive by C-STORE."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Sequence

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
)

from plainfilm.pacs.association import ArchiveConnection
from plainfilm.pacs.commitment import Commitment
from plainfilm.pacs.messages import C_STORE
from plainfilm.pacs.outcomes import (
    DEFAULT_SECONDS,
    FileMeta,
    Outcome,
    Outgoing,
    StepSeconds,
    Unavailable,
    of_status,
    read_meta,
)
from plainfilm.pacs.settings import DicomDestination

_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_CLASSES = (Comprehensive3DSRStorage, SecondaryCaptureImageStorage)


def storage_contexts() -> list[PresentationContext]:
    """Return one context for each class and transfer syntax, so that the archive answers each."""
    return [build_context(one, [syntax]) for one in _CLASSES for syntax in _SYNTAXES]


class DicomSender:
    """Sends results over one association, which ``close`` releases.

    Parameters
    ----------
    destination
        The archive.
    title
        The own AE title.
    tls
        Certificates, for a destination with TLS.
    commitment
        Asks the archive to commit what it stored; None if it is not asked.
    seconds
        Time limits.
    """

    def __init__(
        self,
        destination: DicomDestination,
        title: str,
        *,
        tls: ssl.SSLContext | None = None,
        commitment: Commitment | None = None,
        seconds: StepSeconds = DEFAULT_SECONDS,
    ) -> None:
        # send_c_store then sends the bytes of a file unchanged, in pieces.
        _config.STORE_SEND_CHUNKED_DATASET = True
        _config.LOG_HANDLER_LEVEL = "none"  # else it formats each PDU
        self._commitment, contexts = commitment, storage_contexts()
        if commitment is not None:
            contexts.append(commitment.context())
        self._connection = ArchiveConnection(
            destination,
            title,
            contexts,
            tls=tls,
            seconds=seconds,
            handlers=[] if commitment is None else commitment.handlers(),
        )

    def send(self, results: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Outcome]]:
        """Yield the outcome of each result as soon as the archive answers."""
        for result in results:
            meta = read_meta(result)
            yield result, meta if isinstance(meta, Outcome) else self._send(result, meta)

    def _send(self, result: Outgoing, meta: FileMeta) -> Outcome:
        """Send one result."""
        sop_class, syntax = meta.sop_class, meta.syntax
        association = self._connection.prepare(meta.size)
        accepted = {
            (one.abstract_syntax, one.transfer_syntax[0]) for one in association.accepted_contexts
        }
        if (sop_class, syntax) in accepted:
            answer = self._store(association, result, meta.uid)
        elif syntax in _SYNTAXES and any((sop_class, one) in accepted for one in _SYNTAXES):
            answer = self._store(association, result, meta.uid, convert=True)
        else:
            return Outcome("class-refused", "no-context")
        return Outcome("later", "no-answer") if answer is None else of_status(answer)

    def _store(
        self, association: Association, result: Outgoing, uid: str, *, convert: bool = False
    ) -> int | None:
        """Return the status that the archive answers; None without a valid answer."""
        answers = self._connection.answers
        try:
            data = dcmread(result.path) if convert else result.path
            number = answers.expect(C_STORE, uid)
            status: int | None = association.send_c_store(data, number).get("Status")
        except (RuntimeError, ValueError):  # the association has ended
            status = None
        except BaseException:
            self._connection.abort()
            raise
        if status is None or answers.is_faulty:
            self._connection.abort()
            return None
        return status

    def request_commitment(self, results: Sequence[Outgoing], transaction: str) -> Outcome:
        """Ask the archive to commit the results."""
        assert self._commitment is not None
        with contextlib.suppress(Unavailable):
            association = self._connection.prepare(0)
            answers = self._connection.answers
            asked = self._commitment.request(association, results, transaction, answers)
            return Outcome("later", "no-answer") if answers.is_faulty else asked
        return Outcome("later", "no-connection")

    def close(self) -> None:
        """Release the association."""
        self._connection.close()
