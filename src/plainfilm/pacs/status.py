"""Describes the state folder of a service, for a person and as a document."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from plainfilm._document import Document
from plainfilm._text import plural, printable
from plainfilm.pacs.ledger import Ledger
from plainfilm.pacs.ledger_upkeep import DestinationSummary, Summary
from plainfilm.pacs.spool import Spool
from plainfilm.pacs.state_folder import LEDGER, check_platform, service_process

__all__ = ["PacsStatus", "describe_status", "read_status"]

_LONG_SECONDS = 2 * 3600.0


@dataclass(frozen=True, slots=True)
class PacsStatus(Document):
    """The state folder of a service of the hospital network.

    Attributes
    ----------
    time
        Unix time of the status.
    running
        Whether a service uses the folder.
    process
        Number of its process; None if it is not known.
    ledger
        Counts of images, results and deliveries.
    quarantined
        Files in quarantine.
    free_bytes
        Free space of the file system of the folder.
    attention
        What a person has to act on: ``parked``, ``class-refused``, ``lost``, ``no-report``,
        ``fetches``, or ``waiting``: an image waits for more than two hours.
    """

    SCHEMA: ClassVar[int] = 1
    COMPLETE: ClassVar[bool] = True

    time: float
    running: bool
    process: int | None
    ledger: Summary
    quarantined: int
    free_bytes: int
    attention: tuple[str, ...]


def read_status(folder: Path) -> PacsStatus:
    """Return the status of a state folder; nothing is written, and a service may use it.

    Raises
    ------
    UsageError
        If it is not a state folder.
    StorageError
        If it is damaged, or may not be read by this user.
    """
    check_platform()
    with Ledger.open_existing(folder / LEDGER) as ledger, Spool(folder) as spool:
        summary = ledger.summary()
        process = service_process(folder)
        return PacsStatus(
            time=(now := time.time()),
            running=process is not None,
            process=process or None,
            ledger=summary,
            quarantined=sum(1 for _ in spool.quarantined()),
            free_bytes=spool.free(),
            attention=tuple(_attention(summary, now)),
        )


def _attention(summary: Summary, now: float) -> Iterator[str]:
    """Yield the reasons why a person has to act."""
    if any(one.parked for one in summary.destinations):
        yield "parked"
    if any(one.class_refused for one in summary.destinations):
        yield "class-refused"
    if summary.lost:
        yield "lost"
    if not _WITHOUT_REPORT.isdisjoint(summary.refused):
        yield "no-report"
    if summary.given_up:
        yield "fetches"
    if summary.oldest is not None and now - summary.oldest > _LONG_SECONDS:
        yield "waiting"


_WITHOUT_REPORT = frozenset({"no-header", "failed"})
_REMEDIES = {
    "parked": "parked results: correct what the status says, then run plainfilm pacs retry",
    "class-refused": "refused kinds of results: let the destination accept them, then run "
    "plainfilm pacs retry",
    "fetches": "fetches given up: correct what the reason says, then run plainfilm pacs retry",
    "lost": "lost images: let the archive send them to the service again",
    "waiting": "images that wait for hours: start the service, make room on the disk, or look at "
    "the log",
    "no-report": "images without a report (no-header, failed): look at them in quarantine",
}


def describe_status(status: PacsStatus) -> list[str]:
    """Return a status as lines of text.

    Examples
    --------
    >>> archive = DestinationSummary(
    ...     "A@host:1", 7, {"B000": 4}, 2, 0, {}, {}, "A700", 0.0, None
    ... )
    >>> images = Summary(40, 1, 30, {"view": 7, "corrupt": 2}, 0, 0, 0.0, 2, (archive,))
    >>> status = PacsStatus(60.0, True, 7, images, 2, 5_000_000_000, ())
    >>> print(*describe_status(status), sep="\\n")
    service: running (process 7)
    images received: 40
      waiting: 1, the oldest for 60 s
      answered: 39 (30 predicted, 9 refused: 7 view, 2 corrupt)
      ignored: 0
      lost: 0
    files in quarantine: 2
    results to deliver: 2
    A@host:1: 7 delivered (with a warning: 4 B000), 2 waiting, the oldest for 60 s, last status A700
    free space: 5.0 GB
    """
    ledger = status.ledger
    number = f" (process {status.process})" if status.process else ""
    refused = sum(ledger.refused.values())
    answered = f"{ledger.predicted:,} predicted, {refused:,} refused"
    lines = [
        f"service: {f'running{number}' if status.running else 'not running'}",
        f"images received: {ledger.received:,}",
        f"  waiting: {ledger.waiting:,}{_oldest(ledger.oldest, status.time)}",
        f"  answered: {ledger.predicted + refused:,} ({answered}{_by_reason(ledger.refused)})",
        f"  ignored: {ledger.ignored:,}",
        f"  lost: {ledger.lost:,}",
        f"files in quarantine: {status.quarantined:,}",
        f"results to deliver: {ledger.results:,}",
        *(_describe_destination(one, status.time) for one in ledger.destinations),
        f"free space: {status.free_bytes / 1e9:,.1f} GB",
    ]
    for words, reasons in (("tried again", ledger.fetches), ("given up", ledger.given_up)):
        if reasons:
            lines.append(f"failed fetches, {words}: {sum(reasons.values()):,}{_by_reason(reasons)}")
    if status.attention:
        lines += ["a person has to act:", *(f"  {_REMEDIES[code]}" for code in status.attention)]
    return lines


def _describe_destination(one: DestinationSummary, now: float) -> str:
    """Return a line about the deliveries to a destination."""
    warned = f" (with a warning{_by_reason(one.warned)})" if one.warned else ""
    parts = [f"{one.delivered:,} delivered{warned}"]
    if waiting := one.waiting + one.committing:
        last = f", last status {printable(one.failing)}" if one.failing else ""
        parts.append(f"{waiting:,} waiting{_oldest(one.oldest, now)}{last}")
    if one.committing:
        parts.append(f"{one.committing:,} of these to be confirmed")
    for words, states in (("parked", one.parked), ("of a refused kind", one.class_refused)):
        if states:
            found = ", ".join(printable(state) for state in states)
            parts.append(f"{sum(states.values()):,} {words}, last status {found}")
    if one.stopped is not None:
        parts.append(f"since {time.strftime('%Y-%m-%d %H:%M', time.localtime(one.stopped))}")
    return f"{printable(one.name)}: {', '.join(parts)}"


def _by_reason(refused: Mapping[str, int]) -> str:
    """Return counts by reason, the most frequent first."""
    return ": " * bool(refused) + ", ".join(
        f"{n:,} {printable(code)}" for code, n in refused.items()
    )


def _oldest(since: float | None, now: float) -> str:
    """Return for how long something has waited.

    Examples
    --------
    >>> _oldest(0.0, 7300.0), _oldest(None, 5.0)
    (', the oldest for 2 hours', '')
    """
    if since is None:
        return ""
    seconds = max(0, int(now - since))
    for size, noun in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f", the oldest for {plural(seconds // size, noun)}"
    return f", the oldest for {seconds} s"
