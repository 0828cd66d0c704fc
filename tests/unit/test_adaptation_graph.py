"""A recalibrated graph returns recalibrated probabilities and the other outputs unchanged."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from plainfilm.adaptation.graph import recalibrate_graph
from plainfilm.errors import BundleError
from plainfilm.importing import import_model
from plainfilm.metrics import apply_recalibration
from plainfilm.records import Recalibration
from plainfilm.runtime import Predictor

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TEMPERATURE = 1.3
SIDE = 4


def graph_of(head: str, outputs: int, labels: int) -> bytes:
    """Return a graph whose logits are the first grey values of the image, less 100, over 20."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    make = helper.make_node
    nodes = [
        make("Cast", ["image"], ["grey"], to=floats),
        make("Flatten", ["grey"], ["flat"]),
        make("Slice", ["flat", "first", "outputs", "axis"], ["some"]),
        make("Sub", ["some", "middle"], ["centred"]),
        make("Div", ["centred", "twenty"], ["logits"]),
        make("Div", ["logits", "temperature"], ["cool"]),
    ]
    if head == "sigmoid":
        nodes.append(make("Sigmoid", ["cool"], ["probabilities"]))
    elif labels > 1:
        nodes.append(make("Softmax", ["cool"], ["probabilities"], axis=1))
    elif head == "softmax":
        nodes.append(make("Softmax", ["cool"], ["both"], axis=1))
        nodes.append(make("Slice", ["both", "axis", "outputs", "axis"], ["probabilities"]))
    else:
        nodes.append(make("Tanh", ["cool"], ["probabilities"]))
    constants = {"middle": 100.0, "twenty": 20.0, "temperature": TEMPERATURE}
    whole = {"first": 0, "outputs": outputs, "axis": 1}
    arrays = {name: np.float32(value) for name, value in constants.items()}
    arrays |= {name: np.array([value]) for name, value in whole.items()}
    results = {"probabilities": labels, "logits": outputs}
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["n", SIDE, SIDE])],
        [helper.make_tensor_value_info(name, floats, ["n", k]) for name, k in results.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def run(graph: bytes, *names: str):
    images = np.random.default_rng(0).integers(0, 256, (50, SIDE, SIDE)).astype(np.uint8)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run([*names], {"image": images})


@pytest.mark.parametrize(
    ("head", "outputs", "labels"),
    [("sigmoid", 1, 1), ("sigmoid", 3, 3), ("softmax", 2, 1), ("softmax", 3, 3)],
)
def test_probabilities_are_recalibrated(head, outputs, labels):
    change = Recalibration((0.7,) * labels, (0.5, -0.2, 1.0)[:labels])
    if head == "sigmoid" and labels == 3:
        change = Recalibration((0.7, 1.5, 0.2), change.intercepts)
    before = graph_of(head, outputs, labels)
    probabilities, logits = run(recalibrate_graph(before, change), "probabilities", "logits")
    np.testing.assert_array_equal(logits, run(before, "logits")[0])
    cool = logits.astype(float) / TEMPERATURE
    if outputs != labels:
        cool = cool[:, 1:] - cool[:, :1]
    changed = apply_recalibration(cool, change)
    expected = softmax(changed, axis=1) if labels > 1 and head == "softmax" else expit(changed)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_a_graph_is_recalibrated_twice():
    first, second = Recalibration((0.5,), (1.0,)), Recalibration((1.4,), (-0.3,))
    graph = graph_of("sigmoid", 1, 1)
    [twice] = run(recalibrate_graph(recalibrate_graph(graph, first), second), "probabilities")
    [once] = run(recalibrate_graph(graph, second.after(first)), "probabilities")
    np.testing.assert_allclose(twice, once, atol=1e-6)


def test_a_graph_without_sigmoid_or_softmax_is_refused():
    graph = graph_of("tanh", 1, 1)
    with pytest.raises(BundleError, match="cannot be recalibrated") as error:
        recalibrate_graph(graph, Recalibration((1.0,), (0.0,)))
    assert "Tanh" in str(error.value)


@pytest.mark.parametrize("count", [1, 3])
def test_the_graph_of_an_imported_network_is_recalibrated(tmp_path, count):
    from onnx_networks import channels_last, residual

    if count == 1:
        path, labels = residual(tmp_path / "net.onnx"), {"labels": ["ILL"], "negative": "WELL"}
        options = {"preset": "torchvision", "output_kind": "logits"}
    else:
        path, labels = channels_last(tmp_path / "net.onnx"), {"labels": ["A", "B", "C"]}
        options = {"preset": "keras-tf"}
    bundle = import_model(path, out=tmp_path / "bundle", **labels, **options)
    change = Recalibration((0.6,) * count, (0.4, -0.2, 0.1)[:count])
    images = np.random.default_rng(1).integers(0, 256, (9, 32, 32)).astype(np.uint8)
    odds = apply_recalibration(Predictor(bundle).logits(images), change)
    session = onnxruntime.InferenceSession(recalibrate_graph(bundle.graph.read_bytes(), change))
    size = session.get_inputs()[0].shape[0]
    chunks = [images] if isinstance(size, str) else [images[i : i + size] for i in range(9)]
    found = np.concatenate([session.run(["probabilities"], {"image": one})[0] for one in chunks])
    expected = expit(odds) if count == 1 else softmax(odds, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
