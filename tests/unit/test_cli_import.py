"""``plainfilm import`` writes a bundle that ``plainfilm predict`` uses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.cli import import_model
from plainfilm.cli.main import main
from plainfilm.importing import PRESETS

pytest.importorskip("onnx")

from onnx_networks import residual


def draw(folder: Path) -> list[str]:
    rng = np.random.default_rng(3)
    paths = [str(folder / f"{number}.png") for number in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (40, 32)).astype(np.uint8)).save(path)
    return paths


def test_the_help_lists_all_presets() -> None:
    assert set(import_model._PRESETS) == set(PRESETS)


def test_import_and_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = residual(tmp_path / "net.onnx", columns=2), str(tmp_path / "bundle")
    words = ["--labels", "mass,edema", "--task", "multilabel", "--output-kind", "logits"]
    image = ["--range=-1,1", "--mean", "0.1", "--std", "0.4,0.5,0.6", "--geometry", "crop"]
    more = ["--threshold", "edema=0.5", "--licence", "CC-BY-4.0", "--out", out]
    assert main(["import", str(path), *words, *image, *more]) == 0
    shown = capsys.readouterr().out
    assert "3 x 32 x 32 (nchw, float32), geometry crop, -1 (black) to 1 (white)" in shown
    assert "mean 0.1 and std 0.4, 0.5, 0.6" in shown
    origin = json.loads((tmp_path / "bundle" / "bundle.json").read_text())["provenance"]
    assert origin["imported_from"]["file"] == "net.onnx"
    assert 'license_name: "CC-BY-4.0"' in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()

    assert main(["predict", out, *draw(tmp_path), "--format", "csv"]) == 0
    rows = [*csv.DictReader(capsys.readouterr().out.splitlines())]
    for row in rows:
        positive = float(row["probability_edema"]) >= 0.5
        assert row["predicted"] == ("edema" if positive else "none")


def test_without_a_threshold_no_class_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = residual(tmp_path / "net.onnx", end="Sigmoid"), str(tmp_path / "bundle")
    words = ["--labels", "ILL", "--negative", "WELL", "--preset", "keras-torch"]
    assert main(["import", str(path), *words, "--out", out]) == 0
    assert "no threshold is locked or given" in capsys.readouterr().out
    assert main(["predict", out, *draw(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert all(line.split()[1] == "-" for line in shown.out.splitlines()[1:])
    assert "no threshold is locked or given" in shown.err


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        (["--labels", "a,b"], 2, "give --preset with the library of the network, or --range"),
        (["--labels", "a,b", "--range", "0,1"], 2, "say what it contains with --output-kind"),
        (["--labels", "a,b", "--range", "1"], 2, "--range needs two numbers LOW,HIGH"),
        (["--labels", "a,b", "--range", "0,1,2"], 2, "--range needs two numbers LOW,HIGH"),
        (["--labels", "a,b", "--range", "0,1", "--mean", "1,2"], 2, "the mean must have one value"),
        (["--labels", "a,b", "--range", "0,1", "--std", "1,2"], 2, "the std must have one value"),
        (["--labels", "a", "--range", "0,1"], 2, "name every column with --labels"),
        (["--labels", "a,b", "--threshold", "half"], 2, "a threshold must be a number"),
        (
            ["--labels", "a,b", "--range=0,1", "--output-kind", "probabilities", "--task=binary"],
            1,
            "use --output-kind with logits",
        ),
    ],
)
def test_errors_name_options(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    status: int,
    problem: str,
) -> None:
    path = residual(tmp_path / "net.onnx", columns=2)
    assert main(["import", str(path), *words, "--out", str(tmp_path / "bundle")]) == status
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--range", "0,x"], ["--mean", ""], ["--std", "0.2,,0.3"]])
def test_a_scale_must_consist_of_numbers(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["import", "net.onnx", "--labels", "a,b", "--out", "bundle", *words])
    assert f"{words[0]}: must be numbers, not {words[1]!r}" in capsys.readouterr().err
