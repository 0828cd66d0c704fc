"""Results on their way to an archive, and the outcome of each attempt.

An archive answers a status; the verdict is what the delivery does next. No text of the archive is
kept, because it may quote what it was sent.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydicom import Dataset
from pydicom.filereader import read_file_meta_info

from plainfilm.pacs.ledger import uid_key

_SLOWEST = 16 << 10  # bytes per second

Verdict = Literal["delivered", "later", "misconfigured", "refused", "class-refused"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A result in the outbox.

    Attributes
    ----------
    id
        Row of the ledger.
    kind
        ``report`` or ``capture``.
    path
        Complete DICOM file.
    uid
        `plainfilm.pacs.ledger.uid_key` of its SOP Instance UID; None if it is not known.
    """

    id: int
    kind: str
    path: Path
    uid: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one attempt to send one result.

    Attributes
    ----------
    verdict
        ``delivered``; ``later``: it is sent again; ``misconfigured``: the same, and an
        administrator has to act; ``refused``: the archive rejects this result;
        ``class-refused``: the archive rejects all results of this kind.
    status
        DIMSE status as 4 hexadecimal digits, or a code in kebab case.
    after
        Seconds that the archive asks to wait.
    """

    verdict: Verdict
    status: str
    after: float = 0.0

    @property
    def warned(self) -> bool:
        """Whether the archive stored the result with a warning."""
        return self.verdict == "delivered" and self.status != "0000"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSeconds:
    """Time limits.

    Attributes
    ----------
    connect
        Opening a connection, and the TLS handshake.
    negotiate
        Opening and releasing an association.
    answer
        Each read and write, and the answer after the archive received everything.
    """

    connect: float = 15.0
    negotiate: float = 20.0
    answer: float = 60.0

    def exchange(self, size: int) -> float:
        """Return the limit for sending ``size`` bytes and receiving the answer."""
        return self.answer + size / _SLOWEST


DEFAULT_SECONDS = StepSeconds()


class Unavailable(Exception):
    """The archive as a whole cannot be reached, or accepts nothing now."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.status)


class Sender(Protocol):
    """Sends results to one archive."""

    def send(self, results: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Outcome]]:
        """Yield the outcome of each result at once; may raise Unavailable."""
        ...

    def close(self) -> None:
        """End the association or connection."""
        ...


class Committer(Protocol):
    """Asks an archive to confirm that it has stored results."""

    def request_commitment(self, results: Sequence[Outgoing], transaction: str) -> Outcome:
        """Return ``delivered`` if a report will follow, or ``class-refused``."""
        ...


@dataclass(frozen=True, slots=True)
class FileMeta:
    """UIDs of a result's file, and its size in bytes."""

    uid: str
    sop_class: str
    syntax: str
    size: int


def read_meta(result: Outgoing) -> FileMeta | Outcome:
    """Return the UIDs of a result's file, or why it cannot be sent: also a link or another file."""
    try:
        found = result.path.lstat()
        meta = read_file_meta_info(result.path) if stat.S_ISREG(found.st_mode) else Dataset()
        uid = str(meta.MediaStorageSOPInstanceUID)
        if result.uid not in (None, uid_key(uid)):
            return Outcome("refused", "file-damaged")
        return FileMeta(
            uid, str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID), found.st_size
        )
    except FileNotFoundError:
        return Outcome("refused", "file-missing")
    except OSError:
        return Outcome("later", "file-not-readable")
    except Exception:  # damage may break any step of reading
        return Outcome("refused", "file-damaged")


_CLASS_NOT_SUPPORTED = 0x0122
_NOT_AUTHORISED = 0x0124
_DUPLICATE = 0x0111  # the UID of a result is a hash of its content: the archive has it already
_TEMPORARY = (0x0110, 0x0213)  # processing failure, resource limitation
_WARNINGS = (0x0001, 0x0107, 0x0116)


def of_status(status: int) -> Outcome:
    """Return the outcome of a DIMSE status or of a failure reason of STOW-RS."""
    verdict: Verdict = "refused"
    if status in (0, _DUPLICATE, *_WARNINGS) or 0xB000 <= status <= 0xBFFF:
        verdict = "delivered"
    elif 0xA700 <= status <= 0xA7FF or status in _TEMPORARY:
        verdict = "later"
    elif status == _CLASS_NOT_SUPPORTED:
        verdict = "class-refused"
    elif status == _NOT_AUTHORISED:
        verdict = "misconfigured"
    return Outcome(verdict, f"{status:04X}")
