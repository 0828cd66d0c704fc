"""Tests of the spool: durable files, and what `recover` makes of a crash."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from plainfilm.errors import StorageError, UsageError
from plainfilm.pacs.ledger import Ledger, ResultRow, image_key, uid_key
from plainfilm.pacs.spool import Recovery, Spool, data_set_of, store_image
from plainfilm.pacs.state_folder import StateLock, service_process

pytestmark = pytest.mark.skipif(os.name != "posix", reason="state folders need flock")


class State:
    """A state folder whose lock is held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = StateLock(folder)
        self.ledger = Ledger.open(folder / "ledger.db")
        self.spool = Spool(folder, reserve=0)

    def close(self) -> None:
        self.spool.close()
        self.ledger.close()
        self.lock.release()

    def store(self, name: str) -> str:
        """Store an image; return its key."""
        data = name.encode() * 100
        uid, sha256 = uid_key(name), hashlib.sha256(data).hexdigest()
        key = image_key(uid, sha256)
        store_image(self.ledger, self.spool, key, uid, sha256, uid_key("study"), head(), data)
        return key

    def files(self) -> list[str]:
        """Return the files in the three folders."""
        found = (self.folder.glob(f"{name}/*") for name in ("spool", "outbox", "quarantine"))
        return sorted(f"{path.parent.name}/{path.stem}" for paths in found for path in paths)


def head() -> bytes:
    """Return a preamble and a file meta information of one further element."""
    length = b"\x02\x00\x00\x00UL\x04\x00"
    element = b"\x02\x00\x10\x00UI\x04\x001.2\x00"
    return bytes(128) + b"DICM" + length + len(element).to_bytes(4, "little") + element


@pytest.fixture
def state(tmp_path: Path) -> State:
    opened = State(tmp_path / "state")
    yield opened
    opened.close()


def test_an_image_is_stored_and_read(state):
    key = state.store("1.2")
    data = state.spool.read_image(key)
    assert data == head() + b"1.2" * 100
    assert bytes(data_set_of(data)) == b"1.2" * 100
    assert state.files() == [f"spool/{key}"]
    state.spool.drop_image(key)
    state.spool.drop_image(key)
    assert state.files() == []


def test_everything_is_private_whatever_the_umask(tmp_path):
    for umask in (0o000, 0o077, 0o777):
        before = os.umask(umask)
        try:
            state = State(tmp_path / f"state{umask}")
            key = state.store("1.2")
            state.spool.write_result("ab", b"result")
            state.spool.quarantine(key)
        finally:
            os.umask(before)
        paths = [state.folder, *state.folder.rglob("*")]
        modes = {path.name: path.stat().st_mode & 0o777 for path in paths}
        folders = {path.name for path in paths if path.is_dir()}
        assert modes == {name: 0o700 if name in folders else 0o600 for name in modes}
        assert "ledger.db-wal" in modes
        state.close()


def test_two_services_never_share_a_folder(state):
    assert service_process(state.folder) == os.getpid()
    with pytest.raises(UsageError, match="another service uses the state folder"):
        StateLock(state.folder, seconds=0)
    state.lock.release()
    assert service_process(state.folder) is None
    StateLock(state.folder, seconds=0).release()


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("x")
    mode = tmp_path.stat().st_mode
    with pytest.raises(UsageError, match="holds other files"):
        StateLock(tmp_path)
    assert tmp_path.stat().st_mode == mode


def test_the_reserve_stays_free(state, monkeypatch):
    spool = Spool(state.folder, reserve=1 << 62)
    assert not spool.has_room()
    with pytest.raises(OSError) as caught:
        spool.receive("ab", b"x")
    assert caught.value.errno == errno.ENOSPC
    assert state.files() == []
    spool.write_result("ab", b"x")  # results may use the reserve
    spool.close()


def test_recover_of_a_clean_folder_does_nothing(state):
    key = state.store("1.2")
    assert state.spool.recover(state.ledger) == Recovery()
    assert state.files() == [f"spool/{key}"]


def test_recover_removes_what_a_crash_left(state):
    kept = state.store("1.2")
    state.spool.receive("cafe", b"not recorded")
    (state.folder / "spool" / "beef.0.part").write_bytes(b"half")
    (state.folder / "outbox" / "beef.0.part").write_bytes(b"half")
    answered = state.store("1.3")
    state.spool.write_result("a1", b"result")
    state.spool.write_result("a2", b"not recorded")
    state.ledger.finish({answered: "predicted"}, [ResultRow("a1", "9", "report")], ["a"])
    (state.folder / "spool" / "lost+found").mkdir()
    (state.folder / "outbox" / "lost+found").mkdir()
    assert state.spool.recover(state.ledger) == Recovery(removed=3, unknown=2)
    found = ["outbox/a1", "outbox/lost+found", "quarantine/a2", "quarantine/cafe"]
    assert state.files() == [*found, f"spool/{kept}", "spool/lost+found"]


def test_an_older_ledger_loses_no_file(tmp_path):
    state = State(tmp_path / "state")
    path = tmp_path / "state" / "ledger.db"
    state.close()
    older = path.read_bytes()
    state = State(tmp_path / "state")
    waiting, answered = state.store("1"), state.store("2")
    state.spool.write_result("a1", b"result")
    state.ledger.finish({answered: "predicted"}, [ResultRow("a1", "9", "report")], ["a"])
    state.spool.drop_image(answered)
    state.close()
    files = state.files()
    for name in path.parent.glob("ledger.db*"):
        name.unlink()
    empty = sqlite3.connect(path)  # what remains of a first ledger without its -wal
    empty.execute("PRAGMA journal_mode = WAL")
    empty.close()
    for content in (None, b"", path.read_bytes()):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StorageError, match="there are files in spool and outbox"):
            Ledger.open(path)
        assert state.files() == files
    path.write_bytes(older)
    state = State(tmp_path / "state")
    assert state.spool.recover(state.ledger) == Recovery(unknown=2)
    assert state.files() == ["quarantine/a1", f"quarantine/{waiting}"]
    state.close()


def test_a_link_or_folder_in_the_place_of_an_image_is_lost(state):
    for name in ("1", "2"):
        (state.folder / "spool" / f"{state.store(name)}.dcm").unlink()
    first, second = state.ledger.waiting_images()
    (state.folder / "spool" / f"{first}.dcm").mkdir()
    (state.folder / "spool" / f"{second}.dcm").symlink_to("/etc/passwd")
    assert state.spool.recover(state.ledger) == Recovery(lost_images=2)
    assert state.files() == sorted([f"quarantine/{first}", f"quarantine/{second}"])


def test_recover_reports_what_is_missing_or_damaged(state):
    missing, damaged, whole = (state.store(name) for name in ("1", "2", "3"))
    (state.folder / "spool" / f"{missing}.dcm").unlink()
    (state.folder / "spool" / f"{damaged}.dcm").write_bytes(b"other")
    found = state.spool.recover(state.ledger)
    assert (found.lost_images, found.lost_results) == (2, 0)
    assert state.files() == [f"quarantine/{damaged}", f"spool/{whole}"]
    assert state.ledger.summary().lost == 2
    assert state.store("1") == missing  # its sender may send it again
    assert state.ledger.summary().lost == 1
    assert state.spool.recover(state.ledger) == Recovery()


def test_images_of_a_missing_result_may_be_sent_again(state):
    keys = {state.store("1"): "predicted", state.store("2"): "view"}
    rows = [ResultRow("a1", "9.1", "report"), ResultRow("a2", "9.2", "capture")]
    for _ in range(2):
        state.spool.write_result("a1", b"result")
        state.spool.write_result("a2", b"result")
        assert state.ledger.finish(keys, rows, ["a"]) == []
        for key in keys:
            state.spool.drop_image(key)
        due = state.ledger.due_deliveries("a", time.time(), 9)
        assert {one.result for one in due} == {"a1", "a2"}
        state.spool.drop_result("a1")
        found = state.spool.recover(state.ledger)
        assert (found.lost_images, found.lost_results) == (2, 1)
        assert [state.store("1"), state.store("2")] == [*keys]
    (second,) = state.ledger.due_deliveries("a", time.time(), 9)
    assert state.ledger.delivered(second.id)
    state.spool.write_result("a1", b"result")
    state.spool.write_result("a2", b"result")
    assert state.ledger.finish(keys, rows, ["a"]) == ["a2"]  # delivered before


def test_an_image_in_quarantine_survives_a_crash_before_its_answer(state):
    key = state.store("1")
    state.spool.quarantine(key)
    assert state.spool.recover(state.ledger) == Recovery()
    assert state.spool.remove_quarantined(time.time() + 60, state.ledger) == 0
    assert state.spool.read_image(key)
    state.ledger.finish({key: "not-decodable"}, [], [])
    state.spool.drop_image(key)
    assert state.spool.recover(state.ledger) == Recovery()
    assert state.files() == [f"quarantine/{key}"]
    assert len(list(state.spool.quarantined())) == 1
    assert state.spool.remove_quarantined(time.time() - 60, state.ledger) == 0
    assert state.spool.remove_quarantined(time.time() + 60, state.ledger) == 1


def test_keys_do_not_lead_out_of_the_folder(state):
    for key in ("../x", "", "a/b", "a.b"):
        with pytest.raises(ValueError, match="a key is a hash"):
            state.spool.receive(key, b"x")


def test_links_are_not_followed(state, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    (state.folder / "spool" / "ab.dcm").symlink_to(outside)
    with pytest.raises(OSError):
        state.spool.read_image("ab")
    state.spool.receive("ab", b"x")
    assert outside.read_bytes() == b"secret"
    assert state.spool.read_image("ab") == b"x"


@pytest.mark.parametrize("name", ["spool", "outbox", "quarantine"])
def test_a_folder_that_is_a_link_is_refused(tmp_path, name):
    (tmp_path / "outside").mkdir(mode=0o755)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / name).symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match=f"{name} is not a folder"):
        StateLock(tmp_path / "state")
    assert (tmp_path / "outside").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["lock", "ledger.db", "ledger.db-wal", "ledger.db-shm"])
def test_a_file_that_is_a_link_is_refused(tmp_path, name):
    state = State(tmp_path / "state")
    state.close()
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    (tmp_path / "state" / name).unlink(missing_ok=True)
    (tmp_path / "state" / name).symlink_to(outside)
    with pytest.raises(StorageError):
        State(tmp_path / "state")
    assert outside.read_bytes() == b"secret"


HOLDER = """
import os, subprocess, sys
from pathlib import Path
from plainfilm.pacs.state_folder import StateLock
lock = StateLock(Path(sys.argv[1]))
wait = "import sys; print(flush=True); sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", wait], pass_fds=[lock.descriptor])
os._exit(0)
"""


def test_the_lock_is_held_until_the_network_process_has_ended(tmp_path):
    folder = tmp_path / "state"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    service = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    service.stdout.readline()
    service.wait()
    assert service_process(folder) == service.pid
    with pytest.raises(UsageError):
        StateLock(folder, seconds=0)
    threading.Timer(1.3, service.stdin.close).start()
    StateLock(folder).release()  # longer than the wait for a service that runs
    service.stdout.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_another_user_gets_a_remedy(state):
    state.folder.chmod(0)
    try:
        with pytest.raises(StorageError) as caught:
            Ledger.open_existing(state.folder / "ledger.db")
        assert "run the command as the user that runs the service" in str(caught.value)
    finally:
        state.folder.chmod(0o700)


def test_recover_finds_a_damaged_ledger(tmp_path):
    state = State(tmp_path / "state")
    for number in range(200):
        state.ledger.add_image(f"key{number}", f"uid{number}", f"{number}", "study", ignored=True)
    state.store("1")
    state.close()
    path = tmp_path / "state" / "ledger.db"
    whole = path.read_bytes()
    for page in range(1, len(whole) // 4096, 3):
        path.write_bytes(whole[: page * 4096] + bytes(4096) + whole[(page + 1) * 4096 :])
        with pytest.raises(StorageError, match=r"ledger\.db is damaged"):
            opened = State(tmp_path / "state")
            try:
                opened.spool.recover(opened.ledger)
            finally:
                opened.close()
        assert len(list((tmp_path / "state" / "spool").iterdir())) == 1
