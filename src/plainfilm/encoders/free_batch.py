"""Makes a graph for a fixed number of images accept any number."""

from __future__ import annotations

from typing import Any

import numpy as np

from plainfilm._optional import require

__all__ = ["free_batch"]


def free_batch(model: Any, batch: int) -> Any:
    """Return a copy of a model whose reshapes keep the number of images.

    An exporter writes the number of images of its example, usually 1, into the constant shapes of
    ``Reshape``. Whether other nodes depend on it too must be checked by running the graph.
    """
    onnx = require("onnx", "onnx")
    free = type(model)()
    free.CopyFrom(model)
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in free.graph.initializer}
    for node in free.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    for number, node in enumerate(free.graph.node):
        if node.op_type != "Reshape":
            continue
        shape = constants.get(node.input[1], np.empty(0, np.int64)).reshape(-1)
        if len(shape) < 2 or shape[0] != batch:
            continue
        # 0 keeps the side of the input, and -1 computes it: only one side can be computed.
        first = 0 if -1 in shape[1:] else -1
        if first == 0 and any(one.name == "allowzero" and one.i for one in node.attribute):
            continue
        name = f"free_shape_{number}"
        changed = np.array([first, *shape[1:]], np.int64)
        free.graph.initializer.append(onnx.numpy_helper.from_array(changed, name))
        node.input[1] = name
    return free
