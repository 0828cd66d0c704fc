"""Small ONNX classifiers as other libraries export them, built node by node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

FLOAT = onnx.TensorProto.FLOAT
TYPES = {"float32": FLOAT, "float16": onnx.TensorProto.FLOAT16, "uint8": onnx.TensorProto.UINT8}


class Maker:
    """Collects nodes and random weights."""

    def __init__(self, seed: int = 0, dtype: str = "float32") -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.dtype = "float16" if dtype == "float16" else "float32"

    def weight(self, *shape: int, low: float = -0.5, high: float = 0.5) -> str:
        name = f"w{len(self.weights)}"
        values = self.rng.uniform(low, high, shape).astype(self.dtype)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def numbers(self, *values: int) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [*inputs], [name], **attributes))
        return name

    def convolve(self, x: str, a: int, b: int, side: int = 3, **more: Any) -> str:
        """Add a convolution and a batch normalisation in inference mode."""
        pads = [side // 2] * 4
        x = self.add("Conv", x, self.weight(b, a, side, side), pads=pads, **more)
        scale, shift, mean = self.weight(b), self.weight(b), self.weight(b)
        return self.add(
            "BatchNormalization", x, scale, shift, mean, self.weight(b, low=0.5, high=2)
        )

    def save(
        self, path: Path, shape: Sequence[Any], output: str, columns: int, **more: Any
    ) -> Path:
        kind = TYPES[more.pop("dtype", self.dtype)]
        opset = more.pop("opset", 17)
        axes = more.pop("axes", 2)
        sides = {2: [columns], 3: ["tokens", columns], 4: [columns, "height", "width"]}[axes]
        graph = helper.make_graph(
            self.nodes,
            "classifier",
            [helper.make_tensor_value_info("pixels", kind, shape)],
            [helper.make_tensor_value_info(output, TYPES[self.dtype], [shape[0], *sides])],
            self.weights,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=8,
            producer_name="maker",
            producer_version="1.2",
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString())
        return path


def residual(
    path: Path,
    *,
    columns: int = 1,
    channels: int = 3,
    size: Any = 32,
    batch: Any = "n",
    end: str | None = None,
    flat: tuple[int, int] | None = None,
    computed: bool = False,
    dtype: str = "float32",
    gain: float = 1.0,
    opset: int = 17,
) -> Path:
    """Write a residual network, channels first, like those of torchvision.

    ``end`` is the last operator, and ``flat`` a fixed shape before the last layer, as
    torch.onnx.export writes it for a fixed batch; if it is ``computed``, it is no constant.
    """
    made = Maker(dtype=dtype)
    x = made.add("Relu", made.convolve("pixels", channels, 4, 7, strides=[2, 2]))
    way = made.convolve(made.add("Relu", made.convolve(x, 4, 4)), 4, 4)
    x = made.add("Relu", made.add("Add", x, way))
    x = made.add("GlobalAveragePool", x)
    if flat:
        shape = made.numbers(*flat)
        x = made.add("Reshape", x, made.add("Identity", shape) if computed else shape)
    else:
        x = made.add("Flatten", x)
    x = made.add("Gemm", x, made.weight(4, columns, low=-gain, high=gain), made.weight(columns))
    x = made.add(end, x, **({"axis": 1} if end == "Softmax" else {})) if end else x
    return made.save(path, [batch, channels, size, size], x, columns, opset=opset)


def channels_last(path: Path, *, columns: int = 3, end: str | None = "Softmax") -> Path:
    """Write a network for images with channels last, as a converter from Keras does."""
    made = Maker(1)
    x = made.add("Transpose", "pixels", perm=[0, 3, 1, 2])
    x = made.add("Relu", made.convolve(x, 1, 6))
    x = made.add(
        "Transpose", made.add("MaxPool", x, kernel_shape=[4, 4], strides=[4, 4]), perm=[0, 2, 3, 1]
    )
    x = made.add("Reshape", x, made.numbers(-1, 6 * 8 * 8))
    x = made.add("MatMul", x, made.weight(6 * 8 * 8, columns, low=-0.1, high=0.1))
    x = made.add(end, x, **({"axis": -1} if end == "Softmax" else {})) if end else x
    return made.save(path, ["batch", 32, 32, 1], x, columns)


def encoder(
    path: Path,
    *,
    output: str = "planes",
    channels: int = 1,
    size: Any = 32,
    batch: Any = "n",
    opset: int = 17,
    dead: float | None = None,
) -> Path:
    """Write a convolutional encoder with the output ``planes``, ``tokens`` or ``features``.

    The first weights are ``dead`` if that is given. With a fixed ``batch`` the last reshape has it.
    """
    made = Maker(3)
    x = made.add("Relu", made.convolve("pixels", channels, 6, 5, strides=[2, 2]))
    x = made.add("Relu", made.convolve(x, 6, 8, strides=[2, 2]))
    if dead is not None:
        made.weights[0] = numpy_helper.from_array(
            np.full((6, channels, 5, 5), dead, np.float32), "w0"
        )
    if output == "planes":
        return made.save(path, [batch, channels, size, size], x, 8, opset=opset, axes=4)
    if output == "tokens":
        x = made.add("Reshape", x, made.numbers(0 if batch == "n" else batch, 8, -1))
        x = made.add("Transpose", x, perm=[0, 2, 1])
        return made.save(path, [batch, channels, size, size], x, 8, opset=opset, axes=3)
    x = made.add("GlobalAveragePool", x)
    x = made.add("Reshape", x, made.numbers(-1 if batch == "n" else batch, 8))
    return made.save(path, [batch, channels, size, size], x, 8, opset=opset)


def brightness(path: Path, *, size: int = 32, gain: float = 20.0, end: str | None = None) -> Path:
    """Write a network whose logit is ``gain`` times the mean of the image, from 0 to 1, - 0.5."""
    made = Maker()
    x = made.add("Flatten", made.add("GlobalAveragePool", "pixels"))
    for name, value in (("gain", [[gain]]), ("shift", [-gain / 2])):
        made.weights.append(numpy_helper.from_array(np.array(value, np.float32), name))
    x = made.add("Gemm", x, "gain", "shift")
    x = made.add(end, x) if end else x
    return made.save(path, ["n", 1, size, size], x, 1)


def brightness_graph(
    gains: Sequence[float], size: int, *, activation: bool = False, end: str = "Sigmoid"
) -> bytes:
    """Return the graph of a bundle whose probabilities increase with the brightness of the image.

    Its logit of a label is gain * (mean grey value - 128) / 32, and the novelty of an image is
    abs(mean grey value - 128) / 100. The ``activation`` of a label is this logit at each place.
    """
    constants = {
        "one": np.array([1], np.int64),
        "middle": np.float32(128),
        "hundred": np.float32(100),
        "gains": np.array([gains], np.float32) / 32,
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["grey"], to=FLOAT),
        helper.make_node("ReduceMean", ["grey"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Sub", ["column", "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "gains"], ["logits"]),
        helper.make_node(end, ["logits"], ["probabilities"]),
        helper.make_node("Squeeze", ["centred", "one"], ["distance"]),
        helper.make_node("Abs", ["distance"], ["positive"]),
        helper.make_node("Div", ["positive", "hundred"], ["novelty"]),
    ]
    shapes: dict[str, list[Any]] = {
        "probabilities": ["n", len(gains)],
        "logits": ["n", len(gains)],
        "novelty": ["n"],
    }
    if activation:
        constants["planes"] = np.array(gains, np.float32).reshape(1, -1, 1, 1) / 32
        nodes += [
            helper.make_node("Unsqueeze", ["grey", "one"], ["plane"]),
            helper.make_node(
                "AveragePool", ["plane"], ["places"], kernel_shape=[4, 4], strides=[4, 4]
            ),
            helper.make_node("Sub", ["places", "middle"], ["bright"]),
            helper.make_node("Mul", ["bright", "planes"], ["activation"]),
        ]
        shapes["activation"] = ["n", len(gains), size // 4, size // 4]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", TYPES["uint8"], ["n", size, size])],
        [helper.make_tensor_value_info(name, FLOAT, sides) for name, sides in shapes.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def write_samples(path: Path, network: Path, *, size: int = 32) -> None:
    """Write images, and what a network of three channels returns for them as torchvision does."""
    import onnxruntime

    images = np.random.default_rng(4).integers(0, 256, (6, size, size)).astype(np.uint8)
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    planes = (np.repeat(images[:, None] / 255, 3, axis=1) - mean) / std
    outputs = session.run(None, {"pixels": planes.astype(np.float32)})[0]
    np.savez(path, images=images, outputs=outputs)
