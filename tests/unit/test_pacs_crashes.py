"""No crash, power failure or error of the disk loses an acknowledged image or answers it twice."""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacs_crashes import DESTINATIONS, Crash, Disk, World
from pacs_killed import IMAGES, key_of
from plainfilm.errors import StorageError
from plainfilm.pacs.ledger import Ledger
from plainfilm.pacs.spool import Recovery, Spool, store_image
from plainfilm.pacs.state_folder import LEDGER, StateLock

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")


def full() -> Exception:
    return OSError(errno.ENOSPC, "No space left on device")


def run(world: World, patch: pytest.MonkeyPatch, disk: Disk, actions: list[str]) -> None:
    """Start a service and let it work until it crashes; an error ends one action only."""
    try:
        world.start(disk, patch)
    except (Crash, Exception) as error:
        patch.undo()
        assert disk.steps == disk.at or disk.crashed, error
        return
    try:
        for action in actions:
            name, _, argument = action.partition(" ")
            try:
                if name == "send":
                    world.send(argument)
                elif name == "deliver":
                    world.deliver(argument)
                else:
                    world.answer(refuse=name == "refuse")
            except OSError:
                parts = [*world.folder.glob("*/*.part")]
                assert not parts or disk.at < 0
    except Crash:
        pass
    finally:
        world.stop(disk, patch)


SCENARIO = [
    *("send a1", "send a2", "send b1", "answer", "send a1", "deliver a", "refuse"),
    *("deliver b", "deliver a", "send c1", "deliver b"),
]


@pytest.fixture
def memory(tmp_path):
    """Return a folder of a fast file system; the simulation needs no durable one."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)


@pytest.mark.parametrize("error", [None, full])
def test_a_failure_at_every_step(memory, monkeypatch, error):
    for step in itertools.count(1):
        world = World(memory / "state")
        disk = Disk(step, error, seed=step)
        with monkeypatch.context() as patch:
            run(world, patch, disk, SCENARIO)
            run(world, patch, Disk(0, None), SCENARIO)
            world.finish(patch)
        if disk.steps < step:
            break
    assert step > 100


def test_random_work_with_random_crashes(memory, monkeypatch):
    for seed in range(30):
        chance = random.Random(seed)
        world = World(memory / "state")
        for _ in range(6):
            names = [f"send {chance.choice('abc')}{chance.randrange(4)}" for _ in range(8)]
            others = [f"deliver {name}" for name in DESTINATIONS] + ["answer", "refuse"]
            actions = names + chance.choices(others, k=8)
            chance.shuffle(actions)
            error = chance.choice([None, None, full])
            disk = Disk(chance.randrange(1, 200), error, seed)
            with monkeypatch.context() as patch:
                run(world, patch, disk, actions)
        with monkeypatch.context() as patch:
            world.finish(patch)


def test_kill_9_loses_no_image_and_answers_none_twice(tmp_path):
    script = Path(__file__).parents[1] / "pacs_killed.py"
    chance = random.Random()
    end = time.monotonic() + 2.5
    kills = 0
    while True:
        process = subprocess.Popen([sys.executable, str(script), "service", str(tmp_path)])
        try:
            if time.monotonic() > end:
                assert process.wait(timeout=60) == 0
                break
            (tmp_path / "ready").unlink(missing_ok=True)
            while not (tmp_path / "ready").exists() and chance.random() > 0.01:
                time.sleep(0.01)
            time.sleep(chance.random() * 0.4)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        kills += 1
        (tmp_path / "ready").unlink(missing_ok=True)
    logs = {name: (tmp_path / name).read_text().splitlines() for name in LOGS}
    assert kills >= 3
    assert set(logs["recovered"]) == {"0 0"}
    answered = Counter(key for text in set(logs["delivered"]) for key in text.split())
    assert set(answered.values()) == {1}
    assert set(logs["acknowledged"]) <= answered.keys()
    assert len(answered) == IMAGES
    assert not [*(tmp_path / "state/spool").iterdir(), *(tmp_path / "state/outbox").iterdir()]


LOGS = ("acknowledged", "delivered", "recovered")


def test_a_full_database_leaves_all_consistent(memory):
    state = memory / "state"
    with StateLock(state), Ledger.open(state / LEDGER) as ledger, Spool(state, reserve=0) as spool:
        (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
        ledger._connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        stored = []
        for number in itertools.count():
            key, uid, sha256, data = key_of(number)
            try:
                assert store_image(ledger, spool, key, uid, sha256, "study", data)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                break
            stored.append(key)
        assert stored
        assert not ledger.has_image(key)
        ledger.check()
        assert {path.stem for path in (state / "spool").iterdir()} == set(stored)
        ledger._connection.execute("PRAGMA max_page_count = 1000000")
        assert store_image(ledger, spool, key, uid, sha256, "study", data)


FULL = """
import errno, json, sys
from pathlib import Path
from pacs_killed import key_of
from plainfilm.pacs.ledger import Ledger
from plainfilm.pacs.spool import Recovery, Spool, store_image
from plainfilm.pacs.state_folder import LEDGER, StateLock
state = Path(sys.argv[1], "state")
other = Path(sys.argv[1], "other")
other.write_bytes(bytes(300_000))
with StateLock(state), Ledger.open(state / LEDGER) as ledger, Spool(state, reserve=0) as spool:
    stored, failed = [], []
    for number in range(400):
        key, uid, sha256, data = key_of(number)
        try:
            store_image(ledger, spool, key, uid, sha256, "study", data)
            stored.append(key)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            failed.append(number)
            data = b""  # smaller images meet the limit in the ledger
    assert stored and failed
    assert {path.stem for path in (state / "spool").iterdir()} == set(stored)
    assert spool.recover(ledger) == Recovery()
    other.unlink()
    for key in stored[:20]:
        ledger.finish({key: "predicted"}, [], [])
        spool.drop_image(key)
    key, uid, sha256, data = key_of(failed[0])
    assert store_image(ledger, spool, key, uid, sha256, "study", data)
"""


def test_a_full_disk_leaves_all_consistent(tmp_path):
    mount = f"mount -t tmpfs -o size=3m tmpfs {tmp_path}"
    spaces = ["unshare", "-rm", "sh", "-c"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*spaces, mount], capture_output=True).returncode
    ):
        pytest.skip("this user may not mount a small file system")
    code = f"{mount} && exec {sys.executable} -c '{FULL}' {tmp_path}"
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run([*spaces, code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_busy_database_is_waited_for(memory):
    with Ledger.open(memory / LEDGER) as first, Ledger.open(memory / LEDGER) as second:
        started = threading.Event()

        def hold() -> None:
            with first._writing():
                started.set()
                time.sleep(0.3)

        thread = threading.Thread(target=hold)
        thread.start()
        started.wait()
        assert second.add_image(*key_of(1)[:3], "study")
        thread.join()
        second._connection.execute("PRAGMA busy_timeout = 10")
        with first._writing(), pytest.raises(OSError) as caught:
            second.add_image(*key_of(2)[:3], "study")
        assert caught.value.errno == errno.EBUSY
        assert second.add_image(*key_of(2)[:3], "study")


def test_a_missing_ledger_does_not_empty_the_spool(memory):
    state = memory / "state"
    with StateLock(state), Ledger.open(state / LEDGER) as ledger, Spool(state, reserve=0) as spool:
        store_image(ledger, spool, *key_of(1)[:3], "study", b"x")
    for path in state.glob(f"{LEDGER}*"):
        path.unlink()
    for _ in ("missing", "empty"):
        with StateLock(state), pytest.raises(StorageError, match="there are files in spool"):
            Ledger.open(state / LEDGER)
        (state / LEDGER).touch()
    assert len(list((state / "spool").iterdir())) == 1


def test_two_senders_of_one_image(memory):
    state = memory / "state"
    with StateLock(state), Ledger.open(state / LEDGER) as ledger, Spool(state, reserve=0) as spool:
        for number in range(20):
            key, uid, sha256, data = key_of(number)
            with ThreadPoolExecutor(4) as pool:
                call = (store_image, ledger, spool, key, uid, sha256, "study", data)
                found = [pool.submit(*call) for _ in range(4)]
            assert sorted(one.result() for one in found) == [False, False, False, True]
        assert spool.recover(ledger) == Recovery()
