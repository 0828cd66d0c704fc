"""Receives chest radiographs in the hospital network, and returns structured reports.

Two processes share a state folder. A network process accepts DICOM associations and writes images
into the spool; it has no model. The main process predicts, writes results into the outbox, and
delivers them. What happened to each image is in the ledger, which holds keys and states only.

Importing this package loads no library of the extra ``pacs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plainfilm.pacs.service_settings import PollOptions, ServiceSettings
    from plainfilm.pacs.settings import ListenSettings

__all__ = ["require_libraries", "run_dicomweb", "run_listen"]


def run_listen(settings: ServiceSettings, listening: ListenSettings) -> int:
    """Receive from peers until SIGTERM or Ctrl-C, and return the exit status.

    Raises
    ------
    MissingExtraError
        If the extra ``pacs`` is not installed.
    UsageError
        If settings contradict each other, or an address or the state folder is in use.
    BundleError
        If the bundle cannot be opened, or no report can be made with it.
    StorageError
        If the state folder cannot be used.
    """
    require_libraries()
    from plainfilm.pacs.service import run_listen

    return run_listen(settings, listening)


def run_dicomweb(settings: ServiceSettings, options: PollOptions) -> int:
    """Poll an archive until SIGTERM or Ctrl-C, or once, and return the exit status.

    Raises the errors of `run_listen`.
    """
    require_libraries()
    from plainfilm.pacs.polling_source import run_dicomweb

    return run_dicomweb(settings, options)


def require_libraries() -> None:
    """Raise a MissingExtraError if the extra ``pacs`` is not installed."""
    from plainfilm import _optional

    _optional.require("pynetdicom", "pacs")
