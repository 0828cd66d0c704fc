"""Polling: what is fetched, what is skipped, and how often a failure is tried again."""

from __future__ import annotations

import io
import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from pacs_files import CR, chest, to_bytes
from plainfilm.inference.log import Log
from plainfilm.pacs.archive import FoundInstance, FoundSeries
from plainfilm.pacs.ledger import Ledger, ResultRow, uid_key
from plainfilm.pacs.ledger_fetches import MOST_ATTEMPTS
from plainfilm.pacs.polling import Poller, PollSettings
from plainfilm.pacs.spool import Spool
from plainfilm.pacs.state_folder import StateLock
from plainfilm.pacs.web_get import WebError

SETTINGS = PollSettings(classes=frozenset({CR}), every=60.0)


@dataclass
class FakeArchive:
    """An archive in memory: series to instances, and instances to a file or an error."""

    files: dict[str, dict[str, bytes | WebError]] = field(default_factory=dict)
    error: WebError | None = None
    counts: bool = True
    problems: set[str] = field(default_factory=set)
    listed: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    classes: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, error: WebError | None = None) -> str:
        """Add an image in a series of its own; return its UID."""
        made = chest(name, SOPClassUID=CR, Modality="CR")
        uid = str(made.SOPInstanceUID)
        self.files[str(made.SeriesInstanceUID)] = {uid: error or to_bytes(made)}
        return uid

    def series(self, first: date, last: date) -> Iterator[FoundSeries]:
        assert (last - first).days == 5
        if self.error is not None:
            raise self.error
        for series, files in self.files.items():
            yield FoundSeries("1.2", series, len(files) if self.counts else None)

    def instances(self, series: FoundSeries) -> Iterator[FoundInstance]:
        self.listed.append(series.series)
        for uid, file in self.files[series.series].items():
            if uid == "":
                assert isinstance(file, WebError)
                raise file
            yield FoundInstance(uid, self.classes.get(uid, ""))

    def fetch(self, series: FoundSeries, uid: str, most: int) -> memoryview:
        self.fetched.append(uid)
        file = self.files[series.series][uid]
        if isinstance(file, WebError):
            raise file
        return memoryview(file)


@dataclass
class Trial:
    """A poller with a clock that the test sets."""

    poller: Poller
    archive: FakeArchive
    ledger: Ledger
    log: io.StringIO
    now: list[float]

    def poll(self, times: int = 1, seconds: float = 60.0) -> str | None:
        """Poll several times; time passes after each."""
        code = None
        for _ in range(times):
            code = self.poller.poll()
            self.now[0] += seconds
        return code

    @property
    def events(self) -> list[tuple[str, str | None]]:
        lines = map(json.loads, self.log.getvalue().splitlines())
        return [(line["event"], line.get("reason")) for line in lines]


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    now = [1_000_000.0]
    folder, log, archive = tmp_path / "state", io.StringIO(), FakeArchive()
    with (
        StateLock(folder),
        Ledger.open(folder / "ledger.db", clock=lambda: now[0]) as ledger,
        Spool(folder, reserve=0) as spool,
    ):
        poller = Poller(archive, ledger, spool, SETTINGS, Log(log))  # type: ignore[arg-type]
        yield Trial(poller, archive, ledger, log, now)


def test_each_image_is_fetched_once(trial: Trial) -> None:
    uids = {trial.archive.add(name) for name in "abc"}
    assert trial.poll(3) is None
    assert sorted(trial.archive.fetched) == sorted(uids)
    assert len(trial.archive.listed) == 3
    waiting = trial.ledger.waiting_images()
    assert len(waiting) == 3
    assert {row.uid for row in trial.ledger.due_images(0, 9)} <= {uid_key(uid) for uid in uids}
    assert trial.poller.spool.read_image(next(iter(waiting)))[128:132] == b"DICM"


def test_a_series_that_grows_is_listed_again(trial: Trial) -> None:
    first = trial.archive.add("a")
    trial.poll(2)
    ((series, files),) = trial.archive.files.items()
    second = trial.archive.add("b")
    files |= trial.archive.files.popitem()[1]
    trial.poll(2)
    assert trial.archive.listed == [series, series]
    assert trial.archive.fetched == [first, second]


def test_an_image_that_was_replaced_is_found_later(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.archive.add("a")
    trial.poll()
    ((series, _),) = trial.archive.files.items()
    new = trial.archive.add("b")
    trial.archive.files[series] = trial.archive.files.popitem()[1]
    trial.poll()
    assert new not in trial.archive.fetched
    monkeypatch.setattr("plainfilm.pacs.polling._LIST_AGAIN_SECONDS", 0.0)
    trial.poll()
    assert new in trial.archive.fetched


def test_a_defect_ends_a_round_and_not_polling(trial: Trial) -> None:
    trial.archive.error = ZeroDivisionError("SYNTHETIC")  # type: ignore[assignment]
    assert trial.poll() == "defect-ZeroDivisionError"
    trial.archive.error = None
    assert trial.poll() is None
    assert "SYNTHETIC" not in trial.log.getvalue()


def test_a_failure_is_forgotten_when_the_archive_no_longer_has_the_image(trial: Trial) -> None:
    trial.archive.add("bad", WebError("http-500"))
    trial.poll()
    trial.archive.files.clear()
    trial.poll(20, seconds=3600)
    assert len(trial.ledger.failed_fetches()) == 1
    trial.poll(10, seconds=3600)
    assert trial.ledger.failed_fetches() == []


def test_an_incomplete_search_is_logged_once(trial: Trial) -> None:
    trial.archive.problems.add("too-many-results")
    trial.poll(2)
    assert trial.events == [("search-incomplete", "too-many-results")]


def test_a_series_without_a_count_is_listed_in_each_round_but_fetched_once(trial: Trial) -> None:
    trial.archive.counts = False
    trial.archive.add("a")
    trial.poll(3)
    assert (len(trial.archive.listed), len(trial.archive.fetched)) == (3, 1)


def test_other_classes_and_own_results_are_not_fetched(trial: Trial) -> None:
    own, other = trial.archive.add("own"), trial.archive.add("other")
    trial.archive.classes = {own: CR, other: "1.2.840.10008.5.1.4.1.1.7"}
    trial.ledger.finish({}, [ResultRow("ab", uid_key(own), "report")], [])
    trial.poll(2)
    assert trial.archive.fetched == []
    assert len(trial.archive.listed) == 2
    assert trial.events == [("not-fetched", "other-class")]


@pytest.mark.parametrize("file", [b"", b"no DICOM", bytes(2000), "truncated header"])
def test_a_bad_instance_delays_no_other(trial: Trial, file: bytes | str) -> None:
    bad, good = trial.archive.add("bad"), trial.archive.add("good")
    whole = next(iter(trial.archive.files.values()))
    content = whole[bad]
    assert isinstance(content, bytes)
    whole[bad] = content[:300] if isinstance(file, str) else file
    assert trial.poll() is None
    assert trial.archive.fetched == [bad, good]
    (failed,) = trial.ledger.failed_fetches()
    assert (failed.uid, failed.reason, failed.attempts) == (uid_key(bad), "not-dicom", 1)
    assert ("polled", None) in trial.events


def test_an_instance_that_is_another_one_is_not_stored(trial: Trial) -> None:
    uid = trial.archive.add("a")
    next(iter(trial.archive.files.values()))[uid] = to_bytes(chest("b", SOPClassUID=CR))
    trial.poll()
    assert [one.reason for one in trial.ledger.failed_fetches()] == ["other-instance"]
    assert trial.ledger.waiting_images() == {}


@pytest.mark.parametrize("code", ["http-500", "too-large", "timeout"])
def test_a_failing_instance_is_tried_a_few_times_in_hours(trial: Trial, code: str) -> None:
    bad, good = trial.archive.add("bad", WebError(code)), trial.archive.add("good")
    trial.poll(180)
    assert trial.archive.fetched.count(bad) == MOST_ATTEMPTS
    assert trial.archive.fetched.count(good) == 1
    (failed,) = trial.ledger.failed_fetches()
    assert failed.given_up
    assert failed.since == 1_000_000
    assert trial.events.count(("fetch-given-up", code)) == 1
    assert trial.ledger.retry_fetches() == 1
    trial.poll()
    assert trial.archive.fetched.count(bad) == MOST_ATTEMPTS + 1


def test_an_instance_that_can_be_fetched_later_is_no_failure_any_more(trial: Trial) -> None:
    bad = trial.archive.add("bad", WebError("http-500"))
    trial.poll()
    trial.archive.add("bad")
    trial.poll(2)
    assert trial.archive.fetched == [bad, bad]
    assert trial.ledger.failed_fetches() == []
    assert len(trial.ledger.waiting_images()) == 1


def test_a_series_that_cannot_be_listed_is_tried_a_few_times(trial: Trial) -> None:
    trial.archive.files["1.9"] = {"": WebError("http-500")}
    good = trial.archive.add("good")
    trial.poll(180)
    assert trial.archive.listed.count("1.9") == MOST_ATTEMPTS
    assert trial.archive.fetched == [good]


def test_a_series_that_can_be_listed_later_is_no_failure_any_more(trial: Trial) -> None:
    trial.archive.files["1.9"] = {"": WebError("http-500")}
    trial.poll()
    assert not trial.ledger.is_done()
    trial.archive.files["1.9"] = {}
    trial.poll(2)
    assert trial.ledger.is_done()


def test_an_instance_with_which_the_archive_fails_stops_the_others_for_a_round(
    trial: Trial,
) -> None:
    bad = trial.archive.add("bad", WebError("no-connection", down=True))
    good = trial.archive.add("good")
    assert trial.poll() == "no-connection"
    assert trial.archive.fetched == [bad]
    trial.now[0] -= 30
    assert trial.poll() is None
    assert trial.archive.fetched == [bad, good]


def test_an_archive_that_is_down_is_logged_once_and_counts_no_attempt(trial: Trial) -> None:
    trial.archive.add("a")
    trial.archive.error = WebError("no-connection", down=True)
    assert trial.poll(5) == "no-connection"
    assert trial.poller.failing == "no-connection"
    trial.archive.error = None
    assert trial.poll(2) is None
    assert trial.events == [
        ("polling-interrupted", "no-connection"),
        ("polled", None),
        ("polling-continues", None),
    ]
    assert trial.poller.failing is None
    assert trial.ledger.failed_fetches() == []


def test_an_archive_that_does_not_respond_ends_a_round(trial: Trial) -> None:
    for name in "abcdef":
        trial.archive.add(name, WebError("timeout"))
    assert trial.poll() == "timeout"
    assert len(trial.archive.fetched) == 3


def test_a_full_disk_ends_a_round_and_counts_no_attempt(trial: Trial, tmp_path: Path) -> None:
    trial.archive.add("a")
    with Spool(tmp_path / "state", reserve=1 << 60) as full:
        empty, trial.poller.spool = trial.poller.spool, full
        assert trial.poll() == "disk-full"
    trial.poller.spool = empty
    assert trial.ledger.failed_fetches() == []
    assert trial.poll() is None
    assert len(trial.ledger.waiting_images()) == 1


def test_pauses_grow_while_the_archive_is_down_and_a_stop_ends_the_wait(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    codes = itertools.chain(["no-connection"] * 5, [None, None])

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            pauses.append(timeout)
            if len(pauses) == 7:
                self.set()
            return self.is_set()

    monkeypatch.setattr(Poller, "poll", lambda _: next(codes))
    trial.poller.stop = Stop()
    trial.poller.run()
    expected = [120, 240, 300, 300, 300, 60, 60]
    assert pauses == pytest.approx(expected, rel=0.11)


def test_nothing_of_an_image_is_in_log_and_ledger(trial: Trial, tmp_path: Path) -> None:
    bad = trial.archive.add("bad", WebError("http-500"))
    good = trial.archive.add("good")
    trial.poll(180)
    files = [path.read_bytes() for path in (tmp_path / "state").glob("ledger.db*")]
    for data in (*files, trial.log.getvalue().encode()):
        for secret in (bad, good, "SYNTHETIC"):
            assert secret.encode() not in data
