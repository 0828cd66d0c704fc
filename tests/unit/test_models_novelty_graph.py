"""The novelty in a graph is that of NumPy, for every version of the operators."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from plainfilm.models.graph import IMAGE, GraphBuilder  # noqa: E402
from plainfilm.models.novelty import fit_novelty  # noqa: E402
from plainfilm.models.novelty_graph import add_novelty  # noqa: E402
from plainfilm.network_session import NetworkSession  # noqa: E402


# 40 has more than 16 steps of 2 pixels.
@pytest.mark.parametrize(("size", "opset"), [(8, 13), (32, 17), (40, 20), (150, 13)])
@pytest.mark.parametrize("used", [True, False])
def test_novelty_in_a_graph_is_that_of_numpy(size: int, opset: int, used: bool) -> None:
    rng = np.random.default_rng(size)
    images = rng.integers(0, 256, (60, size, size)).astype(np.uint8)
    images[0] = 0
    corner = images[:, :3, 0].astype(np.float64)
    features = corner if used else None
    novelty = fit_novelty((images, features, np.arange(60) % 2), (images, features))

    builder = GraphBuilder()
    builder.add("Cast", [IMAGE], "real", to=onnx.TensorProto.FLOAT)
    shape = builder.constant("shape", [-1, 1, size, size], np.int64)
    planes = builder.add("Reshape", ["real", shape], "planes")
    parts = {"start": [0, 0, 0], "end": [size, 3, 1], "axes": [0, 1, 2]}
    parts["end"][0] = 1 << 30
    inputs = [builder.constant(name, value, np.int64) for name, value in parts.items()]
    flat = builder.add("Flatten", [builder.add("Slice", ["real", *inputs], "cut")], "corner")
    add_novelty(builder, novelty, planes, flat, size)
    like = onnx.ModelProto(opset_import=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    graph = builder.build("novelty", size, {"novelty": ["n"]}, like=like)
    [found] = NetworkSession(graph).run(["novelty"], images)
    np.testing.assert_allclose(found, novelty.score(features, images), rtol=1e-3)
