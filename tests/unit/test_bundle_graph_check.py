"""Graphs that are not safe to load are refused before ONNX Runtime sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainfilm.bundle import Bundle, Rejection
from plainfilm.bundle.graph_check import check_graph
from plainfilm.bundle.operators import LEARN, STANDARD
from plainfilm.errors import BundleError
from plainfilm.runtime import Predictor

onnx = pytest.importorskip("onnx")
helper = onnx.helper

MakeBundle = Callable[..., Bundle]


def model(nodes: Sequence[Any], constants: Sequence[Any] = (), **more: Any) -> Any:
    shape = ["n", 4]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        list(nodes),
        "made",
        [tensor("x", onnx.TensorProto.FLOAT, shape)],
        [tensor("y", onnx.TensorProto.FLOAT, shape)],
        list(constants),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], **more)


def endless() -> Any:
    """Return a Loop whose condition is always true."""
    keep = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["go"]),
            helper.make_node("Identity", ["x"], ["z"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("going", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, None),
        ],
    )
    true = onnx.numpy_helper.from_array(np.array(True), "true")
    return model([helper.make_node("Loop", ["", "true", "x"], ["y"], body=keep)], [true])


def constant(**fields: Any) -> Any:
    tensor = onnx.numpy_helper.from_array(np.zeros((2, 3), np.float32), "w")
    for name, value in fields.items():
        if name == "dims":
            tensor.dims[:] = value
        else:
            setattr(tensor, name, value)
    return tensor


def external() -> Any:
    tensor = constant(data_location=onnx.TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return tensor


def with_function() -> Any:
    function = helper.make_function(
        "own", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], []
    )
    return model([helper.make_node("Relu", ["x"], ["y"])], functions=[function])


RELU = helper.make_node("Relu", ["x"], ["y"])
HIDDEN = helper.make_node("Constant", [], ["y"], value=external())
HOSTILE = {
    "loop": (endless(), "loops or branches", "1 x 'Loop'"),
    "custom": (
        model([helper.make_node("Steal", ["x"], ["y"], domain="com.example")]),
        "standard operators only",
        "com.example.Steal",
    ),
    "external": (model([RELU], [external()]), "weights in other files", "'w'"),
    "external in a node": (model([HIDDEN]), "weights in other files", "'w'"),
    "huge": (model([RELU], [constant(dims=[1 << 40, 3])]), "fewer values", "3,298,534,883,328"),
    "negative": (model([RELU], [constant(dims=[-1, 3])]), "fewer values", "values in"),
    "many sides": (model([RELU], [constant(dims=[1 << 62] * 5000)]), "fewer values", "values in"),
    "function": (with_function(), "functions or sparse", "1 functions"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_graph_is_refused(name: str) -> None:
    graph, problem, received = HOSTILE[name]
    with pytest.raises(BundleError, match=problem) as caught:
        check_graph(graph.SerializeToString())
    assert received in str(caught.value.received)
    assert caught.value.remedy


def test_a_bundle_with_a_hostile_graph_cannot_be_loaded(make_bundle: MakeBundle) -> None:
    bundle = make_bundle(graph=endless().SerializeToString())
    with pytest.raises(BundleError, match=r"network.onnx cannot be loaded: .* loops or branches"):
        Predictor(bundle)


N = helper.make_node


def sized(*sizes: float, kind: Any = np.int64) -> Any:
    return onnx.numpy_helper.from_array(np.array(sizes, kind), "s")


BOMBS = {
    "Expand": ([N("Expand", ["x", "s"], ["y"])], sized(400_000, 20_000)),
    "ConstantOfShape": ([N("ConstantOfShape", ["s"], ["y"])], sized(1 << 40)),
    "Tile": ([N("Tile", ["x", "s"], ["y"])], sized(1, 1 << 20)),
    "Pad": ([N("Pad", ["x", "s"], ["y"])], sized(0, 0, 0, 1 << 20)),
    "Resize": ([N("Resize", ["x", "", "", "s"], ["y"])], sized(1, 1 << 29)),
    "Resize by scales": ([N("Resize", ["x", "", "s"], ["y"])], sized(1, 1e6, kind=np.float32)),
    "Upsample": ([N("Upsample", ["x", "s"], ["y"])], sized(1, np.nan, kind=np.float32)),
    "OneHot": ([N("OneHot", ["x", "s", "t"], ["y"])], sized(1 << 30)),
    "ConvTranspose": ([N("ConvTranspose", ["x", "s"], ["y"], strides=[1 << 20, 1])], sized(1)),
    "Conv": ([N("Conv", ["x", "s"], ["y"], pads=[0, 0, 1 << 20, 1])], sized(1)),
    "Constant": (
        [N("Constant", [], ["big"], value=sized(1 << 40)), N("Expand", ["x", "big"], ["y"])],
        sized(1),
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_constant_that_decides_a_large_size_is_refused(name: str) -> None:
    nodes, size = BOMBS[name]
    more = [onnx.numpy_helper.from_array(np.zeros(2, np.float32), "t")]
    with pytest.raises(BundleError, match="decides a size that is too large") as caught:
        check_graph(model(nodes, [size, *more]).SerializeToString())
    assert nodes[-1].op_type in str(caught.value.received)


def test_a_range_of_constants_has_a_largest_length() -> None:
    numbers = [
        onnx.numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in (("a", 0), ("b", 1 << 40), ("c", 1))
    ]
    nodes = [N("Range", ["a", "b", "c"], ["y"])]
    with pytest.raises(BundleError, match="decides a size that is too large"):
        check_graph(model(nodes, numbers).SerializeToString())


def test_constant_shapes_have_a_largest_sum() -> None:
    nodes = [N("ConstantOfShape", ["s"], [f"y{k}"]) for k in range(5)]
    with pytest.raises(BundleError, match="constant shapes of an ONNX graph are too large"):
        check_graph(model(nodes, [sized(1 << 13, 1 << 13)]).SerializeToString())


def test_usual_sizes_are_accepted() -> None:
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("Expand", ["x", "shape"], ["same"]),
        N("Tile", ["same", "s"], ["tiled"]),
        N("Resize", ["tiled", "", "", "sides"], ["resized"]),
        N("Conv", ["resized", "w"], ["y"], pads=[3, 3, 3, 3], strides=[2, 2]),
    ]
    sides = onnx.numpy_helper.from_array(np.array([1, 3, 1024, 1024], np.int64), "sides")
    found = check_graph(model(nodes, [sized(1, 3, 16, 16), sides, constant()]).SerializeToString())
    assert len(found.operators) == 5


def test_the_values_of_an_image_decide_no_size() -> None:
    nodes = [
        N("Cast", ["x"], ["whole"], to=onnx.TensorProto.INT64),
        N("Identity", ["whole"], ["sides"]),
        N("Expand", ["s", "sides"], ["y"]),
    ]
    with pytest.raises(BundleError, match="by the values of the image") as caught:
        check_graph(model(nodes, [sized(1)]).SerializeToString())
    assert "Expand" in str(caught.value.received)


def test_nodes_that_form_a_cycle_are_refused() -> None:
    nodes = [N("Add", ["x", "b"], ["a"]), N("Relu", ["a"], ["b"])]
    with pytest.raises(BundleError, match="before it is computed") as caught:
        check_graph(model(nodes).SerializeToString())
    assert "Add: b" in str(caught.value.received)


def test_very_old_operators_are_refused() -> None:
    old = model([RELU])
    old.opset_import[0].version = 6
    with pytest.raises(BundleError, match="version 7"):
        check_graph(old.SerializeToString())


@pytest.mark.parametrize(
    "kind",
    [
        *("RandomNormal", "Multinomial", "Bernoulli", "NonZero", "Unique", "NonMaxSuppression"),
        *("SequenceConstruct", "Optional", "StringNormalizer", "ImageDecoder", "BlackmanWindow"),
        *("SoftmaxCrossEntropyLoss", "Unknown"),
    ],
)
def test_other_operators_are_refused_by_name(kind: str) -> None:
    with pytest.raises(BundleError, match="only operators of image classifiers") as caught:
        check_graph(model([N(kind, ["x"], ["y"])]).SerializeToString())
    assert f"1 x '{kind}'" in str(caught.value.received)


def test_every_accepted_operator_exists() -> None:
    schemas = onnx.defs.get_all_schemas_with_history()
    for domain, names in (("", STANDARD), ("ai.onnx.ml", LEARN)):
        known = {one.name for one in schemas if one.domain == domain}
        newer = {"BitCast", "CumProd", "SwiGLU"}  # than the oldest onnx that is supported
        assert names - newer <= known


@pytest.mark.parametrize("data", [b"", b"a graph", b"\x00" * 50, b"\xff" * 40, b"\x3a\xff\xff\x7f"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match="not an ONNX graph"):
        check_graph(data)


def test_every_truncated_graph_is_refused_or_safe() -> None:
    data = model([RELU], [constant()]).SerializeToString()
    for length in range(len(data)):
        try:
            check_graph(data[:length])
        except BundleError as error:
            assert "ONNX" in str(error)


def test_the_structure_is_that_which_the_library_reads() -> None:
    numbers = [onnx.numpy_helper.from_array(np.arange(5, dtype=np.int64), "five"), constant()]
    nodes = [RELU, helper.make_node("Normalizer", ["x"], ["q"], domain="ai.onnx.ml")]
    found = check_graph(model(nodes, numbers).SerializeToString())
    assert [(one.kind, one.domain) for one in found.operators] == [
        ("Relu", ""),
        ("Normalizer", "ai.onnx.ml"),
    ]
    assert [(one.name, one.values) for one in found.constants] == [("five", 5), ("w", 6)]


@pytest.mark.parametrize(
    ("name", "shape", "problem"),
    [
        ("image", ["n", 8, 8], "does not have the input and outputs of a bundle"),
        ("picture", ["n", 16, 16], "does not have the input and outputs of a bundle"),
    ],
)
def test_a_graph_with_another_input_cannot_be_loaded(
    make_bundle: MakeBundle, tmp_path: Path, name: str, shape: list[Any], problem: str
) -> None:
    own = onnx.load_model_from_string(make_bundle().graph.read_bytes())
    image = helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, shape)
    own.graph.input[0].CopyFrom(image)
    own.graph.node[0].input[:] = [name]
    bundle = make_bundle(tmp_path / "other", graph=own.SerializeToString())
    with pytest.raises(BundleError, match=problem):
        Predictor(bundle)


@pytest.mark.parametrize(
    ("output", "operator"),
    [("probabilities", "Sqrt"), ("positive", "Log")],  # the root and logarithm of -1 are NaN
)
def test_values_that_are_no_probabilities_never_become_a_class(
    make_bundle: MakeBundle, output: str, operator: str
) -> None:
    own = onnx.load_model_from_string(make_bundle().graph.read_bytes())
    for node in own.graph.node:
        if node.output[0] == output:
            node.op_type = operator
    rejection = Rejection(1e30, "", 0.0)
    predictor = Predictor(make_bundle(graph=own.SerializeToString(), rejection=rejection))
    pixels = np.stack([np.full((16, 16), grey, np.uint8) for grey in (60, 120)])
    for one in predictor.predict_pixels(pixels, [{}, {}]):
        assert one.reason == "invalid-output"
        assert one.is_unreadable
        assert not one.predicted
        assert not one.probabilities
        assert one.predicted_class is None
