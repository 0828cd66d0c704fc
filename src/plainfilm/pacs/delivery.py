"""Delivers results from the outbox to every archive, and loses none.

Each destination has its own thread. What an archive answered is committed to the ledger before a
file is removed, so that a result may be sent twice after a power failure, with the same UID, and is
never missing. A result that an archive refuses does not hold the others back.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plainfilm.errors import UsageError
from plainfilm.inference.log import Log
from plainfilm.inference.prometheus import Count
from plainfilm.pacs.commitment import Commitment
from plainfilm.pacs.courier import Backoff, Courier
from plainfilm.pacs.delivery_report import DeliveryReport
from plainfilm.pacs.ledger import Ledger
from plainfilm.pacs.outcomes import DEFAULT_SECONDS, Committer, Sender, StepSeconds
from plainfilm.pacs.settings import Destination, DicomDestination, TlsFiles, WebDestination
from plainfilm.pacs.spool import Spool
from plainfilm.pacs.store_dicom import DicomSender
from plainfilm.pacs.store_web import WebSender
from plainfilm.pacs.tls import client_context

_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """Settings of the delivery.

    Attributes
    ----------
    title
        The own AE title.
    tls
        Certificates. Without them, ``https`` trusts the authorities of the system.
    credentials
        File with the credentials of DICOMweb destinations.
    commit
        Whether archives are asked, after C-STORE, to confirm the storage of results. A DICOMweb
        destination confirms it in its response.
    seconds, backoff
        Time limits, and the time between attempts.
    """

    title: str
    tls: TlsFiles | None = None
    credentials: Path | None = None
    commit: bool = False
    seconds: StepSeconds = DEFAULT_SECONDS
    backoff: Backoff = field(default_factory=Backoff)


class Delivery:
    """Sends every result to every destination.

    Parameters
    ----------
    ledger, spool
        State folder.
    destinations
        The archives; logs and metrics have their number, from 1.
    settings
        Settings.
    log
        Gets one line for each result and for each change of an archive.
    deliveries
        Counter with the labels ``destination``, ``kind`` and ``outcome``.

    Raises
    ------
    UsageError
        If certificates cannot be used, or no destination can commit.
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        destinations: Sequence[Destination],
        settings: DeliverySettings,
        log: Log,
        deliveries: Count,
    ) -> None:
        urls = [one.url for one in destinations if isinstance(one, WebDestination)]
        if settings.commit and len(urls) == len(destinations):
            raise UsageError(
                "storage commitment is a service of archives that are sent to by C-STORE",
                received="DICOMweb destinations only, which confirm each result at once",
                remedy="omit --commit",
            )
        self._stop = threading.Event()
        self._couriers = []
        for number, destination in enumerate(destinations, 1):
            sender, committer = _make_sender(destination, settings, ledger, spool)
            report = DeliveryReport(number, log, deliveries)
            self._couriers.append(
                Courier(
                    destination.name,
                    sender,
                    ledger,
                    spool,
                    report,
                    stop=self._stop,
                    backoff=settings.backoff,
                    committer=committer,
                )
            )

    def wake(self) -> None:
        """Look for new results now."""
        for courier in self._couriers:
            courier.woken.set()

    def unavailable(self) -> tuple[int, ...]:
        """Return the numbers of the destinations whose latest attempt failed."""
        return tuple(number for number, one in enumerate(self._couriers, 1) if one.failures)

    def pausing(self) -> list[str]:
        """Return the names of the destinations that wait as a whole after failures."""
        return [one.name for one in self._couriers if one.pauses]

    def run(self, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set; what is being sent then may be sent again later."""
        threads = [
            threading.Thread(target=courier.run, name=f"delivery-{number}", daemon=True)
            for number, courier in enumerate(self._couriers, 1)
        ]
        for thread in threads:
            thread.start()
        stop.wait()
        self._stop.set()
        self.wake()
        end = time.monotonic() + _STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))


def _make_sender(
    destination: Destination, settings: DeliverySettings, ledger: Ledger, spool: Spool
) -> tuple[Sender, Committer | None]:
    """Return what sends to a destination, and whether it asks for storage commitment."""
    context = None if settings.tls is None else client_context(settings.tls)
    if isinstance(destination, DicomDestination):
        commitment = Commitment(ledger, spool) if settings.commit else None
        sender = DicomSender(
            destination,
            settings.title,
            tls=context if destination.tls else None,
            commitment=commitment,
            seconds=settings.seconds,
        )
        return sender, None if commitment is None else sender
    return (
        WebSender(
            destination,
            tls=context or ssl.create_default_context(),
            credentials=settings.credentials,
            seconds=settings.seconds,
        ),
        None,
    )
