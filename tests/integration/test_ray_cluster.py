"""A cluster of two Ray nodes: processes, nodes and the link between them are lost; no row is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ray_nodes import (
    Cluster,
    parts,
    plan,
    processes,
    rows_of,
    start,
    title,
    wait_for,
    watched_folder,
)

pytest.importorskip("ray")
if not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
    pytest.skip("needs iproute2 and util-linux", allow_module_level=True)
if subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True, check=False).returncode:
    pytest.skip("needs the right to make networks, as root has", allow_module_level=True)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    with watched_folder() as folder:
        cluster = Cluster(folder)
        try:
            yield cluster
        finally:
            cluster.close()


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    started.join()
    return started


@pytest.fixture
def out(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Return an output of 16 chunks without parts."""
    return plan(cluster.folder / request.node.name, monkeypatch, 16)


def of_network(cluster: Cluster, n: int, name: str) -> list[int]:
    """Return the processes in a network whose title contains a name."""
    return [
        pid
        for pid in processes(cluster.folder)
        if name in title(pid) and str(Path(f"/proc/{pid}/ns/net").readlink()) == cluster.network(n)
    ]


def test_a_driver_on_ray_and_a_local_one_share_an_output(cluster: Cluster, out: Path) -> None:
    on_ray = cluster.driver(out, 0.7)
    wait_for(lambda: parts(out) >= 2)
    local = start(out, "local", 0.7)
    for driver in (on_ray, local):
        output, errors = driver.communicate(timeout=120)
        assert output == "finished 0\n", errors
    networks = {row["network"] for row in rows_of(out)}
    assert {cluster.network(0), cluster.network(1)} < networks


def test_a_driver_and_a_worker_are_killed(cluster: Cluster, out: Path) -> None:
    driver = cluster.driver(out, 0.5)
    wait_for(lambda: parts(out) >= 2)
    driver.kill()
    driver.communicate()
    wait_for(lambda: not of_network(cluster, 1, "ray::work"), 15.0)
    driver = cluster.driver(out, 0.5)
    worker = wait_for(lambda: of_network(cluster, 1, "ray::work"))[0]
    os.kill(worker, signal.SIGKILL)
    output, errors = driver.communicate(timeout=120)
    assert output == "finished 0\n", errors
    rows_of(out)


def test_a_node_that_does_not_see_the_output_is_refused(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = plan(cluster.folder / "unseen" / "job", monkeypatch, 16)
    output, errors = cluster.driver(out, 0.1).communicate(timeout=120)
    assert output == "" and "the output has no plan on this machine" in errors
    assert str(out) in errors


def test_a_node_is_killed(cluster: Cluster, out: Path) -> None:
    driver = cluster.driver(out, 0.5)
    wait_for(lambda: parts(out) >= 2)
    (raylet,) = of_network(cluster, 1, "raylet/raylet")
    os.kill(raylet, signal.SIGKILL)
    output, errors = driver.communicate(timeout=120)
    assert output == "finished 0\n", errors
    rows_of(out)


def test_a_node_is_cut_off(cluster: Cluster, out: Path) -> None:
    driver = cluster.driver(out, 0.5)
    wait_for(lambda: parts(out) >= 2)
    cluster.cut()
    output, errors = driver.communicate(timeout=120)
    assert output == "finished 0\n", errors
    rows_of(out)
