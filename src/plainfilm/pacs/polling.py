"""Polls an archive by DICOMweb: fetches radiographs that the ledger does not know into the spool.

Instances are fetched one by one, so that one that cannot be read delays no other. It is tried
again after growing pauses, a few times. While the archive is unavailable, rounds are further apart.
"""

from __future__ import annotations

import errno
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

from plainfilm.errors import StorageError
from plainfilm.inference.log import Log
from plainfilm.pacs.acceptance import accept
from plainfilm.pacs.archive import Archive, FoundSeries
from plainfilm.pacs.header import HeaderError, read_header
from plainfilm.pacs.ledger import Ledger, uid_key
from plainfilm.pacs.spool import Spool, data_set_of
from plainfilm.pacs.web_get import WebError

_MOST_TIMEOUTS = 3  # in a row, after which the archive counts as unavailable
_LONGEST_PAUSE = 300.0
_LIST_AGAIN_SECONDS = 900.0  # an image may have been replaced by one with another UID
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollSettings:
    """Settings of polling.

    Attributes
    ----------
    days
        Days before today whose studies are searched for.
    every
        Seconds between two rounds.
    classes
        SOP classes that are fetched.
    most_bytes
        Bytes of one image.
    """

    classes: frozenset[str]
    days: int = 3
    every: float = 60.0
    most_bytes: int = 64 << 20


@dataclass(slots=True)
class Poller:
    """Fetches what is new in an archive, round by round.

    ``on_image`` is called after each image that is new.

    Attributes
    ----------
    failing
        Code of the reason why the latest round ended early, or None.
    counts
        Images fetched, and attempts that failed.
    """

    archive: Archive
    ledger: Ledger
    spool: Spool
    settings: PollSettings
    log: Log
    on_image: Callable[[], None] = lambda: None
    failing: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)
    _complete: dict[str, tuple[int | None, float]] = field(default_factory=dict)
    _problems: set[str] = field(default_factory=set)
    _timeouts: int = 0
    _fetched: int = 0
    _failed: Counter[str] = field(default_factory=Counter)  # by reason

    def run(self) -> None:
        """Poll until `stop` is set."""
        failures = 0
        while not self.stop.is_set():
            failures = failures + 1 if self.poll() else 0
            pause = self.settings.every
            if failures:
                pause = min(max(pause, _LONGEST_PAUSE), pause * 2 ** min(failures, 9))
            self.stop.wait(pause * random.uniform(0.9, 1.1))

    def poll(self) -> str | None:
        """Make one round; return the code of the reason if it ended early, else None."""
        self._fetched = self._timeouts = 0
        self._failed.clear()
        code: str | None = None
        try:
            self._round()
        except WebError as error:
            code = error.code
        except OSError as error:
            code = "disk-full" if error.errno in _FULL else "disk"
        except StorageError:
            code = "ledger-damaged"
        except Exception as error:  # a defect delays polling, and does not end it
            code = f"defect-{type(error).__name__}"
        if not self.stop.is_set():
            self._report(code)
        return code

    def _report(self, code: str | None) -> None:
        """Log what a round did; that an archive is unavailable is logged once."""
        failed = self._failed.total()
        self.counts.update({"fetched": self._fetched, "failed": failed})
        if self._fetched or failed:
            reasons = {"reasons": " ".join(sorted(self._failed))} if failed else {}
            self.log.write("polled", fetched=self._fetched, failed=failed, **reasons)
        for problem in sorted(self.archive.problems - self._problems):
            self.log.write("search-incomplete", reason=problem)
        self._problems |= self.archive.problems
        if code != self.failing:
            if code is None:
                self.log.write("polling-continues")
            else:
                self.log.write("polling-interrupted", reason=code)
        self.failing = code

    def _round(self) -> None:
        today = date.today()
        # A day more at both ends, for archives of another time zone.
        first, last = today - timedelta(self.settings.days + 1), today + timedelta(1)
        found = list(self.archive.series(first, last))
        keys = {uid_key(one.series): one for one in found}
        self._complete = {key: one for key, one in self._complete.items() if key in keys}
        for key in self.ledger.to_fetch(keys):
            if not self._is_complete(key, keys[key]):
                self._read_series(key, keys[key])
            if self.stop.is_set():
                return
        self.ledger.forget_old_fetches()

    def _read_series(self, key: str, series: FoundSeries) -> None:
        """Fetch what is new in a series."""
        try:
            found = [*self.archive.instances(series)]
        except WebError as error:
            self._fail(key, error)
            return
        self.ledger.fetched(key)
        classes = self.settings.classes
        uids = {uid_key(one.uid): one.uid for one in found if one.sop_class in classes | {""}}
        if len(uids) < len(found) and "other-class" not in self._problems:
            self._problems.add("other-class")  # said once
            remedy = "--secondary-capture, if they are Secondary Capture images"
            self.log.write("not-fetched", reason="other-class", remedy=remedy)
        for instance in self.ledger.to_fetch(uids):
            if self.stop.is_set():
                return
            self._fetch(instance, series, uids[instance])
        if series.count is not None and not self.ledger.unfetched(uids):
            self._complete[key] = series.count, time.monotonic()

    def _is_complete(self, key: str, series: FoundSeries) -> bool:
        """Return whether all of a series was fetched a short time ago, by its number of images."""
        count, when = self._complete.get(key, (None, -math.inf))
        return count == series.count and time.monotonic() - when < _LIST_AGAIN_SECONDS

    def _fetch(self, key: str, series: FoundSeries, uid: str) -> None:
        """Fetch an instance into the spool, or record why that failed."""
        if not self.spool.has_room():
            raise OSError(errno.ENOSPC, "below the reserve")
        try:
            data = self.archive.fetch(series, uid, self.settings.most_bytes)
            self._timeouts = 0
            outcome = self._store(uid, bytes(data))
        except WebError as error:
            self._fail(key, error)
            return
        except HeaderError:
            self._fail(key, WebError("not-dicom"))
            return
        self.ledger.fetched(key)
        if outcome == "stored":
            self._fetched += 1
            self.on_image()

    def _store(self, uid: str, data: bytes) -> str:
        """Put a file into the spool and the ledger."""
        header = read_header(data)
        if header.sop_uid != uid:
            raise WebError("other-instance")
        content = data_set_of(data)
        head = data[: len(data) - len(content)]
        return accept(self.ledger, self.spool, uid, header.study_uid, head, content)

    def _fail(self, key: str, error: WebError) -> None:
        """Count a failed attempt; raise the error if it concerns the whole archive.

        It is counted then too: an instance with which the archive fails must not stop the others.
        """
        if self.stop.is_set():
            raise error
        self._failed[error.code] += 1
        self._timeouts = self._timeouts + 1 if error.code == "timeout" else 0
        failed = self.ledger.fetch_failed(key, error.code)
        if failed.given_up:
            self.log.write("fetch-given-up", image=key[:12], reason=error.code)
        if error.down or self._timeouts >= _MOST_TIMEOUTS:
            raise error
