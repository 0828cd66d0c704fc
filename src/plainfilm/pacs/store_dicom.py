"""Sends results to an archive by C-STORE."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Sequence

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined, unused-ignore]
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
)

from plainfilm.pacs.association import ArchiveConnection
from plainfilm.pacs.commitment import Commitment
from plainfilm.pacs.outcomes import (
    DEFAULT_SECONDS,
    Outcome,
    Outgoing,
    StepSeconds,
    Unavailable,
    of_status,
)
from plainfilm.pacs.settings import DicomDestination

_UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_COMPRESSED = (JPEGBaseline8Bit, JPEGLosslessSV1, JPEG2000Lossless, RLELossless)


def storage_contexts() -> list[PresentationContext]:
    """Return one context for each class and transfer syntax, so that the archive answers each."""
    syntaxes = {
        Comprehensive3DSRStorage: _UNCOMPRESSED,
        SecondaryCaptureImageStorage: (*_UNCOMPRESSED, *_COMPRESSED),
    }
    return [build_context(sop, [one]) for sop, several in syntaxes.items() for one in several]


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
            try:
                yield result, self._send(result)
            except FileNotFoundError:
                yield result, Outcome("refused", "file-missing")
            except (InvalidDicomError, AttributeError):
                yield result, Outcome("refused", "file-damaged")

    def _send(self, result: Outgoing) -> Outcome:
        """Send one result."""
        meta = read_file_meta_info(result.path)
        sop_class, syntax = UID(meta.MediaStorageSOPClassUID), UID(meta.TransferSyntaxUID)
        self._connection.prepare(result.path.stat().st_size)
        association = self._connection.open()
        accepted = {
            (one.abstract_syntax, one.transfer_syntax[0]) for one in association.accepted_contexts
        }
        if (sop_class, syntax) in accepted:
            answer = self._store(association, result)
        elif syntax in _UNCOMPRESSED and any((sop_class, one) in accepted for one in _UNCOMPRESSED):
            answer = self._store(association, result, convert=True)
        else:
            return Outcome("class-refused", "no-context")
        return Outcome("later", "no-answer") if answer is None else of_status(answer)

    def _store(
        self, association: Association, result: Outgoing, *, convert: bool = False
    ) -> int | None:
        """Return the status that the archive answers; None without a valid answer."""
        try:
            data = dcmread(result.path) if convert else result.path
            status: int | None = association.send_c_store(data).get("Status")
        except (RuntimeError, ValueError):  # the association has ended
            status = None
        except BaseException:
            self._connection.abort()
            raise
        if status is None:
            self._connection.abort()
        return status

    def request_commitment(self, results: Sequence[Outgoing], transaction: str) -> Outcome:
        """Ask the archive to commit the results."""
        assert self._commitment is not None
        with contextlib.suppress(Unavailable):
            self._connection.prepare(0)
            return self._commitment.request(self._connection.open(), results, transaction)
        return Outcome("later", "no-connection")

    def close(self) -> None:
        """Release the association."""
        self._connection.close()
