"""Scores of scikit-learn, an imported network and human readers take the same commands."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from onnx_networks import residual
from plainfilm.cli.main import main
from plainfilm.data import Manifest, load_dataset
from plainfilm.phantom import write_dataset

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw images, fit a classifier of scikit-learn on them, and write its scores as a table."""
    folder = tmp_path_factory.mktemp("study")
    write_dataset(
        folder / "data", images={"train": 60, "test": 60}, size=64, seed=4, subtlety=(0.4, 0.9)
    )
    manifest = load_dataset(folder / "data")
    pixels = np.stack(
        [
            np.asarray(Image.open(one.path).convert("L").resize((12, 12)), float).ravel() / 255
            for one in manifest.records
        ]
    )
    labels = manifest.label_array()[:, 0]
    train = np.array([one.official == "train" for one in manifest.records])
    model = LogisticRegression(C=0.05, max_iter=1000).fit(pixels[train], labels[train])
    scores = model.predict_proba(pixels)[:, 1]
    write(folder / "scores.csv", ["file", "score"], zip(manifest.ids, scores, strict=True))
    rng = np.random.default_rng(0)
    calls = [np.where(rng.random(len(labels)) < 0.8, labels, 1 - labels) for _ in range(3)]
    rows = ([name, *map(int, own)] for name, *own in zip(manifest.ids, *calls, strict=True))
    write(folder / "readers.csv", ["id", "reader_1", "reader_2", "reader_3"], rows)
    return folder


def write(path: Path, header: list[str], rows: Any) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def arrays(folder: Path, manifest: Manifest) -> tuple[Any, Any]:
    """Return the ground truth and the scores of the test images."""
    with open(folder / "scores.csv", encoding="utf-8") as file:
        scores = {row["file"]: float(row["score"]) for row in csv.DictReader(file)}
    test = [one for one in manifest.records if one.official == "test"]
    return np.array([one.labels[0] for one in test]), np.array([scores[one.id] for one in test])


def test_any_classifier_and_readers(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    data, readers = str(study / "data"), ["--readers", str(study / "readers.csv")]
    table = ["evaluate", "--predictions", str(study / "scores.csv"), data, "--threshold", "0.5"]
    assert main([*table, *readers, "--out", "scikit"]) == 0
    residual(tmp_path / "net.onnx", end="Sigmoid")
    names = ["--labels", "PNEUMONIA", "--negative", "NORMAL", "--range", "0,1"]
    assert main(["import", "net.onnx", *names, "--threshold", "0.5", "--out", "net"]) == 0
    network = ["evaluate", "net", data, "--no-robustness", *readers]
    assert main([*network, "--out", "network"]) == 0
    assert main(["compare", "scikit", "network", "--out", "compared"]) == 0

    y_true, y_score = arrays(study, load_dataset(study / "data"))
    found = json.loads((tmp_path / "scikit" / "evaluation.json").read_text("utf-8"))
    area = roc_auc_score(y_true, y_score)
    assert found["metrics"]["auroc"]["value"] == pytest.approx(area, abs=1e-6)
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(
        np.mean((y_score >= 0.5) == y_true)
    )
    assert found["model"]["kind"] == "predictions" and found["n"] == 60
    assert "Human readers" in (tmp_path / "scikit" / "report.html").read_text("utf-8")
    other = json.loads((tmp_path / "network" / "evaluation.json").read_text("utf-8"))
    assert other["model"]["kind"] == "bundle"
    # The readers read the same images, whatever the model is.
    ours, theirs = (one["readers"]["labels"]["PNEUMONIA"]["readers"] for one in (found, other))
    assert [one["metrics"]["sensitivity"]["value"] for one in ours] == [
        one["metrics"]["sensitivity"]["value"] for one in theirs
    ]
    compared = json.loads((tmp_path / "compared" / "comparison.json").read_text("utf-8"))
    [pair] = compared["pairs"]
    row = next(one for one in pair["labels"]["PNEUMONIA"] if one["metric"] == "auroc")
    assert row["first"]["value"] == pytest.approx(area, abs=1e-6)
    assert row["difference"]["value"] == pytest.approx(
        other["metrics"]["auroc"]["value"] - area, abs=1e-6
    )
