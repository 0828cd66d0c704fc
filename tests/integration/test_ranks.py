"""Two processes train one network: the same bytes each time, also after one of them was killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plainfilm.training import Run, open_run

pytest.importorskip("keras")
pytest.importorskip("jax")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"),
]

SETTINGS = (
    *("size=32", "network.options.channels=[16]", "epochs=12", "minimum_steps=0", "batch=16"),
    *("limit=60", "precision=float32"),
)


@pytest.fixture(scope="module")
def environment(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which each rank has one thread, and nothing is compiled twice."""
    return {
        **os.environ,
        "PJRT_NPROC": "1",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def start(
    data: Path, out: Path, environment: dict[str, str], *arguments: object
) -> subprocess.Popen[str]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "plainfilm", "train", str(data), "--recipe", "swift"),
            *("--out", str(out), "--backend", "jax", "--no-evaluation", *settings),
            *map(str, arguments),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Return what a process printed, and end it if it does not end."""
    try:
        return process.communicate(timeout=240)[0]
    finally:
        process.kill()


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the ids of the processes of the ranks of a command, in the order of their start."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_text()
        except OSError:  # it has ended
            continue
        if parent == process.pid and "plainfilm.training.rank" in command:
            found.append(int(folder.name))
    return sorted(found)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def uninterrupted(
    phantoms: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """Train with two commands that find each other through a coordinator."""
    folder = tmp_path_factory.mktemp("ranks")
    address = f"127.0.0.1:{free_port()}"
    options = ("--ranks", 2, "--coordinator", address, "--rank")
    other = start(phantoms, folder / "nothing", environment, *options, 1)
    first = start(phantoms, folder / "run", environment, *options, 0)
    try:
        printed, printed_by_other = finish(first), finish(other)
    finally:
        other.kill()
    assert first.returncode == 0, printed
    assert other.returncode == 0, printed_by_other
    assert "rank 1 is finished" in printed_by_other
    assert not (folder / "nothing").exists()
    yield open_run(folder / "run")


def test_a_training_on_two_ranks_is_recorded(uninterrupted: Run) -> None:
    assert uninterrupted.plan.identity.ranks == 2
    assert uninterrupted.bundle.provenance.ranks == 2
    assert len(uninterrupted.history) == 12
    assert "| Processes | 2 |" in (uninterrupted.bundle.folder / "MODEL_CARD.md").read_text()


def test_a_killed_rank_ends_all_and_the_same_command_continues(
    uninterrupted: Run, phantoms: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = start(phantoms, out, environment, "--ranks", 2)
    until = time.monotonic() + 240
    while not (out / "state.safetensors").exists() and time.monotonic() < until:
        assert process.poll() is None, finish(process)
        time.sleep(0.005)
    both = ranks_of(process)
    assert len(both) == 2
    os.kill(both[1], signal.SIGKILL)
    printed = finish(process)
    assert process.returncode == 1, printed
    assert "rank 1 of 2 has ended unexpectedly" in printed
    assert "signal 9 (SIGKILL)" in printed
    assert "repeat the same command" in printed
    assert "Traceback" not in printed
    assert not any(map(is_alive, both))

    process = start(phantoms, out, environment, "--ranks", 2)
    printed = finish(process)
    assert process.returncode == 0, printed
    continued = open_run(out)
    weights = [run.bundle.folder / "weights.safetensors" for run in (uninterrupted, continued)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    # The losses show that it did not start again: each epoch was trained once.
    assert [row["loss"] for row in continued.history] == [
        row["loss"] for row in uninterrupted.history
    ]


def test_another_number_of_ranks_at_the_coordinator() -> None:
    address = f"127.0.0.1:{free_port()}"
    code = """
import sys
from plainfilm.training.group import join
rank, size = int(sys.argv[1]), int(sys.argv[2])
join(rank, size, sys.argv[3], device=0, here=1, identity={"ranks": size})
"""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", code, rank, size, address], stderr=subprocess.PIPE, text=True
        )
        for rank, size in (("0", "2"), ("1", "4"))
    ]
    for process in ranks:
        error = process.communicate(timeout=120)[1]
        assert process.returncode == 1, error
        assert "RunError: ranks " in error
        assert "would not train the same" in error
        assert "received: ranks was " in error
