"""Starts drivers and Ray nodes, also in networks of their own, and finds what remains of them."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from plainfilm.cluster import planning
from plainfilm.cluster.open_store import open_store

TESTS = Path(__file__).parent
PATHS = os.pathsep.join(map(str, (TESTS.parent / "src", TESTS)))


def processes(folder: Path) -> list[int]:
    """Return the processes, other than this one, that were started in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
    return found


def title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").replace("\0", " ")
    return ""


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    due = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < due, "this takes too long"
        time.sleep(0.05)
    return value


def parts(out: Path) -> int:
    return len(list((out / "parts").glob("[!.]*.parquet")))


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Return all rows of an output; each planned file has one."""
    rows: list[dict[str, Any]] = parquet.read_table(out / "parts").to_pylist()
    files = [str(path) for path in (out / "plan").glob("*.parquet")]
    planned = parquet.read_table(files, columns=["uri"])["uri"].to_pylist()
    assert sorted(row["uri"] for row in rows) == sorted(planned)
    return rows


@contextlib.contextmanager
def watched_folder() -> Iterator[Path]:
    """Make a folder with a short name; nothing that was started in it may remain."""
    folder = Path(tempfile.mkdtemp(prefix="pf-"))
    try:
        yield folder
        wait_for(lambda: not processes(folder), 15.0)
    finally:
        for pid in processes(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)


def plan(folder: Path, patch: pytest.MonkeyPatch, chunks: int, rows: int = 2) -> Path:
    """Return a new output in a folder, with the plan of drawn files."""
    archive, out = folder / "archive", folder / "out"
    archive.mkdir(parents=True)
    for n in range(chunks * rows):
        (archive / f"{n:04d}.png").write_bytes(b"file %d" % n)
    patch.setattr(planning, "CHUNK_ROWS", rows)
    planning.make_plan(open_store(out), [archive])
    return out


def start(
    out: Path, on: str, seconds: float, *before: str, **environment: str
) -> subprocess.Popen[str]:
    """Start a driver of a job that takes some seconds for a chunk."""
    return subprocess.Popen(
        [*before, sys.executable, "-m", "slow_job", str(out), on, str(seconds)],
        cwd=out.parent,
        env={**os.environ, "PYTHONPATH": PATHS, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def listening(pids: list[int]) -> set[str]:
    """Return the addresses at which processes listen, as hexadecimal digits."""
    sockets = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    sockets.add(str(entry.readlink()))
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text("ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                found.add(words[1].partition(":")[0])
    return found


class Cluster:
    """Two Ray nodes of one core, each in a network of its own, with a link that can be cut.

    The networks are those of two processes that only wait, and are gone with them. On the second
    node, the folder ``unseen`` is another one. Needs root.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "unseen").mkdir()
        wait = ["unshare", "-n", sys.executable, "-c", "print(flush=True); input()"]
        self._waiting = [
            subprocess.Popen(wait, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
        ]
        for process in self._waiting:
            assert process.stdout is not None and process.stdout.readline()
        self._ip(0, f"link add v0 type veth peer name v1 netns {self._waiting[1].pid}")
        for n in range(2):
            self._ip(n, f"addr add 10.77.0.{n + 1}/24 dev v{n}")
            self._ip(n, "link set lo up")
            self._ip(n, f"link set v{n} up")
        self.address = "10.77.0.1:6379"
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._start(0, "--head", "--port=6379", "--include-dashboard=false")
        self.join()

    def inside(self, n: int) -> list[str]:
        """Return how a command begins that runs in a network."""
        return ["nsenter", "-n", "-t", str(self._waiting[n].pid)]

    def network(self, n: int) -> str:
        """Return the name of a network."""
        return str(Path(f"/proc/{self._waiting[n].pid}/ns/net").readlink())

    def driver(self, out: Path, seconds: float) -> subprocess.Popen[str]:
        """Start a driver on the first node."""
        return start(out, f"ray={self.address}", seconds, *self.inside(0), **self.token)

    def join(self) -> None:
        """Start the second node, unless it is there."""
        if len(self._nodes) == 1 or self._nodes[-1].poll() is not None:
            del self._nodes[1:]
            self._start(1, f"--address={self.address}")

    def cut(self) -> None:
        """Cut the link."""
        self._ip(1, "link set v1 down")

    def close(self) -> None:
        """End the nodes and the networks; a node that was cut off may not end by itself."""
        self._ip(1, "link set v1 up")
        for process in self._nodes:
            process.terminate()
        for process in self._nodes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        for process in self._waiting:
            process.communicate(b"\n")
        for pid in processes(self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._nodes:
            process.wait()

    def _ip(self, n: int, command: str) -> None:
        subprocess.run([*self.inside(n), "ip", *command.split()], check=True)

    def _start(self, n: int, *options: str) -> None:
        """Start a node and wait until it runs."""
        home, log = self.folder / f"{n}", self.folder / f"{n}.log"
        mount = 'mount -t tmpfs none "$0"; exec "$@"' if n else 'exec "$@"'
        command = [
            *(*self.inside(n), "unshare", "-m", "sh", "-c", mount, self.folder / "unseen"),
            *(sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start"),
            *("--block", f"--node-ip-address=10.77.0.{n + 1}", f"--temp-dir={home}"),
            *("--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats", *options),
        ]
        checks = {"period_ms": "300", "timeout_ms": "1000", "failure_threshold": "3"}
        environment = {f"RAY_health_check_{key}": value for key, value in checks.items()}
        with log.open("wb") as output:
            node = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": PATHS, **environment, **self.token},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._nodes.append(node)
        wait_for(lambda: b"Ray runtime started" in log.read_bytes() or node.poll(), 60.0)
        assert node.poll() is None, log.read_text("utf-8")
