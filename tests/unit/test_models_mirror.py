"""A mirrored graph predicts the mean of an image and its mirror image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from plainfilm.records import Task

pytest.importorskip("keras")
onnxruntime = pytest.importorskip("onnxruntime")

BINARY = Task("binary", ("ill",), ("well", "ill"))
THREE = Task("multiclass", ("a", "b", "c"), ("a", "b", "c"))
OUTPUTS = ("logits", "activation", "novelty")


def export(task: Task, head: str, seed: int) -> bytes:
    import keras

    from plainfilm.models import build_network
    from plainfilm.models.export import to_onnx
    from plainfilm.models.novelty import fit_novelty

    keras.utils.set_random_seed(seed)
    network = build_network("compact", 32, 2 if head == "softmax" else len(task.labels), {})
    if task.kind == "multiclass":
        network = build_network("compact", 32, len(task.classes), {})
    pictures = images(20, seed)
    novelty = fit_novelty((pictures, None, np.arange(20) % 2), (pictures, None))
    return to_onnx(network, task, head, 1.0, novelty)


def images(n: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32)).astype(np.uint8)


def ask(graph: bytes, pictures: Any, *names: str) -> list[Any]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found: list[Any] = session.run([*names], {"image": pictures})
    return found


def by_hand(graph: bytes, pictures: Any) -> list[Any]:
    logits, activation, novelty = ask(graph, pictures, *OUTPUTS)
    turned = ask(graph, np.ascontiguousarray(pictures[:, :, ::-1]), *OUTPUTS)
    return [(logits + turned[0]) / 2, (activation + turned[1][..., ::-1]) / 2, novelty]


@pytest.mark.parametrize(
    ("task", "head"), [(BINARY, "sigmoid"), (BINARY, "softmax"), (THREE, "softmax")]
)
def test_a_mirrored_graph_predicts_as_averaged_by_hand(task: Task, head: str) -> None:
    from plainfilm.bundle.graph_check import check_graph
    from plainfilm.models.mirror import mirror_graph

    graph, pictures = export(task, head, 1), images(5, 2)
    mirrored = mirror_graph(graph, task, head, 0.7)
    check_graph(mirrored)
    *found, probabilities = ask(mirrored, pictures, *OUTPUTS, "probabilities")
    for own, expected in zip(found, by_hand(graph, pictures), strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-5)
    cool = found[0] / 0.7
    chances = 1 / (1 + np.exp(-cool))
    if head == "softmax":
        shares = np.exp(cool) / np.exp(cool).sum(1, keepdims=True)
        chances = shares[:, 1:] if task.kind == "binary" else shares
    np.testing.assert_allclose(probabilities, chances, atol=1e-5)
    alone = ask(mirrored, pictures[2:3], "probabilities")[0]
    np.testing.assert_allclose(alone, probabilities[2:3], atol=1e-6)


def test_an_ensemble_of_mirrored_graphs_mirrors_the_image_once() -> None:
    import onnx

    from plainfilm.models.merge import merge_graphs
    from plainfilm.models.mirror import mirror_graph

    graphs, pictures = [export(BINARY, "sigmoid", seed) for seed in (1, 2)], images(5, 3)
    mirrored = [mirror_graph(graph, BINARY, "sigmoid", 1.0) for graph in graphs]
    merged = merge_graphs(mirrored, BINARY, "sigmoid", 1.0, (2.0, 2.0))
    each = [by_hand(graph, pictures) for graph in graphs]
    scales = (1, 1, 2)
    for found, parts, scale in zip(
        ask(merged, pictures, *OUTPUTS), zip(*each, strict=True), scales, strict=True
    ):
        np.testing.assert_allclose(found, np.mean(parts, 0) / scale, atol=1e-5)
    kinds = [node.op_type for node in onnx.load_model_from_string(merged).graph.node]
    assert kinds.count("Concat") == 1
