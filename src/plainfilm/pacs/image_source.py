"""The sources of images: the network process, or an archive that is polled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from plainfilm.inference.addresses import is_loopback
from plainfilm.inference.log import Log
from plainfilm.pacs.receiver_process import ReceiverProcess
from plainfilm.pacs.settings import ListenSettings


class ImageSource(Protocol):
    """Puts images into the spool, in a thread or process of its own."""

    def start(self, wake: Callable[[], None]) -> None:
        """Start; ``wake`` is called in any thread after images have come."""

    def stop(self) -> None:
        """Stop; return when no further image comes."""

    @property
    def not_ready(self) -> str | None:
        """Code of the reason why no image can come, or None."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Events since the start, by name."""

    @property
    def restarts(self) -> int:
        """How often its process was started again."""

    @property
    def details(self) -> Mapping[str, object]:
        """What the log has about the start."""

    @property
    def sentence(self) -> str:
        """What a person reads at the start."""

    @property
    def finished(self) -> threading.Event | None:
        """Event after which no more images come; None if there is no end."""

    @property
    def succeeded(self) -> bool:
        """Whether it is finished, and all its images have results that were delivered."""


class NetworkSource:
    """Images that peers send by C-STORE."""

    finished: threading.Event | None = None
    succeeded = False

    def __init__(self, settings: ListenSettings, log: Log, inherited: Sequence[int]) -> None:
        self._settings = settings
        self._wake: Callable[[], None] = lambda: None
        self._process = ReceiverProcess(settings, self._call, log, inherited=inherited)

    def _call(self) -> None:
        self._wake()

    def start(self, wake: Callable[[], None]) -> None:
        """Start the network process."""
        self._wake = wake
        self._process.start()

    def stop(self) -> None:
        """Stop the network process."""
        self._process.stop()

    @property
    def not_ready(self) -> str | None:
        """Code of the reason why no image can come, or None."""
        return None if self._process.is_up else "no-receiver"

    @property
    def counts(self) -> Mapping[str, int]:
        """Events of the network, by name."""
        return self._process.counts

    @property
    def restarts(self) -> int:
        """How often the network process was started again."""
        return self._process.restarts

    @property
    def details(self) -> Mapping[str, object]:
        """What the log has about the start."""
        return {
            "host": self._settings.host,
            "port": self._process.port,
            "peers": len(self._settings.peers),
            "tls": self._settings.tls is not None,
        }

    @property
    def sentence(self) -> str:
        """What a person reads at the start."""
        settings, port = self._settings, self._process.port
        who = "every program on this machine"
        if (count := len(settings.peers)) > 0:
            who = "1 peer" if count == 1 else f"{count} peers"
        address = settings.host if is_loopback(settings.host) else "ADDRESS OF THIS MACHINE"
        how = "with TLS" if settings.tls is not None else "without encryption"
        return (
            f"Listening as {settings.title} on {settings.host}, port {port}, {how}, for {who}.\n"
            f'In the archive, add the destination {settings.title}, port {port}. In Orthanc: "Dicom'
            f'Modalities": {{"plainfilm": ["{settings.title}", "{address}", {port}]}}'
        )
