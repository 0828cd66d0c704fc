"""Nodes and addresses that are refused before any work is done on Ray."""

from __future__ import annotations

import errno
import platform
import shutil
import socket
from pathlib import Path

import pytest

from plainfilm._machine import versions
from plainfilm.cluster.on_ray import open_chunks
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.planning import make_plan
from plainfilm.cluster.ray_connection import refuse
from plainfilm.cluster.ray_tasks import RayTasks
from plainfilm.cluster.ray_worker import make_task
from plainfilm.cluster.run_job import open_engine
from plainfilm.errors import MissingExtraError, RunError, StorageError, UsageError
from slow_job import SlowJob


def test_a_node_works_with_the_same_versions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    work = make_task()
    expected = {**versions("numpy", "pyarrow"), "pylibjpeg": "0.1"}
    node, found = work(expected, "name", b"", b"")
    assert node == platform.node()
    assert found == {"pylibjpeg": versions("pylibjpeg").get("pylibjpeg")}
    error = refuse(node, found, expected)
    assert f"the Ray node {node} has other versions" in str(error)
    assert "here: 0.1" in str(error) and "constraints.txt" in str(error)


def test_a_node_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    refused = make_task()({}, "name", b"", b"")
    assert "runs code for anyone" in str(refuse(*refused, {}))


def test_an_address_at_which_nothing_listens_is_refused_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UsageError, match="no Ray cluster at 127") as caught:
        RayTasks(int, address=address)
    assert "refused" in str(caught.value)
    with pytest.raises(UsageError, match="no Ray cluster at head") as caught:
        RayTasks(int, address="head")
    assert "not HOST:PORT" in str(caught.value)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError('no ray', name='ray')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="'ray'") as caught:
        RayTasks(int)
    assert "'.[cluster]'" in str(caught.value)


@pytest.mark.parametrize("on", ["rays", "ray=", "local=1", "dask"])
def test_unknown_engines_are_refused(on: str) -> None:
    with pytest.raises(UsageError, match="there is no such engine"):
        open_engine(on, SlowJob(0.0), "out", None, 1)


def test_a_full_disk_where_a_job_is_opened_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(job: SlowJob) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "1.png").write_bytes(b"1")
    make_plan(open_store(tmp_path / "out"), [tmp_path / "archive"])
    monkeypatch.setattr(SlowJob, "open", fail)
    with pytest.raises(StorageError, match=r"temporary files .* is full"):
        open_chunks(SlowJob(0.0), str(tmp_path / "out"))


def test_a_machine_without_the_archive_or_the_output_does_not_write_rows(tmp_path: Path) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    (archive / "1.png").write_bytes(b"1")
    make_plan(open_store(out), [archive])
    (archive / "1.png").unlink()  # as an empty folder on which nothing is mounted
    with pytest.raises(RunError, match="the archive is not on this machine"):
        open_chunks(SlowJob(0.0), str(out))
    shutil.rmtree(archive)
    with pytest.raises(RunError, match="the archive is not on this machine") as caught:
        open_chunks(SlowJob(0.0), str(out))
    assert f"{archive} on {socket.gethostname()}" in str(caught.value)
    shutil.rmtree(out)
    with pytest.raises(RunError, match="no plan on this machine"):
        open_chunks(SlowJob(0.0), str(out))
    assert not out.exists()
