"""Predictions are in order, with errors for bad files, and independent of each other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import plainfilm
from plainfilm.bundle import Bundle
from plainfilm.errors import BundleError, UsageError
from plainfilm.prediction import Prediction
from plainfilm.records import Task
from plainfilm.runtime import Predictor, load

SIDE = 16
MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]

THREE = Task("multiclass", ("a", "b", "c"), ("a", "b", "c"))
MANY = Task("multilabel", ("a", "b"), ("a", "b"))


def believed(grey: float, gain: float = 1.0) -> float:
    return float(1 / (1 + np.exp(-gain * (grey - 128) / 32)))


def noise(n: int) -> NDArray[np.uint8]:
    return np.random.default_rng(n).integers(0, 256, (n, SIDE, SIDE), dtype=np.uint8)


def test_probabilities_and_logits_are_those_of_the_graph(make_bundle: MakeBundle) -> None:
    predictor = Predictor(make_bundle(task=MANY, gains=(1.0, -2.0)))
    images = noise(5)
    means = images.mean(axis=(1, 2))
    expected = np.stack([(means - 128) / 32, -(means - 128) / 16], axis=1)
    np.testing.assert_allclose(predictor.logits(images), expected, atol=1e-4)
    made = predictor.probabilities(images)
    assert made.dtype == np.float32
    assert made.shape == (5, 2)
    np.testing.assert_allclose(made, 1 / (1 + np.exp(-expected)), atol=1e-5)
    assert predictor.labels == ("a", "b")
    assert predictor.activation_maps(images) is None


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 130])
def test_the_number_of_images_does_not_matter(make_bundle: MakeBundle, n: int) -> None:
    predictor = Predictor(make_bundle())
    images = noise(n)
    together = predictor.probabilities(images)
    assert together.shape == (n, 1)
    assert together.dtype == np.float32
    alone = [predictor.probabilities(images[i : i + 1]) for i in range(n)]
    for one, row in zip(alone, together, strict=True):
        np.testing.assert_allclose(one[0], row, atol=1e-6)
    assert predictor.logits(images).shape == (n, 1)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, SIDE, SIDE), np.float32),
        np.zeros((2, SIDE, SIDE), np.int64),
        np.zeros((SIDE, SIDE), np.uint8),
        np.zeros((2, SIDE, SIDE, 1), np.uint8),
        np.zeros((2, SIDE, SIDE + 1), np.uint8),
        np.zeros((2, 8, 8), np.uint8),
    ],
)
def test_other_pixels_are_refused(make_bundle: MakeBundle, pixels: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"uint8 of shape \(n, 16, 16\)"):
        Predictor(make_bundle()).probabilities(pixels)


def test_predictions_are_in_the_order_of_the_sources(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    greys = np.random.default_rng(0).permutation(150) + 50.0
    paths = [draw_grey(tmp_path / "images" / f"{n:03d}.png", g) for n, g in enumerate(greys)]
    for workers in (None, 1, 3):
        predictions = list(load(make_bundle().folder).predict(paths, workers=workers))
        assert [prediction.id for prediction in predictions] == [str(path) for path in paths]
        made = [prediction.probabilities["bright"] for prediction in predictions]
        np.testing.assert_allclose(made, [believed(grey) for grey in greys], atol=1e-5)


def test_a_bad_file_has_a_prediction_with_its_error(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    good = draw_grey(tmp_path / "good.png", 200)
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:40])
    text = tmp_path / "text.jpeg"
    text.write_text("this is no image", encoding="utf-8")
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    sources = [cut, good, text, tmp_path / "missing.png", good, empty, tmp_path]
    predictions = list(Predictor(make_bundle()).predict(sources))
    assert [a.id for a in predictions] == [str(s) for s in sources]
    good_ones = [a for a in predictions if a.reason is None]
    assert [a.id for a in good_ones] == [str(good)] * 2
    assert good_ones[0] == good_ones[1]
    reasons = [a.reason for a in predictions]
    assert reasons[3] == "missing"
    assert reasons[5] == "empty"
    for prediction in predictions:
        if prediction.reason is not None:
            assert prediction.is_unreadable and not prediction.rejected
            assert prediction.problem
            assert prediction.probabilities == {}
            assert prediction.predicted == {}


def test_only_bad_files(make_bundle: MakeBundle, tmp_path: Path) -> None:
    (prediction,) = Predictor(make_bundle()).predict([tmp_path / "missing.png"])
    assert (prediction.reason, prediction.probabilities) == ("missing", {})


def test_bytes_are_sources_too(make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path) -> None:
    path = draw_grey(tmp_path / "a.png", 150)
    data = path.read_bytes()
    predictions = list(Predictor(make_bundle()).predict([data, path, str(path), b"", data]))
    assert [a.id for a in predictions] == ["#0", str(path), str(path), "#3", "#4"]
    assert predictions[3].reason == "empty"
    chances = [a.probabilities["bright"] for a in predictions if not a.reason]
    assert chances == [pytest.approx(believed(150), abs=1e-5)] * 4
    assert len(set(chances)) == 1
    assert predictions[0].metadata["format"] == predictions[1].metadata["format"]


def test_no_sources(make_bundle: MakeBundle) -> None:
    assert list(Predictor(make_bundle()).predict([])) == []


def test_a_long_list_is_not_read_at_once(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    data = draw_grey(tmp_path / "a.png", 150).read_bytes()
    taken = 0

    def sources() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield data

    predictions = Predictor(make_bundle()).predict(sources(), workers=3)
    next(predictions)
    assert taken <= 128
    assert 1 + sum(1 for _ in predictions) == 1000


@pytest.mark.parametrize("count", [2, 15, 16, 17, 64])
def test_predictions_do_not_depend_on_other_images(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path, count: int
) -> None:
    files = [draw_grey(tmp_path / f"{level}.png", 20 + 3 * level) for level in range(count)]
    predictor = Predictor(make_bundle())
    alone = [prediction for file in files for prediction in predictor.predict([file])]
    assert list(predictor.predict(files)) == alone
    assert list(Predictor(make_bundle(), threads=1).predict(files, workers=1)) == alone


def test_replacing_the_bundle_does_not_change_a_loaded_predictor(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    bundle = make_bundle()
    predictor, file = Predictor(bundle), draw_grey(tmp_path / "a.png", 150)
    before = predict(predictor, file)
    bundle.graph.write_bytes(b"another")
    assert list(predictor.predict([file] * 40)) == [before] * 40


def predict(predictor: Predictor, source: Path) -> Prediction:
    (prediction,) = predictor.predict([source])
    return prediction


def test_predicted_classes_of_two_classes(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    predictor = Predictor(
        make_bundle(thresholds={"balanced": 0.5, "rule-out": 0.2, "rule-in": 0.8})
    )
    dim = predict(predictor, draw_grey(tmp_path / "dim.png", 100))  # 0.29
    assert dim.predicted == {"balanced": "dark", "rule-out": "bright", "rule-in": "dark"}
    light = predict(predictor, draw_grey(tmp_path / "light.png", 200))  # 0.90
    assert set(light.predicted.values()) == {"bright"}


def test_a_probability_at_the_threshold_is_positive(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    prediction = predict(Predictor(make_bundle()), draw_grey(tmp_path / "even.png", 128))
    assert prediction.probabilities["bright"] == 0.5
    assert prediction.predicted["balanced"] == "bright"


def test_predicted_classes_of_several_classes(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    predictor = Predictor(make_bundle(task=THREE, gains=(-1.0, 0.1, 2.0)))
    assert predict(predictor, draw_grey(tmp_path / "a.png", 60)).predicted == {"most-likely": "a"}
    assert predict(predictor, draw_grey(tmp_path / "c.png", 190)).predicted == {"most-likely": "c"}


def test_predicted_classes_of_several_labels(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    bundle = make_bundle(task=MANY, gains=(1.0, -1.0), thresholds={"balanced": 0.5})
    prediction = predict(Predictor(bundle), draw_grey(tmp_path / "a.png", 190))
    assert prediction.predicted == {"a/balanced": "positive", "b/balanced": "negative"}


def test_a_graph_that_cannot_be_loaded(make_bundle: MakeBundle) -> None:
    bundle = make_bundle(graph=b"this is no graph")
    with pytest.raises(BundleError, match="cannot be loaded"):
        Predictor(bundle)


def test_a_changed_bundle_is_refused_before_it_runs(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    with open(bundle.graph, "ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match="changed after it was sealed"):
        Predictor(bundle.folder)


def test_a_negative_number_of_workers(make_bundle: MakeBundle) -> None:
    with pytest.raises(UsageError, match="workers"):
        list(Predictor(make_bundle()).predict([b""], workers=-1))


@pytest.mark.parametrize("sources", [b"\1\2", "scan.png", Path("scan.png"), 5])
def test_sources_must_be_a_list(make_bundle: MakeBundle, sources: Any) -> None:
    with pytest.raises(UsageError, match="needs a list"):
        list(Predictor(make_bundle()).predict(sources))


def test_onnx_runtime_reports_nothing(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    image = draw_grey(tmp_path / "a.png", 100)
    code = "import sys, plainfilm; print(*plainfilm.load(sys.argv[1]).predict([sys.argv[2]]))"
    home = tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, make_bundle().folder, image],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert "probabilities" in done.stdout
    assert list(home.rglob("*")) == []  # the telemetry of ONNX Runtime stores an id of the device


def test_the_public_name(make_bundle: MakeBundle) -> None:
    assert plainfilm.load is load
    assert isinstance(plainfilm.load(make_bundle().folder, threads=1), Predictor)
