"""An imported network gives the outputs of its ONNX file, whatever its input and output are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, softmax

from plainfilm.bundle import read_bundle
from plainfilm.bundle.imported import Preprocessing
from plainfilm.errors import ConfigError, UsageError
from plainfilm.importing import PRESETS, ImageOptions, import_model
from plainfilm.runtime import Predictor

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx_networks import channels_last, residual  # noqa: E402

IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
UNIT = ImageOptions(value_range=(0, 1))


def pictures(count: int = 9, size: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (count, size, size)).astype(np.uint8)


def original(path: Path, inputs: NDArray[Any]) -> NDArray[np.float64]:
    """Run the ONNX file as its maker would, one image at a time."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {"pixels": inputs[i : i + 1]})[0] for i in range(len(inputs))]
    return np.concatenate(rows).astype(np.float64)


def planes(images: NDArray[np.uint8], channels: int = 3) -> NDArray[np.float32]:
    return np.repeat(images[:, None].astype(np.float32), channels, axis=1)


def test_a_residual_network_with_one_logit(tmp_path: Path) -> None:
    path, images = residual(tmp_path / "net.onnx"), pictures()
    bundle = import_model(
        path,
        out=tmp_path / "bundle",
        labels=["ILL"],
        negative="WELL",
        preset="torchvision",
        output_kind="logits",
    )
    assert bundle == read_bundle(tmp_path / "bundle")
    assert (bundle.task.kind, bundle.task.classes) == ("binary", ("WELL", "ILL"))
    assert (bundle.pixels.size, bundle.pixels.geometry) == (32, "crop")
    mean, std = (values.astype(np.float32)[:, None, None] for values in IMAGENET)
    logits = original(path, (planes(images) / np.float32(255) - mean) / std)
    found = Predictor(bundle)
    np.testing.assert_allclose(found.logits(images), logits, atol=1e-5)
    np.testing.assert_allclose(found.probabilities(images), expit(logits), atol=1e-6)
    assert not (bundle.folder / "weights.safetensors").exists()


def test_a_network_with_channels_last_and_softmax(tmp_path: Path) -> None:
    path, images = channels_last(tmp_path / "net.onnx"), pictures()
    bundle = import_model(path, out=tmp_path / "b", labels=["A", "B", "C"], preset="keras-tf")
    expected = original(path, planes(images, 1).transpose(0, 2, 3, 1) / 127.5 - 1)
    assert bundle.task.kind == "multiclass"
    found = Predictor(bundle)
    np.testing.assert_allclose(found.probabilities(images), expected, atol=1e-6)
    predicted = [one.predicted_class for one in found.predict_pixels(images, [{}] * len(images))]
    assert predicted == ["ABC"[row] for row in expected.argmax(axis=1)]


@pytest.mark.parametrize("labels", [["WELL", "ILL"], ["ILL", "WELL"]])
@pytest.mark.parametrize("end", ["Softmax", None])
def test_two_columns_are_one_label(tmp_path: Path, end: str | None, labels: list[str]) -> None:
    path, images = residual(tmp_path / "net.onnx", columns=2, end=end), pictures()
    bundle = import_model(
        path,
        out=tmp_path / "b",
        labels=labels,
        negative="WELL",
        images=UNIT,
        output_kind=None if end else "logits",
    )
    raw = original(path, planes(images) / np.float32(255))
    expected = (raw if end else softmax(raw, axis=1))[:, [labels.index("ILL")]]
    assert bundle.task.labels == ("ILL",)
    np.testing.assert_allclose(Predictor(bundle).probabilities(images), expected, atol=1e-6)


def test_some_columns_of_several_labels(tmp_path: Path) -> None:
    path, images = residual(tmp_path / "net.onnx", columns=5, end="Sigmoid", channels=1), pictures()
    bundle = import_model(
        path, out=tmp_path / "b", labels=["mass", "edema"], columns=[4, 1], preset="torchxrayvision"
    )
    expected = original(path, (2 * (planes(images, 1) / np.float32(255)) - 1) * 1024)[:, [4, 1]]
    assert (bundle.task.kind, bundle.pixels.geometry) == ("multilabel", "crop")
    np.testing.assert_allclose(Predictor(bundle).probabilities(images), expected, atol=1e-6)


def test_extreme_probabilities_keep_their_order(tmp_path: Path) -> None:
    path, images = residual(tmp_path / "net.onnx", end="Sigmoid", gain=60), pictures(30)
    bundle = import_model(path, out=tmp_path / "b", labels=["ILL"], negative="WELL", images=UNIT)
    expected = original(path, planes(images) / np.float32(255))
    found = Predictor(bundle)
    assert np.isfinite(found.logits(images)).all()
    np.testing.assert_allclose(found.probabilities(images), expected, atol=1e-6)
    assert (np.diff(found.logits(images)[np.argsort(expected[:, 0]), 0]) >= 0).all()


def test_a_graph_for_one_image_predicts_on_many(tmp_path: Path) -> None:
    expected = None
    kinds: dict[str, dict[str, Any]] = {
        "any": {},
        "declared": {"batch": 1},
        "reshaped": {"batch": 1, "flat": (1, 4)},
        "inferred": {"batch": 1, "flat": (1, -1)},
        "one": {"batch": 1, "flat": (1, 4), "computed": True},
    }
    for name, kind in kinds.items():
        path = residual(tmp_path / f"{name}.onnx", **kind)
        bundle = import_model(
            path,
            out=tmp_path / name,
            labels=["ILL"],
            negative="WELL",
            images=UNIT,
            output_kind="logits",
        )
        origin = bundle.provenance.imported_from
        assert origin is not None
        assert origin.batch == (1 if name == "one" else None)
        found = Predictor(bundle).probabilities(pictures(70))
        expected = found if expected is None else expected
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_graph_for_three_images_fills_the_last_run(tmp_path: Path) -> None:
    path = residual(tmp_path / "net.onnx", batch=3, flat=(3, 4), computed=True)
    whole = residual(tmp_path / "any.onnx")
    more = {"labels": ["ILL"], "negative": "WELL", "images": UNIT, "output_kind": "logits"}
    found, expected = (
        Predictor(import_model(one, out=tmp_path / one.stem, **more)) for one in (path, whole)
    )
    for count in (0, 1, 3, 7):
        np.testing.assert_allclose(
            found.logits(pictures(count)), expected.logits(pictures(count)), atol=1e-5
        )


@pytest.mark.parametrize("opset", [8, 11, 13, 21])
def test_old_and_new_operators(tmp_path: Path, opset: int) -> None:
    path, images = residual(tmp_path / "net.onnx", columns=2, opset=opset), pictures()
    bundle = import_model(
        path,
        out=tmp_path / "b",
        labels=["WELL", "ILL"],
        task="binary",
        preset="monai",
        output_kind="logits",
    )
    origin = bundle.provenance.imported_from
    assert origin is not None
    assert (origin.opset, origin.producer) == (opset, "maker 1.2")
    turned = planes(images).transpose(0, 1, 3, 2)
    low, high = (
        turned.min(axis=(1, 2, 3), keepdims=True),
        turned.max(axis=(1, 2, 3), keepdims=True),
    )
    raw = original(path, (turned - low) / (high - low))
    expected = softmax(raw, axis=1)[:, 1:]
    np.testing.assert_allclose(Predictor(bundle).probabilities(images), expected, atol=1e-5)


def test_half_precision(tmp_path: Path) -> None:
    path, images = residual(tmp_path / "net.onnx", dtype="float16"), pictures()
    bundle = import_model(
        path,
        out=tmp_path / "b",
        labels=["ILL"],
        negative="WELL",
        images=UNIT,
        output_kind="logits",
    )
    logits = original(path, (planes(images) / np.float32(255)).astype(np.float16))
    np.testing.assert_allclose(Predictor(bundle).logits(images), logits, atol=1e-2)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_the_formulas_of_their_libraries(tmp_path: Path, name: str) -> None:
    channels = 1 if name == "torchxrayvision" else 3
    path, images = residual(tmp_path / "net.onnx", channels=channels, columns=3), pictures()
    bundle = import_model(
        path, out=tmp_path / "b", labels=["a", "b", "c"], preset=name, output_kind="logits",
        task="multilabel",
    )  # fmt: skip
    grey = planes(images, channels)
    mean, std = (values.astype(np.float32)[:, None, None] for values in IMAGENET)
    if name == "monai":
        grey = grey.transpose(0, 1, 3, 2)
    expected = {
        "torchxrayvision": lambda: (2 * (grey / 255) - 1) * 1024,
        "keras": lambda: grey,
        "keras-tf": lambda: grey / 127.5 - 1,
        "keras-torch": lambda: (grey / 255 - mean) / std,
        "keras-caffe": lambda: grey - np.array([103.939, 116.779, 123.68])[:, None, None],
        "torchvision": lambda: (grey / 255 - mean) / std,
        "timm": lambda: (grey / 255 - mean) / std,
        "timm-inception": lambda: (grey / 255 - 0.5) / 0.5,
        "monai": lambda: (
            (grey - grey.min((1, 2, 3), keepdims=True))
            / np.ptp(grey, axis=(1, 2, 3), keepdims=True)
        ),
    }[name]()
    logits = original(path, expected.astype(np.float32))
    scale = np.maximum(np.abs(logits), 1)
    assert np.abs(Predictor(bundle).logits(images) - logits).max() < (1e-4 * scale).min()


def test_a_given_threshold_predicts_a_class_and_none_predicts_none(tmp_path: Path) -> None:
    path, images = residual(tmp_path / "net.onnx", end="Sigmoid"), pictures(20)
    more = {"labels": ["ILL"], "negative": "WELL", "images": UNIT}
    plain = Predictor(import_model(path, out=tmp_path / "plain", **more))
    values = plain.probabilities(images)[:, 0]
    cut = float(np.median(values))
    given = Predictor(import_model(path, out=tmp_path / "given", thresholds=cut, **more))
    some = [{}] * len(images)
    assert {one.predicted_class for one in plain.predict_pixels(images, some)} == {None}
    assert not plain.predicts_class
    expected = ["ILL" if value >= cut else "WELL" for value in values]
    assert [one.predicted_class for one in given.predict_pixels(images, some)] == expected
    card = (tmp_path / "plain" / "MODEL_CARD.md").read_text("utf-8")
    assert "no threshold is locked or given" in card
    assert "net.onnx" in card


def test_thresholds_of_several_labels(tmp_path: Path) -> None:
    path = residual(tmp_path / "net.onnx", columns=3, end="Sigmoid")
    bundle = import_model(
        path,
        out=tmp_path / "b",
        labels=["a", "b", "c"],
        images=UNIT,
        thresholds={"a": 0.001, "c": 0.999},
    )
    one, *_ = Predictor(bundle).predict_pixels(pictures(1), [{}])
    assert dict(one.predicted) == {"a/given": "positive", "c/given": "negative"}
    assert one.predicted_class == "a"


NAMES = ["a", "b", "c"]
WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"labels": NAMES}, "not that of the output's columns"),
    ({"columns": 3}, {"labels": NAMES}, "does not end in a sigmoid or softmax"),
    ({"columns": 3}, {"labels": NAMES, "output_kind": "logits"}, "exclude each other"),
    ({"end": "Sigmoid"}, {"labels": ["a"]}, "class without a is not given"),
    ({"end": "Sigmoid"}, {"labels": ["a"], "negative": "b", "output_kind": "logits"}, "as logits"),
    ({"columns": 3, "end": "Sigmoid"}, {"labels": ["a"], "columns": [3]}, "different numbers"),
    ({"columns": 3, "end": "Sigmoid"}, {"labels": ["a", "a", "b"]}, "different names"),
    ({"columns": 3, "end": "Sigmoid"}, {"labels": NAMES, "input": "x"}, "no input of this name"),
    ({"columns": 3, "end": "Sigmoid"}, {"labels": NAMES, "output": "x"}, "no output of this name"),
    ({"columns": 3, "end": "Sigmoid"}, {"labels": NAMES, "preset": "fastai"}, "no preset"),
    ({"columns": 3, "end": "Sigmoid"}, {"labels": NAMES, "images": ImageOptions()}, "black and"),
    (
        {"columns": 3, "end": "Sigmoid"},
        {"labels": NAMES, "images": ImageOptions(value_range=(0, 1), size=64)},
        "size given is not that",
    ),
    (
        {"columns": 3, "end": "Sigmoid", "size": "side"},
        {"labels": NAMES},
        "does not fix its size",
    ),
    (
        {"columns": 3, "end": "Sigmoid"},
        {"labels": NAMES, "thresholds": {"d": 0.5}},
        "of one of the labels",
    ),
    ({"columns": 3, "end": "Softmax"}, {"labels": NAMES, "thresholds": 0.5}, "need no threshold"),
]


@pytest.mark.parametrize(("graph", "arguments", "problem"), WRONG)
def test_what_is_not_clear_is_asked(
    tmp_path: Path, graph: dict[str, Any], arguments: dict[str, Any], problem: str
) -> None:
    path = residual(tmp_path / "net.onnx", **graph)
    with pytest.raises(UsageError, match=problem):
        import_model(path, out=tmp_path / "b", **{"images": UNIT, **arguments})
    assert not (tmp_path / "b").exists()


def test_an_axis_without_a_fixed_size_takes_the_given_one(tmp_path: Path) -> None:
    path = residual(tmp_path / "net.onnx", size="side", end="Sigmoid")
    options = ImageOptions(value_range=(0, 1), size=48, geometry="pad")
    bundle = import_model(path, out=tmp_path / "b", labels=["ILL"], negative="WELL", images=options)
    expected = original(path, planes(pictures(4, 48)) / np.float32(255))
    assert (bundle.pixels.size, bundle.pixels.geometry) == (48, "pad")
    found = Predictor(bundle).probabilities(pictures(4, 48))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_graph_of_a_bundle_can_be_imported(make_bundle: Any, tmp_path: Path) -> None:
    """It takes integers without channels, and has several outputs."""
    own = make_bundle()
    bundle = import_model(
        own.graph,
        out=tmp_path / "imported",
        labels=["bright"],
        negative="dark",
        images=ImageOptions(value_range=(0, 255)),
        output="logits",
        output_kind="logits",
    )
    images = pictures(20, 16)
    found, expected = (Predictor(one).probabilities(images) for one in (bundle, own))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(UsageError, match="exactly one output"):
        import_model(own.graph, out=tmp_path / "other", labels=["a"], images=UNIT)


def test_numbers_of_values_and_channels_are_worded() -> None:
    with pytest.raises(ConfigError) as caught:
        Preprocessing(channels=1, axes="nchw", low=0.0, high=1.0, mean=(0.1, 0.2, 0.3))
    assert caught.value.received == "3 values for 1 channel"
