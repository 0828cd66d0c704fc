"""Tests of plainfilm pacs status, retry and purge."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plainfilm.cli.main import main
from plainfilm.errors import StorageError
from plainfilm.pacs.ledger import Ledger, ResultRow, uid_key
from plainfilm.pacs.ledger_fetches import MOST_ATTEMPTS
from plainfilm.pacs.spool import Spool
from plainfilm.pacs.state_folder import LEDGER, StateLock
from plainfilm.pacs.status import PacsStatus, read_status

pytestmark = pytest.mark.skipif(os.name != "posix", reason="state folders need flock")


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """Return a state folder with images and results in all states."""
    return shutil.copytree(template, tmp_path / "state")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "state"
    with (
        StateLock(folder),
        Ledger.open(folder / LEDGER) as ledger,
        Spool(folder, reserve=0) as spool,
    ):
        for number in range(8):
            key = f"image{number}"
            spool.receive(key, b"x")
            ledger.add_image(key, uid_key(key), key, uid_key(f"study{number}"))
        ledger.add_image("later", uid_key("later"), "later", "study", ignored=True)
        spool.quarantine("image2")
        for number, outcome in enumerate(("predicted", "predicted", "corrupt", "view", "view")):
            result = f"result{number}"
            spool.write_result(result, b"x")
            rows = [ResultRow(result, uid_key(result), "report")]
            ledger.finish({f"image{number}": outcome}, rows, ["A@host:104", "https://host/web"])
            spool.drop_image(f"image{number}")
        ledger.finish({"image5": "lost"}, [], [])
        first, second, third, fourth, fifth = ledger.due_deliveries("A@host:104", time.time(), 9)
        ledger.delivered(first.id)
        ledger.park(second.id, "C000")
        ledger.refuse_class(third.id, "0122")
        ledger.postpone(fourth.id, time.time() + 60, "no-connection")
        ledger.committing(fifth.id, "1.2.3", due=time.time() + 60)
        ledger.fetch_failed("once", "no-connection")
        for _ in range(MOST_ATTEMPTS):
            ledger.fetch_failed("often", "http-500")
        for delivery in ledger.due_deliveries("https://host/web", time.time(), 9):
            if ledger.delivered(delivery.id):
                spool.drop_result(delivery.result)
    return folder


def test_the_status_for_a_person(folder, capsys):
    assert main(["pacs", "status", str(folder)]) == 1
    lines = re.sub(r"for \d+ s", "for N s", capsys.readouterr().out).splitlines()
    since = time.strftime("%Y-%m-%d %H:")
    assert lines[:9] == [
        "service: not running",
        "images received: 8",
        "  waiting: 2, the oldest for N s",
        "  answered: 5 (2 predicted, 3 refused: 2 view, 1 corrupt)",
        "  ignored: 1",
        "  lost: 1",
        "files in quarantine: 1",
        "results to deliver: 4",
        lines[8],
    ]
    assert lines[8].startswith(
        "A@host:104: 1 delivered, 2 waiting, the oldest for N s, last status no-connection, "
        "1 of these to be confirmed, 1 parked, last status C000, "
        f"1 of a refused kind, last status 0122, since {since}"
    )
    assert lines[9] == "https://host/web: 5 delivered"
    assert lines[10].startswith("free space: ")
    assert lines[11:14] == [
        "failed fetches, tried again: 1: 1 no-connection",
        "failed fetches, given up: 1: 1 http-500",
        "a person has to act:",
    ]
    assert len(lines) == 18


def test_the_status_as_a_document(folder, capsys):
    assert main(["pacs", "status", str(folder), "--json"]) == 1
    document = PacsStatus.from_json(json.loads(capsys.readouterr().out))
    assert document.attention == ("parked", "class-refused", "lost", "fetches")
    assert document.ledger.refused == {"view": 2, "corrupt": 1}
    assert document.ledger == read_status(folder).ledger


def test_an_image_that_waits_for_hours_needs_attention(folder):
    with contextlib.closing(sqlite3.connect(folder / LEDGER)) as rows, rows:
        rows.execute("UPDATE images SET received = received - 7300 WHERE state = 'received'")
    assert read_status(folder).attention[-1] == "waiting"


def test_the_status_of_a_running_service(folder, capsys):
    with StateLock(folder), Ledger.open(folder / LEDGER) as ledger, ledger._writing():
        assert main(["pacs", "status", str(folder)]) == 1  # a reader does not wait for a writer
    assert f"service: running (process {os.getpid()})" in capsys.readouterr().out


def test_status_is_0_if_nothing_needs_a_person(tmp_path, capsys):
    with StateLock(tmp_path / "new"), Ledger.open(tmp_path / "new" / LEDGER):
        pass
    assert main(["pacs", "status", str(tmp_path / "new")]) == 0
    assert "person" not in capsys.readouterr().out


def test_an_image_without_report_needs_a_person(tmp_path, capsys):
    folder = tmp_path / "new"
    with StateLock(folder), Ledger.open(folder / LEDGER) as ledger:
        ledger.add_image("image", uid_key("image"), "sha", uid_key("study"))
        ledger.finish({"image": "no-header"}, [], [])
    assert main(["pacs", "status", str(folder)]) == 1
    assert "images without a report" in capsys.readouterr().out


def test_retry_is_seen_by_a_running_service(folder, capsys):
    with Ledger.open(folder / LEDGER) as service:
        assert service.due_deliveries("A@host:104", time.time(), 9) == []
        assert main(["pacs", "retry", str(folder)]) == 0
        assert capsys.readouterr().out == "3 deliveries are due again\n1 fetch is due again\n"
        due = service.due_deliveries("A@host:104", time.time(), 9)
        assert [one.attempts for one in due] == [0, 0, 0]
    assert main(["pacs", "retry", str(folder)]) == 0
    assert capsys.readouterr().out == "0 deliveries are due again\n"


def test_purge_removes_only_what_is_old_and_finished(folder, capsys):
    assert main(["pacs", "purge", str(folder)]) == 0
    removed = "removed {} in quarantine, forgot {} and {}\n"
    assert capsys.readouterr().out == removed.format("0 files", "0 images", "0 results")
    assert main(["pacs", "purge", str(folder), "--older-than", "0"]) == 0
    assert capsys.readouterr().out == removed.format("1 file", "3 images", "1 result")
    status = read_status(folder)
    assert (status.ledger.received, status.ledger.waiting, status.ledger.results) == (6, 2, 4)
    assert (status.ledger.lost, status.ledger.ignored, status.quarantined) == (0, 0, 0)
    assert len(list((folder / "outbox").iterdir())) == 4
    with Ledger.open(folder / LEDGER) as ledger:
        assert ledger.known(uid_key("image0"), "image0") == "new"
        assert ledger.known(uid_key("image1"), "image1") == "duplicate"


def test_purge_gives_up_parked_results_on_request(folder, capsys):
    assert main(["pacs", "purge", str(folder), "--parked"]) == 0
    assert "gave up 0 deliveries" in capsys.readouterr().out
    assert main(["pacs", "purge", str(folder), "--parked", "--older-than", "0"]) == 0
    assert "gave up 2 deliveries of parked results" in capsys.readouterr().out
    assert len(list((folder / "outbox").iterdir())) == 2
    assert main(["pacs", "status", str(folder)]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["retry", "DIR", "--json"], "--json is for status"),
        (["status", "DIR", "--parked"], "--parked is for purge"),
        (["retry", "DIR", "--older-than", "3"], "--older-than is for purge"),
        (["status", "DIR"], "is not the state folder of a service"),
        (["retry", "DIR"], "is not the state folder of a service"),
        (["purge", "DIR"], "is not the state folder of a service"),
        (["purge", "DIR", "--older-than", "-1"], "must be a number of days"),
    ],
)
def test_wrong_use(tmp_path, words, message, capsys):
    words = [str(tmp_path) if word == "DIR" else word for word in words]
    try:
        status = main(["pacs", *words])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_windows_gets_a_clear_error(folder, monkeypatch, capsys):
    from plainfilm.pacs import state_folder

    monkeypatch.setattr(state_folder, "_POSIX", False)
    for action in ("status", "retry", "purge"):
        assert main(["pacs", action, str(folder)]) == 2
        assert "state folders need Linux" in capsys.readouterr().err


def test_a_damaged_ledger_says_what_to_do(folder, capsys):
    (folder / f"{LEDGER}-wal").unlink(missing_ok=True)
    data = bytearray((folder / LEDGER).read_bytes())
    for damaged in (b"no database" * 100, bytes(data[:100]) + bytes(4096), bytes(data[:5000])):
        (folder / LEDGER).write_bytes(damaged)
        assert main(["pacs", "status", str(folder)]) == 1
        error = capsys.readouterr().err
        assert "ledger.db is damaged" in error
        assert "send the images in" in error


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE fetches",
        "DROP INDEX images_waiting",
        "UPDATE images SET outcome = CAST(x'ff' AS TEXT)",
    ],
)
def test_a_table_that_is_not_whole_is_damage(folder, capsys, damage):
    with contextlib.closing(sqlite3.connect(folder / LEDGER)) as rows, rows:
        assert rows.execute(damage).rowcount
    assert main(["pacs", "status", str(folder)]) == 1
    assert "ledger.db is damaged" in capsys.readouterr().err


def test_another_schema_version_is_refused(folder, capsys):
    for version, remedy in ((99, "upgrade plainfilm"), (0, "start with a new state folder")):
        connection = sqlite3.connect(folder / LEDGER)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        assert main(["pacs", "status", str(folder)]) == 1
        error = capsys.readouterr().err
        assert f"schema {version} instead of 1" in error
        assert remedy in error
        with pytest.raises(StorageError, match="cannot read"):
            Ledger.open(folder / LEDGER)


def test_the_verb_loads_no_network_library(folder):
    code = (
        "import sys; from plainfilm.cli.main import main\n"
        "try: main(['pacs', 'status', sys.argv[1]])\n"
        "except SystemExit: pass\n"
        "heavy = {'pynetdicom', 'pydicom', 'numpy', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)
