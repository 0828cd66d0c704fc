"""Failures while studies are answered: what is retried, what is given up, and what stays."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pynetdicom")

from pacs_files import SECONDARY_CAPTURE, chest, to_bytes
from plainfilm.inference.answer import Answer
from plainfilm.inference.codes import InferenceError
from plainfilm.inference.limits import InferenceLimits
from plainfilm.inference.log import Log
from plainfilm.pacs import answering
from plainfilm.pacs.answering import Answering
from plainfilm.pacs.ledger import Ledger, image_key, uid_key
from plainfilm.pacs.results import AnsweredImage, Result
from plainfilm.pacs.service_settings import ServiceSettings
from plainfilm.pacs.settings import DicomDestination
from plainfilm.pacs.signature import derived_uid
from plainfilm.pacs.spool import Spool, data_set_of, store_image
from plainfilm.pacs.state_folder import LEDGER, StateLock
from plainfilm.prediction import Prediction

pytestmark = pytest.mark.skipif(os.name != "posix", reason="state folders need flock")

TO = DicomDestination("A", "127.0.0.1", 1)


class Site:
    """A state folder, and an answering service whose engine and results are stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.lock = StateLock(folder)
        self.ledger, self.spool = Ledger.open(folder / LEDGER), Spool(folder, reserve=0)
        self.folder, self.keys = folder, {}
        self.refuse: Callable[[], None] = lambda: None  # raises what the engine raises
        self.reports: list[list[AnsweredImage]] = []
        self.defect: Callable[[Sequence[AnsweredImage]], None] = lambda images: None
        self.service = self.fresh()

    def fresh(self) -> Answering:
        engine = SimpleNamespace(
            limits=InferenceLimits(), log=Log(), answer=self.answer, registry={None: object()}
        )
        settings = ServiceSettings(
            bundle="", state=self.folder, destinations=(TO,), capture=False, quiet=0.0
        )
        return Answering(engine, self.ledger, self.spool, None, settings)  # type: ignore[arg-type]

    async def answer(self, *_: object) -> Answer:
        self.refuse()
        return Answer("", Prediction("", {"pneumonia": 0.5}), None)  # type: ignore[arg-type]

    def make_reports(self, model: object, images: list[AnsweredImage], *_: object) -> list[Result]:
        self.defect(images)
        self.reports.append(images)
        uid = derived_uid(*(one.header.sop_uid for one in images))
        return [Result(uid, "report", "1.2", b"report")] if images else []

    def add(self, name: str, study: str = "a", **attributes: Any) -> str:
        data = to_bytes(chest(name, study=study, size=(48, 40), attributes=attributes))
        sha256 = hashlib.sha256(data_set_of(data)).hexdigest()
        uid = uid_key(name)
        key = self.keys[name] = image_key(uid, sha256)
        assert store_image(self.ledger, self.spool, key, uid, sha256, uid_key(study), data)
        return key

    def run(self, seconds: float = 8) -> dict[str, str]:
        """Answer until no image waits; return the outcome of each image by name."""

        async def work() -> None:
            task = asyncio.create_task(self.service.run())
            end = time.monotonic() + seconds
            while self.ledger.waiting_images() and time.monotonic() < end:
                await asyncio.sleep(0.01)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        asyncio.run(work())
        with sqlite3.connect(self.folder / LEDGER) as rows:
            found = dict(rows.execute("SELECT key, outcome FROM images").fetchall())
        return {name: found[key] for name, key in self.keys.items()}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path / "state")
    monkeypatch.setattr(answering, "make_reports", made.make_reports)
    monkeypatch.setattr(answering, "Model", SimpleNamespace(of=lambda loaded: None))
    monkeypatch.setattr(answering, "_PAUSE", 0.01)
    yield made
    made.spool.close()
    made.ledger.close()
    made.lock.release()


def test_an_image_that_shows_a_defect_does_not_stop_its_study(site: Site) -> None:
    for name in ("1", "2", "3"):
        site.add(name)
    culprit = chest("2").SOPInstanceUID

    def defect(images: Sequence[AnsweredImage]) -> None:
        if culprit in {one.header.sop_uid for one in images}:
            raise ZeroDivisionError

    site.defect = defect
    assert site.run() == {"1": "predicted", "2": "failed", "3": "predicted"}
    assert [path.stem for path in (site.folder / "quarantine").iterdir()] == [site.keys["2"]]
    assert not list((site.folder / "spool").iterdir())


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), sqlite3.OperationalError("busy")])
def test_a_disk_that_fails_is_waited_for(site: Site, error: Exception) -> None:
    site.add("1")
    failures = iter([error] * 6)

    def fail(images: Sequence[AnsweredImage]) -> None:
        for one in failures:
            raise one

    site.defect = fail
    assert site.run() == {"1": "predicted"}
    assert not list((site.folder / "quarantine").iterdir())


def test_a_full_disk_is_shared_by_one_study_after_the_other(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1", "2", "3", "4"):
        site.add(name, study=name)
    write, outbox = site.spool.write_result, site.folder / "outbox"

    def write_or_fail(key: str, data: bytes) -> None:
        time.sleep(0.02)  # the studies are at work together
        if len(list(outbox.iterdir())) >= 3:
            raise OSError(errno.ENOSPC, "full")
        write(key, data)

    def make_two(model: object, images: list[AnsweredImage], *_: object) -> list[Result]:
        uid = images[0].header.sop_uid
        return [Result(derived_uid(uid, kind), "report", "1.2", b"report") for kind in "ab"]

    monkeypatch.setattr(site.spool, "write_result", write_or_fail)
    monkeypatch.setattr(answering, "make_reports", make_two)
    found = site.run(0.4)
    assert sorted(map(str, found.values())) == ["None", "None", "None", "predicted"]
    assert {path.stem for path in outbox.iterdir()} == site.ledger.needed_results()


def test_decoding_processes_that_do_not_start_are_waited_for(site: Site) -> None:
    site.add("1")
    failures = iter([InferenceError("no-decoder")] * 6)

    def fail() -> None:
        for one in failures:
            raise one

    site.refuse = fail
    assert site.run() == {"1": "predicted"}


def test_an_image_that_cannot_be_decoded_is_refused_and_kept(site: Site) -> None:
    site.add("1")

    def fail() -> None:
        raise InferenceError("decoder-died")

    site.refuse = fail
    assert site.run() == {"1": "decoder-died"}
    ((report,),) = site.reports
    assert report.prediction is None and report.refusal is not None
    assert report.refusal.code == "decoder-died"
    assert [path.stem for path in (site.folder / "quarantine").iterdir()] == [site.keys["1"]]


def test_an_image_with_which_the_process_died_often_is_refused_alone(site: Site) -> None:
    keys = [site.add("1"), site.add("2")]
    for _ in range(answering.MOST_DEATHS):
        site.ledger.begin(keys[:1])
    assert site.run() == {"1": "decoder-died", "2": "predicted"}
    assert [len(images) for images in site.reports] == [1, 1]


def test_missing_files_own_results_and_versions(site: Site) -> None:
    site.add("gone", "a")
    site.add("own", "b", ManufacturerModelName="plainfilm", SOPClassUID=SECONDARY_CAPTURE)
    site.add("same", "c")
    uid, data = (
        uid_key("same"),
        to_bytes(chest("same", study="c", size=(48, 40), PatientAge="001Y")),
    )
    sha256 = hashlib.sha256(data_set_of(data)).hexdigest()
    key = site.keys["changed"] = image_key(uid, sha256)
    assert store_image(site.ledger, site.spool, key, uid, sha256, uid_key("c"), data)
    site.spool.drop_image(site.keys["gone"])
    found = site.run()
    assert found == {"gone": "lost", "own": "own", "same": "predicted", "changed": "predicted"}
    # The two versions are in reports of their own, and what has no header in none.
    assert sorted(len(images) for images in site.reports if images) == [1, 1]


def test_files_that_were_replaced_or_cannot_be_read_do_not_stop_their_study(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {name: site.add(name) for name in ("whole", "replaced", "link", "sector")}
    paths = {name: site.folder / "spool" / f"{key}.dcm" for name, key in keys.items()}
    paths["replaced"].write_bytes(paths["whole"].read_bytes())
    paths["link"].unlink()
    paths["link"].symlink_to(paths["whole"])
    read = site.spool.read_image

    def fail(key: str) -> bytes:
        if key == keys["sector"]:
            raise OSError(errno.EIO, "Input/output error")
        return read(key)

    monkeypatch.setattr(site.spool, "read_image", fail)
    assert site.spool.recover(site.ledger).lost_images == 2  # the service starts
    assert site.run() == {"whole": "predicted", "replaced": "lost", "link": "lost"} | {
        "sector": "lost"
    }
    assert len(list((site.folder / "quarantine").iterdir())) == 3
    site.service = site.fresh()
    paths["late"] = site.folder / "spool" / f"{site.add('late')}.dcm"
    paths["late"].write_bytes(b"other")  # while the service runs
    assert site.run()["late"] == "lost"


def test_studies_are_answered_together(site: Site) -> None:
    for number in range(40):
        site.add(str(number), str(number % 8))
    assert set(site.run().values()) == {"predicted"}
    assert sum(map(len, site.reports)) == 40 and len(site.reports) <= 16
