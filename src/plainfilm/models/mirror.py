"""Makes a graph predict the mean of the logits of an image and of its mirror image."""

from __future__ import annotations

import sys

import numpy as np

from plainfilm.models.graph import IMAGE, GraphBuilder
from plainfilm.models.shared_nodes import SharedNodes, output_shapes
from plainfilm.records import Task

_END = sys.maxsize


def mirror_graph(graph: bytes, task: Task, head: str, temperature: float) -> bytes:
    """Return a graph that predicts with an image and its mirror image, left and right exchanged.

    ``graph`` has the input and outputs of `plainfilm.models.export.to_onnx`. Logits and activation
    maps are the means of both; the map of the mirror image is mirrored back. Novelty is that of the
    image alone. The temperature is applied to the mean logits.
    """
    builder = GraphBuilder()
    model = builder.onnx.load_model_from_string(graph)
    shapes = output_shapes(model)
    shapes = {name: shape for name, shape in shapes.items() if name != "probabilities"}
    size = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    # Each image is followed by its mirror image, so that all nodes run once on twice the images.
    axis = builder.constant("pair_axis", [1], np.int64)
    mirrored = _slice(builder, IMAGE, "image_mirrored", -1, axis=2, step=-1)
    parts = [
        builder.add("Unsqueeze", [one, axis], f"pair_{number}")
        for number, one in enumerate((IMAGE, mirrored))
    ]
    both = builder.add("Concat", parts, "pair_both", axis=1)
    side = builder.constant("pair_shape", [-1, size, size], np.int64)
    pairs = builder.add("Reshape", [both, side], "image_pairs")
    found = SharedNodes(builder).add(model.graph, "both_", [*shapes], image=pairs)
    for name in shapes:
        if name == "novelty":
            _slice(builder, found[name], name, 0, axis=0, step=2)
            continue
        own = _slice(builder, found[name], f"{name}_own", 0, axis=0, step=2)
        other = _slice(builder, found[name], f"{name}_mirrored", 1, axis=0, step=2)
        if name == "activation":
            other = _slice(builder, other, f"{name}_turned", -1, axis=3, step=-1)
        builder.add("Mean", [own, other], name)
    builder.add_probabilities(head, len(task.labels), temperature)
    outputs = {"probabilities": ["n", len(task.labels)], **shapes}
    return builder.build("plainfilm-mirror", size, outputs, like=model)


def _slice(builder: GraphBuilder, x: str, name: str, start: int, *, axis: int, step: int) -> str:
    """Add every ``step``-th value of an axis from ``start`` on."""
    end = _END if step > 0 else -_END
    numbers = {"start": start, "end": end, "axis": axis, "step": step}
    inputs = [
        builder.constant(f"{name}_{what}", [number], np.int64) for what, number in numbers.items()
    ]
    return builder.add("Slice", [x, *inputs], name)
