"""Runs the service with images that are fetched from an archive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
)

from plainfilm.errors import UsageError
from plainfilm.pacs.archive import Archive
from plainfilm.pacs.credentials import check_credentials
from plainfilm.pacs.polling import Poller, PollSettings
from plainfilm.pacs.service import Parts, run
from plainfilm.pacs.service_settings import PollOptions, ServiceSettings
from plainfilm.pacs.settings import (
    WebDestination,
    check_encryption,
    is_protected,
    parse_destination,
)
from plainfilm.pacs.tls import client_context
from plainfilm.pacs.web_get import WebReader

_LOOK_SECONDS = 0.2
_IMAGES = frozenset({ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation})
_CAPTURED = frozenset({SecondaryCaptureImageStorage})


def run_dicomweb(settings: ServiceSettings, options: PollOptions) -> int:
    """Poll an archive until SIGTERM or SIGINT, or once; return the exit status."""
    if options.url.partition("://")[0] not in ("http", "https"):
        raise UsageError(
            "images are fetched by DICOMweb only",
            received="--from without http:// or https://",
            remedy="write --from https://host/dicom-web; plainfilm listen receives by DICOM",
        )
    source = parse_destination(options.url)
    assert isinstance(source, WebDestination)
    if not (settings.plain or is_protected(source)):
        raise UsageError(
            "images would be fetched without encryption",
            received=f"--from {source.url}",
            remedy="write https://; or add --plain in a network that you trust",
        )
    check_encryption(settings.destinations, settings.tls, plain=settings.plain)
    if settings.credentials is not None:
        to = [one.url for one in settings.destinations if isinstance(one, WebDestination)]
        check_credentials(settings.credentials, [source.url, *to])
    return run(settings, lambda parts: PollingSource(parts, source.url, options))


class PollingSource:
    """Images of an archive, fetched in a thread.

    ``finished`` is set when the only round is over and its results were sent, or could not be
    sent; None if there are more rounds.
    """

    restarts = 0

    def __init__(self, parts: Parts, url: str, options: PollOptions) -> None:
        settings = parts.settings
        tls = None if settings.tls is None else client_context(settings.tls)
        self._reader = WebReader(url, credentials=settings.credentials, tls=tls)
        self._options, self._ledger, self._delivery = options, parts.ledger, parts.delivery
        self._poller = Poller(
            Archive(self._reader),
            parts.ledger,
            parts.spool,
            PollSettings(
                classes=_IMAGES | (_CAPTURED if settings.secondary_capture else set()),
                days=options.days,
                every=options.every,
                most_bytes=settings.limits.file,
            ),
            parts.log,
        )
        self.finished = threading.Event() if options.once else None
        self._succeeded = False
        self._thread = threading.Thread(target=self._run, name="poll", daemon=True)

    def start(self, wake: Callable[[], None]) -> None:
        """Start to poll."""
        self._poller.on_image = wake
        self._thread.start()

    def stop(self) -> None:
        """Stop; a request in progress is ended."""
        self._poller.stop.set()
        self._reader.abort()
        self._thread.join()

    def _run(self) -> None:
        if self.finished is None:
            self._poller.run()
            return
        try:
            complete = self._poller.poll() is None and not self._poller.archive.problems
            complete = complete and not self._poller.stop.is_set()
            while not self._poller.stop.wait(_LOOK_SECONDS):
                if self._ledger.is_idle(self._delivery.pausing()):
                    break
            self._succeeded = complete and self._ledger.is_done()
        finally:
            self.finished.set()

    @property
    def succeeded(self) -> bool:
        """Whether all was searched and fetched, and all results are delivered."""
        return self._succeeded

    @property
    def not_ready(self) -> str | None:
        """Code of the reason why no image can come, or None."""
        if not self._thread.is_alive():
            return "no-polling"
        return None if self._poller.failing is None else "archive-unavailable"

    @property
    def counts(self) -> Mapping[str, int]:
        """Images fetched, and attempts that failed."""
        return self._poller.counts

    @property
    def details(self) -> Mapping[str, object]:
        """What the log has about the start."""
        return {"days": self._options.days, "every": self._options.every}

    @property
    def sentence(self) -> str:
        """What a person reads at the start."""
        options = self._options
        how = "once" if options.once else f"every {options.every:g} seconds"
        days = "1 day" if options.days == 1 else f"{options.days} days"
        return f"Polling {options.url} {how} for radiographs of the last {days}."
