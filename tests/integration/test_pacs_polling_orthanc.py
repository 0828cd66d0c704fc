"""Polling of a real archive: Orthanc with its DICOMweb plugin."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from pacs_files import CR, DX, SECONDARY_CAPTURE
from pacs_peers import Orthanc, archive, chest, lossless, network, odd_chests, to_bytes  # noqa: F401
from plainfilm.inference.log import Log
from plainfilm.pacs.archive import Archive
from plainfilm.pacs.ledger import Ledger, uid_key
from plainfilm.pacs.polling import Poller, PollSettings
from plainfilm.pacs.spool import Spool
from plainfilm.pacs.state_folder import StateLock
from plainfilm.pacs.web_get import WebReader

TODAY = f"{date.today():%Y%m%d}"


@pytest.fixture
def poller(archive: Orthanc, tmp_path: Path) -> Iterator[Poller]:  # noqa: F811
    archive.clear()
    folder = tmp_path / "state"
    with (
        StateLock(folder),
        Ledger.open(folder / "ledger.db") as ledger,
        Spool(folder, reserve=0) as spool,
    ):
        settings = PollSettings(classes=frozenset({CR, DX}))
        found = Archive(WebReader(archive.dicomweb, seconds=10))
        yield Poller(found, ledger, spool, settings, Log(io.StringIO()))


def images(poller: Poller) -> dict[str, bytes]:
    """Return the files in the spool."""
    return {key: poller.spool.read_image(key) for key in poller.ledger.waiting_images()}


def test_new_radiographs_of_the_days_are_fetched_once(archive: Orthanc, poller: Poller) -> None:  # noqa: F811
    recent = {
        "plain": to_bytes(chest("plain", StudyDate=TODAY)),
        "lossless": lossless(to_bytes(chest("lossless", StudyDate=TODAY))),
        "computed": to_bytes(chest("computed", StudyDate=TODAY, SOPClassUID=CR, Modality="CR")),
        "second": to_bytes(chest("second", study="plain", StudyDate=TODAY)),
    }
    others = [
        chest("old", StudyDate="20200101"),
        chest("tomography", StudyDate=TODAY, Modality="CT"),
        chest("captured", StudyDate=TODAY, SOPClassUID=SECONDARY_CAPTURE),
        chest("without a date", StudyDate=""),
    ]
    for data in (*recent.values(), *map(to_bytes, others)):
        archive.upload(data)
    assert poller.poll() is None
    found = images(poller)
    assert len(found) == len(recent)
    stored = {data[data.index(b"DICM") :] for data in recent.values()}
    assert {data[data.index(b"DICM") :] for data in found.values()} == stored  # not converted

    archive.upload(to_bytes(chest("third", study="plain", StudyDate=TODAY)))
    assert poller.poll() is None
    assert len(images(poller)) == len(recent) + 1
    assert poller.ledger.failed_fetches() == []


def test_files_with_odd_attributes_are_fetched(archive: Orthanc, poller: Poller) -> None:  # noqa: F811
    files = odd_chests("Korean name", "long names", "no laterality")
    for data in (*files.values(), to_bytes(chest("no preamble"))[132:]):
        archive.upload(data)
    poller.settings = PollSettings(classes=poller.settings.classes, days=40_000)
    assert poller.poll() is None
    assert len(images(poller)) == 4


def test_polling_continues_after_the_archive_was_down(archive: Orthanc, poller: Poller) -> None:  # noqa: F811
    made = chest("down", StudyDate=TODAY)
    archive.upload(to_bytes(made))
    archive.stop()
    try:
        assert poller.poll() == "no-connection"
    finally:
        archive.start()
    assert poller.poll() is None
    assert poller.ledger.to_fetch([uid_key(str(made.SOPInstanceUID))]) == []
