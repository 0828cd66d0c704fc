"""Handles the requests of DICOM peers: C-ECHO, C-STORE and reports of storage commitment."""

from __future__ import annotations

from collections.abc import Callable

from pydicom.dataset import Dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
    StorageCommitmentPushModel,
    Verification,
)

from plainfilm.errors import StorageError
from plainfilm.pacs.acceptance import accept, file_head
from plainfilm.pacs.identifiers import is_uid, read_identifiers
from plainfilm.pacs.ledger import Ledger, uid_key
from plainfilm.pacs.messages import LONGEST_REPORT
from plainfilm.pacs.signature import MODEL_NAME
from plainfilm.pacs.spool import Spool

_REPORTS = (1, 2)  # event types: everything was stored, or something failed
_NO_SUCH_EVENT = 0x0113
SUCCESS, NO_RESOURCES, MISMATCH, UNREADABLE = 0x0000, 0xA700, 0xA900, 0xC000
NOT_SUPPORTED, PROCESSING_FAILURE = 0x0122, 0x0110

SYNTAXES: tuple[UID, ...] = (
    *(ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian),
    *(ExplicitVRBigEndian, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1),
    *(JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless, JPEG2000, RLELossless),
    *(HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K),
)
"""Transfer syntaxes that the decoders read."""

PLAIN = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]
"""Transfer syntaxes of what pynetdicom decodes itself: a few bytes never become many."""

IMAGES = frozenset({ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation})
RESULTS = frozenset({Comprehensive3DSRStorage, SecondaryCaptureImageStorage})
"""Classes of our results. An archive may send them back; they are accepted and dropped."""


class Receiver:
    """Handles the requests of peers.

    Parameters
    ----------
    ledger, spool
        Those of the state folder.
    count
        Called with the name of each outcome.
    secondary_capture
        Whether Secondary Capture images are accepted in addition to CR and DX.
    commitments
        Whether reports of storage commitment are accepted.
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        count: Callable[[str], None],
        *,
        secondary_capture: bool = False,
        commitments: bool = False,
    ) -> None:
        self._ledger, self._spool, self._count = ledger, spool, count
        self._commitments = commitments
        self._classes = IMAGES | ({SecondaryCaptureImageStorage} if secondary_capture else set())

    def contexts(self) -> list[PresentationContext]:
        """Return the presentation contexts that are accepted."""
        classes = sorted(self._classes | RESULTS)
        found = [build_context(one, list(SYNTAXES)) for one in classes]
        found.append(build_context(Verification, PLAIN))
        if self._commitments:
            found.append(build_context(StorageCommitmentPushModel, PLAIN))
            found[-1].scu_role = found[-1].scp_role = True  # the archive is the SCP
        return found

    def echo(self, _: evt.Event) -> int:
        """Return the status of a C-ECHO."""
        self._count("echoes")
        return SUCCESS

    def store(self, event: evt.Event) -> int:
        """Return the status of a C-STORE: a success after the image is stored durably."""
        try:
            with event.request.DataSet.getbuffer() as body:
                status, outcome = self._store(event, body)
        except (OSError, StorageError, MemoryError):
            status, outcome = NO_RESOURCES, "no_resources"
        except Exception:
            status, outcome = UNREADABLE, "unreadable"
        self._count(outcome)
        return status

    def _store(self, event: evt.Event, body: memoryview) -> tuple[int, str]:
        """Return the status and the name of the outcome."""
        sop_uid, sop_class = (
            str(event.request.AffectedSOPInstanceUID),
            str(event.request.AffectedSOPClassUID),
        )
        syntax = str(event.context.transfer_syntax)
        found = read_identifiers(body, syntax)
        if (
            (found.sop_uid, found.sop_class) != (sop_uid, sop_class)
            or sop_class != event.context.abstract_syntax
            or not (is_uid(sop_uid) and is_uid(found.study_uid))
        ):
            return MISMATCH, "mismatched"
        if sop_class in RESULTS and found.model == MODEL_NAME:
            return SUCCESS, "own"
        if sop_class not in self._classes:
            return NOT_SUPPORTED, "unsupported"
        head = file_head(sop_class, sop_uid, syntax)
        return SUCCESS, accept(self._ledger, self._spool, sop_uid, found.study_uid, head, body)

    def commit(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Record which results the archive has committed to store."""
        try:
            if event.context.abstract_syntax != StorageCommitmentPushModel:
                raise ValueError  # it may be deflated
            if event.request.EventInformation.getbuffer().nbytes > LONGEST_REPORT:
                raise ValueError
            if event.event_type not in _REPORTS:
                return _NO_SUCH_EVENT, None
            information = event.event_information
            transaction = str(information.TransactionUID)
            stored = _references(information, "ReferencedSOPSequence")
            failed = _references(information, "FailedSOPSequence")
        except Exception:
            self._count("unreadable")
            return PROCESSING_FAILURE, None
        try:
            for key in self._ledger.committed(transaction, stored, failed):
                self._spool.drop_result(key)
        except (OSError, StorageError):
            self._count("no_resources")
            return PROCESSING_FAILURE, None
        self._count("commitments")
        return SUCCESS, None


def _references(information: Dataset, keyword: str) -> set[str]:
    """Return the hashes of the instances in a sequence."""
    return {uid_key(str(item.ReferencedSOPInstanceUID)) for item in information.get(keyword) or ()}
