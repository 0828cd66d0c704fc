"""A merged graph returns the mean of logits, activation maps and novelty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainfilm.bundle import Bundle
from plainfilm.errors import ConfigError
from plainfilm.records import Task

pytest.importorskip("keras")
onnxruntime = pytest.importorskip("onnxruntime")

BINARY = Task("binary", ("ill",), ("well", "ill"))
THREE = Task("multiclass", ("a", "b", "c"), ("a", "b", "c"))


def export(task: Task, head: str, seed: int, temperature: float = 1.3) -> tuple[bytes, Any]:
    import keras

    from plainfilm.models import build_network
    from plainfilm.models.export import feature_network, to_onnx
    from plainfilm.models.novelty import fit_novelty

    keras.utils.set_random_seed(seed)
    outputs = 2 if head == "softmax" and len(task.labels) == 1 else len(task.labels)
    network = build_network("compact", 32, outputs, {})
    images = pictures(40, seed)
    below = feature_network(network)
    features = np.asarray(below.predict_on_batch(images[..., None]), np.float64)
    novelty = fit_novelty((images, features, np.arange(40) % 2), (images[:20], features[:20]))
    graph = to_onnx(network, task, head, temperature, novelty)
    return graph, novelty.score(features, images)


def pictures(n: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32)).astype(np.uint8)


def ask(graph: bytes, images: Any, *names: str) -> list[Any]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found: list[Any] = session.run([*names], {"image": images})
    return found


def test_novelty_of_the_graph_equals_numpy() -> None:
    graph, expected = export(BINARY, "sigmoid", 3)
    [found] = ask(graph, pictures(40, 3), "novelty")
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("task", "head"), [(BINARY, "sigmoid"), (BINARY, "softmax"), (THREE, "softmax")]
)
def test_everything_is_the_mean_of_the_members(task: Task, head: str) -> None:
    from plainfilm.models.merge import merge_graphs

    graphs = [export(task, head, seed)[0] for seed in (1, 2, 3)]
    images = pictures(9, 8)
    names = ("logits", "activation", "novelty")
    each = [ask(graph, images, *names) for graph in graphs]
    merged = merge_graphs(graphs, task, head, 0.7, (2.0, 3.0, 4.0))
    logits, activation, novelty, chances = ask(merged, images, *names, "probabilities")
    np.testing.assert_allclose(logits, np.mean([one[0] for one in each], 0), atol=1e-5)
    np.testing.assert_allclose(activation, np.mean([one[1] for one in each], 0), atol=1e-5)
    scaled = [one[2] / scale for one, scale in zip(each, (2, 3, 4), strict=True)]
    np.testing.assert_allclose(novelty, np.mean(scaled, 0), rtol=1e-5)
    cool = logits / 0.7
    if head == "sigmoid":
        expected = 1 / (1 + np.exp(-cool))
    else:
        shares = np.exp(cool - cool.max(1, keepdims=True))
        expected = shares / shares.sum(1, keepdims=True)
        expected = expected[:, 1:] if task.kind == "binary" else expected
    np.testing.assert_allclose(chances, expected, atol=1e-5)


def test_a_common_trunk_is_in_the_merged_graph_once() -> None:
    import keras
    import onnx

    from plainfilm.models import build_network
    from plainfilm.models.export import to_onnx
    from plainfilm.models.merge import merge_graphs

    network = build_network("compact", 32, 1, {})
    graphs = []
    for seed in (1, 2, 3):
        keras.utils.set_random_seed(seed)
        network.layers[-1].kernel.assign(np.random.default_rng(seed).normal(size=(128, 1)))
        graphs.append(to_onnx(network, BINARY, "sigmoid", 1.0))
    merged = merge_graphs(graphs, BINARY, "sigmoid", 1.0)
    kinds = [node.op_type for node in onnx.load_model_from_string(merged).graph.node]
    own = [node.op_type for node in onnx.load_model_from_string(graphs[0]).graph.node]
    # Each member has its own last layer and activation map; one constant of both is shared.
    assert kinds.count("Conv") == own.count("Conv") + 2
    assert kinds.count("Gemm") == 3
    assert len(merged) < len(graphs[0]) + 3 * 2500
    images, names = pictures(9, 8), ("logits", "activation")
    each = [ask(graph, images, *names) for graph in graphs]
    for found, parts in zip(ask(merged, images, *names), zip(*each, strict=True), strict=True):
        np.testing.assert_allclose(found, np.mean(parts, 0), atol=1e-5)


def test_equal_members_predict_as_one() -> None:
    from plainfilm.models.merge import merge_graphs

    graph, _ = export(BINARY, "softmax", 1)
    images, names = pictures(9, 8), ("logits", "activation", "novelty")
    merged = merge_graphs([graph, graph], BINARY, "softmax", 1.0, (2.0, 4.0))
    logits, activation, novelty = ask(graph, images, *names)
    expected = logits, activation, novelty * (1 / 2 + 1 / 4) / 2
    for found, own in zip(ask(merged, images, *names), expected, strict=True):
        np.testing.assert_allclose(found, own, rtol=1e-5)


def test_without_scales_there_is_no_novelty() -> None:
    import onnx

    from plainfilm.models.merge import merge_graphs

    graphs = [export(BINARY, "sigmoid", seed)[0] for seed in (1, 2)]
    merged = onnx.load_model_from_string(merge_graphs(graphs, BINARY, "sigmoid", 1.0))
    assert {one.name for one in merged.graph.output} == {"probabilities", "logits", "activation"}
    # Constants that only omitted outputs need are omitted, too.
    assert not any("whitening" in one.name for one in merged.graph.initializer)


def test_graphs_with_different_inputs_are_refused(make_bundle: Callable[..., Bundle]) -> None:
    from plainfilm.models.merge import merge_graphs

    graph, _ = export(BINARY, "sigmoid", 1)
    with pytest.raises(ConfigError, match="at least two members"):
        merge_graphs([graph], BINARY, "sigmoid", 1.0)
    other = Path(make_bundle().graph).read_bytes()  # of another image size
    with pytest.raises(ConfigError, match="the same input"):
        merge_graphs([graph, other], BINARY, "sigmoid", 1.0)
