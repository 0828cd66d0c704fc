"""Training with several seeds: their variation, and the ensemble."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest

from plainfilm.bundle import read_bundle
from plainfilm.runtime import Predictor
from plainfilm.training import open_run

pytest.importorskip("keras")

pytestmark = pytest.mark.slow

RunPlainfilm = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(
    phantoms: Path,
    run_plainfilm: RunPlainfilm,
    tiny_settings: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, tuple[object, ...], Any]:
    out = tmp_path_factory.mktemp("seeds") / "runs"
    settings = [part for setting in tiny_settings for part in ("--set", setting)]
    command = ("train", phantoms, "--recipe", "swift", "--out", out, *settings)
    command = (*command, "--seeds", "2", "--ensemble")
    done = run_plainfilm(*command)
    assert done.returncode == 0, done.stderr
    return out, command, done


def test_each_seed_is_a_run_and_their_variation_is_written(trained: Any) -> None:
    out, _, done = trained
    values = json.loads((out / "seeds.json").read_text(encoding="utf-8"))
    assert [row["seed"] for row in values["rows"]] == [0, 1]
    areas = []
    for row in values["rows"]:
        run = open_run(out / row["folder"])
        assert run.plan.identity.seed == row["seed"]
        stored = json.loads((run.folder / "evaluation" / "evaluation.json").read_text("utf-8"))
        assert stored["metrics"]["auroc"] == row["metrics"]["auroc"]
        assert stored["model"]["id"] == row["bundle"] == run.bundle.id
        areas.append(row["metrics"]["auroc"]["value"])
        page = (run.folder / "evaluation" / "report.html").read_text(encoding="utf-8")
        assert "Variation across seeds" in page
    assert values["variation"]["auroc"]["mean"] == pytest.approx(mean(areas))
    assert values["variation"]["auroc"]["sd"] == pytest.approx(stdev(areas))
    assert "2 trainings of the same recipe" in done.stdout
    parts = [
        {record.id: record.split for record in open_run(out / f"seed-{k}").manifest.records}
        for k in (0, 1)
    ]
    assert parts[0] == parts[1]


def test_the_ensemble_predicts_the_mean_of_its_members(trained: Any) -> None:
    out, _, _ = trained
    together = open_run(out / "ensemble")
    members = [read_bundle(out / f"seed-{k}") for k in (0, 1)]
    assert together.bundle.provenance.members == tuple(member.id for member in members)
    assert together.bundle.provenance.seed == (0, 1)
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64)).astype(np.uint8)
    size = together.bundle.pixels.size
    images = images[:, :size, :size]
    logits = [Predictor(member).logits(images) for member in members]
    found = Predictor(together.bundle).logits(images)
    np.testing.assert_allclose(found, np.mean(logits, axis=0), atol=1e-5)
    assert together.bundle.rejection is not None
    own, first = (one.read_training_images() for one in (together.bundle, members[0]))
    assert own is not None and first is not None and own.to_bytes() == first.to_bytes()


def test_the_keras_model_of_the_ensemble_predicts_the_mean(trained: Any) -> None:
    from plainfilm.training.networks import keras_probabilities

    out, _, _ = trained
    bundle = read_bundle(out / "ensemble")
    size = bundle.pixels.size
    images = np.random.default_rng(1).integers(0, 256, (4, size, size)).astype(np.uint8)
    expected = Predictor(bundle).probabilities(images)
    np.testing.assert_allclose(keras_probabilities(bundle, images), expected, atol=1e-5)


def test_the_ensemble_is_evaluated_reported_and_predicts(trained: Any, run_plainfilm: Any) -> None:
    out, command, _ = trained
    values = json.loads((out / "seeds.json").read_text(encoding="utf-8"))
    stored = json.loads((out / "ensemble/evaluation/evaluation.json").read_text("utf-8"))
    assert values["ensemble"]["metrics"]["auroc"] == stored["metrics"]["auroc"]
    image = next(Path(os.fspath(command[1])).rglob("*.png"), None) or next(
        path for path in Path(os.fspath(command[1])).rglob("*.*") if path.is_file()
    )
    done = run_plainfilm("predict", out / "ensemble", image, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bundle"] == read_bundle(out / "ensemble").id


def test_a_second_call_repeats_nothing(trained: Any, run_plainfilm: Any) -> None:
    out, command, _ = trained
    places = [out / name / "bundle" / "SHA256SUMS" for name in ("seed-0", "seed-1", "ensemble")]
    before = [path.stat().st_mtime_ns for path in places]
    seen = (out / "seed-0/evaluation/evaluation.json").stat().st_mtime_ns
    done = run_plainfilm(*command)
    assert done.returncode == 0, done.stderr
    assert [path.stat().st_mtime_ns for path in places] == before
    assert (out / "seed-0/evaluation/evaluation.json").stat().st_mtime_ns == seen
    more = [part if part != "2" else "1" for part in command]
    refused = run_plainfilm(*more)
    assert refused.returncode == 2
    assert "at least 2 seeds" in refused.stderr


def test_ensemble_and_member_can_be_compared(
    trained: Any, run_plainfilm: Any, tmp_path: Path
) -> None:
    out, _, _ = trained
    asked = ("compare", out / "seed-0", out / "ensemble", "--margin", "0.1")
    done = run_plainfilm(*asked, "--out", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    assert "auroc" in done.stdout
    values = json.loads((tmp_path / "c" / "comparison.json").read_text(encoding="utf-8"))
    [pair] = values["pairs"]
    [rows] = pair["labels"].values()
    row = next(row for row in rows if row["metric"] == "auroc")
    assert row["difference"]["value"] == pytest.approx(
        row["second"]["value"] - row["first"]["value"]
    )
    assert row["verdict"] in ("superior", "non-inferior", "inferior", "not shown")
