"""Ranks divide rows and batches, and wrong settings are refused before any process starts."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras")
pytest.importorskip("jax")

from plainfilm.bundle import BundleMetadata
from plainfilm.cli.main import main
from plainfilm.config import AUGMENTATIONS, load_recipe
from plainfilm.errors import ConfigError
from plainfilm.training import join_training
from plainfilm.training import ranks as module
from plainfilm.training.address import check_coordinator
from plainfilm.training.feed import Feed
from plainfilm.training.group import Group
from plainfilm.training.plan import PLAN, Plan
from plainfilm.training.ranks import RanksTrainer
from plainfilm.training.run import Run

SIDE = 8


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests choose JAX although Keras runs on another backend here, and start nothing."""
    monkeypatch.setattr(module, "choose_backend", lambda name: name or "tensorflow")
    monkeypatch.delattr(module, "_Process")


@pytest.mark.parametrize(("count", "size"), [(64, 2), (7, 3), (2, 4), (0, 2), (5, 1)])
def test_each_row_belongs_to_one_rank(count: int, size: int) -> None:
    rows = np.arange(count)
    parts = [rows[Group(rank, size).rows(count)] for rank in range(size)]
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_group_of_one_exchanges_nothing() -> None:
    alone, values = Group(), np.ones((3, 2), np.float32)
    assert alone.broadcast(b"data") == b"data"
    assert alone.broadcast(None) is None
    assert alone.agree({"loss": float("nan"), "epoch": 1})["epoch"] == 1
    assert alone.gather(values, 3) is values
    alone.compare("identity", {})
    alone.leave()


def test_the_ranks_compute_the_batches_of_one_process() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, SIDE, SIDE), dtype=np.uint8)
    labels = (np.arange(20) % 2).astype(np.float32)[:, None]
    gathered: list[int] = []

    def feed(rank: int, size: int) -> Feed:
        def gather(rows: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
            gathered.append(len(rows))
            return images[rows]

        rows = Group(rank, size).rows(6)
        return Feed(gather, labels, AUGMENTATIONS["radiograph"], SIDE, 6, 3, rows=rows)

    whole = list(feed(0, 1).epoch(2, 1))
    gathered.clear()
    parts = [list(feed(rank, 3).epoch(2, 1)) for rank in range(3)]
    assert set(gathered) == {2}  # each reads only its own images
    for step, batch in enumerate(whole):
        for name in ("images", "transforms", "tones", "labels"):
            own = [getattr(part[step], name) for part in parts]
            np.testing.assert_array_equal(np.concatenate(own), getattr(batch, name))


@pytest.mark.parametrize("backend", ["tensorflow", "torch", None])
def test_other_backends_are_refused(backend: str | None) -> None:
    with pytest.raises(ConfigError, match="cannot train with several ranks") as caught:
        RanksTrainer(load_recipe("swift"), backend, 2)
    assert caught.value.remedy == "choose jax with backend="


@pytest.mark.parametrize(
    ("batch", "ranks", "remedy"),
    [(64, 3, "set batch=66 or batch=63"), (2, 4, "set batch=4")],
)
def test_a_batch_that_cannot_be_divided(batch: int, ranks: int, remedy: str) -> None:
    with pytest.raises(ConfigError, match="equal parts") as caught:
        RanksTrainer(load_recipe("swift", [f"batch={batch}"]), "jax", ranks)
    assert caught.value.received == f"batch={batch} for ranks={ranks}"
    assert caught.value.remedy == remedy


@pytest.mark.parametrize(("ranks", "rank"), [(0, 0), (-1, 0), (1, 0), (2, 2), (2, -1)])
def test_ranks_that_do_not_exist(ranks: int, rank: int) -> None:
    with pytest.raises(ConfigError, match="a number from 0 to ranks - 1"):
        RanksTrainer(load_recipe("swift"), "jax", ranks, "localhost:1234", rank)


@pytest.mark.parametrize("address", ["localhost", ":1234", "localhost:", "localhost:x", "a:70000"])
def test_a_coordinator_without_a_port(address: str) -> None:
    with pytest.raises(ConfigError, match="an address with a port") as caught:
        RanksTrainer(load_recipe("swift"), "jax", 2, address, 1)
    assert caught.value.received == address


def test_a_coordinator_whose_port_is_in_use_or_that_is_another_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError, match="cannot listen") as caught:
            RanksTrainer(load_recipe("swift"), "jax", 2, address, 0)
        check_coordinator(address, listens=False)
    assert "in use" in str(caught.value.received)
    with pytest.raises(ConfigError, match="cannot listen"):
        RanksTrainer(load_recipe("swift"), "jax", 2, "192.0.2.1:1234", 0)  # of no machine
    with pytest.raises(ConfigError, match="not an address"):
        check_coordinator("no machine:1234", listens=False)


def test_a_probe_is_refused() -> None:
    with pytest.raises(ConfigError, match="not trained by gradient descent"):
        RanksTrainer(load_recipe("probe"), None, 2)


def test_rank_0_is_started_by_train() -> None:
    with pytest.raises(ConfigError, match="rank 0 writes the run"):
        join_training("nowhere", ranks=2, rank=0, coordinator="localhost:1234", backend="jax")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--rank", "1"), "--coordinator and --rank belong together"),
        (("--coordinator", "localhost:1234"), "--coordinator and --rank belong together"),
        (
            ("--coordinator", "localhost:1234", "--rank", "0", "--seeds", "2"),
            "several trainings cannot have a coordinator",
        ),
        (
            ("--coordinator", "localhost:1234", "--rank", "1", "--folds", "2"),
            "several trainings cannot have a coordinator",
        ),
        (("--backend", "torch"), "torch cannot train with several ranks"),
        (("--backend", "jax", "--set", "batch=9"), "set batch=10 or batch=8"),
    ],
)
def test_the_command_refuses(
    arguments: tuple[str, ...],
    problem: str,
    phantoms: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    command = ["train", str(phantoms), "--recipe", "swift", "--out", str(out), "--ranks", "2"]
    assert main([*command, *arguments]) == 2
    assert problem in capsys.readouterr().err
    assert not out.exists()


def test_plans_and_bundles_from_before_have_one_rank(tiny_run: Run, run_copy: Path) -> None:
    plan = json.loads((run_copy / PLAN).read_text())
    assert plan["identity"].pop("ranks") == 1
    (run_copy / PLAN).write_text(json.dumps(plan))
    assert Plan.read(run_copy / PLAN) == tiny_run.plan
    provenance = tiny_run.bundle.provenance
    assert provenance.ranks == 1
    document = json.loads((tiny_run.bundle.folder / "bundle.json").read_text())
    assert document["provenance"].pop("ranks") == 1
    assert BundleMetadata.from_json(document).provenance == provenance
