"""Processes that write to one store at the same time, and one that is killed while it writes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plainfilm.cluster.open_store import open_store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes")

WRITER = """
import sys, time
from pathlib import Path
from plainfilm.cluster.open_store import open_store

folder, name, links = sys.argv[1:]
if links == "none":
    import errno, os
    def no_links(*_): raise OSError(errno.EPERM, "no links")
    os.link = no_links
store = open_store(folder)
Path(folder, f"ready-{name}").touch()
while not Path(folder, "go").exists():
    time.sleep(0.001)
print(*(number for number in range(60) if store.put_new(f"parts/{number}", name.encode() * 5000)))
"""

KILLED = """
import os, signal, sys
from plainfilm.cluster.open_store import open_store

def killed(*_): os.kill(os.getpid(), signal.SIGKILL)
os.link = killed
open_store(sys.argv[1]).put_new("parts/0", b"data")
"""


@pytest.mark.parametrize("links", ["hard", "none"])
def test_each_part_is_written_by_one_of_several_processes(tmp_path: Path, links: str) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name, links],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "abc"
    ]
    while len(list(tmp_path.glob("ready-*"))) < len(writers):
        assert all(writer.poll() is None for writer in writers)
    (tmp_path / "go").touch()
    store = open_store(tmp_path)
    written = {}
    for name, writer in zip("abc", writers, strict=True):
        output, _ = writer.communicate(timeout=30)
        assert writer.returncode == 0
        for number in map(int, output.split()):
            assert written.setdefault(number, name) == name, "two processes wrote one part"
    assert sorted(written) == list(range(60))
    for number, name in written.items():
        assert store.read(f"parts/{number}") == name.encode() * 5000
    hidden = [path.name for path in (tmp_path / "parts").iterdir() if path.name.startswith(".")]
    assert hidden == []


def test_a_process_killed_before_its_part_has_a_name_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    (left,) = (tmp_path / "parts").iterdir()
    assert left.name.startswith(".")
    store = open_store(tmp_path)
    assert list(store.entries("parts")) == [] and not store.exists("parts/0")
    assert store.put_new("parts/0", b"data")
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["0"]
