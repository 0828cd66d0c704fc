"""Writes the graph of a probe: the encoder, the linear layer and the outputs of a bundle."""

from __future__ import annotations

import numpy as np

from plainfilm.encoders.encoder import FEATURES, Encoder
from plainfilm.models.graph import IMAGE, GraphBuilder
from plainfilm.models.head import Head
from plainfilm.models.novelty import Novelty
from plainfilm.models.novelty_graph import add_novelty
from plainfilm.models.shared_nodes import SharedNodes
from plainfilm.records import Task


def probe_graph(
    encoder: Encoder,
    size: int,
    head: Head,
    task: Task,
    kind: str,
    temperature: float,
    novelty: Novelty,
) -> bytes:
    """Return the graph of a bundle; ``kind`` is ``sigmoid`` or ``softmax``."""
    builder = GraphBuilder("onnx")
    model = builder.onnx.load_model_from_string(encoder.graph)
    features = SharedNodes(builder).add(model.graph, "encoder_", [FEATURES])[FEATURES]
    mean, deviation, kernel, bias = (
        builder.constant(f"head_{name}", values)
        for name, values in (
            ("mean", head.mean),
            ("deviation", head.deviation),
            ("kernel", head.kernel),
            ("bias", head.bias),
        )
    )
    centred = builder.add("Sub", [features, mean], "head_centred")
    scaled = builder.add("Div", [centred, deviation], "head_scaled")
    builder.add("Gemm", [scaled, kernel, bias], "logits")
    builder.add_probabilities(kind, len(task.labels), temperature)
    builder.add("Cast", [IMAGE], "novelty_image", to=builder.onnx.TensorProto.FLOAT)
    shape = builder.constant("novelty_plane", [-1, 1, size, size], np.int64)
    planes = builder.add("Reshape", ["novelty_image", shape], "novelty_planes")
    add_novelty(builder, novelty, planes, features, size)
    outputs: dict[str, list[str | int]] = {
        "probabilities": ["n", len(task.labels)],
        "logits": ["n", len(head.bias)],
        "novelty": ["n"],
    }
    return builder.build("plainfilm-probe", size, outputs, like=model)
