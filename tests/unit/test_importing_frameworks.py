"""Networks that PyTorch and Keras export give their own outputs after the import."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from plainfilm.importing import ImageOptions, import_model
from plainfilm.records import Task
from plainfilm.runtime import Predictor

pytest.importorskip("onnx")

SIZE = 48


def pictures() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (5, SIZE, SIZE)).astype(np.uint8)


def torch_network(channels: int, columns: int) -> Any:
    """Return a residual network with batch normalisation, in inference mode."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self, a: int, b: int) -> None:
            super().__init__()
            self.way = nn.Sequential(
                nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(),
                nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b),
            )  # fmt: skip
            self.short = nn.Conv2d(a, b, 1, 2)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.way(x) + self.short(x))

    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(channels, 8, 7, 2, 3), nn.MaxPool2d(3, 2, 1), Block(8, 16), Block(16, 16),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, columns),
    )  # fmt: skip
    network(torch.randn(16, channels, SIZE, SIZE))  # gives batch normalisation its statistics
    return network.eval()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["fixed", "any", "old"])
def test_pytorch(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    if kind != "old" and importlib.util.find_spec("onnxscript") is None:
        pytest.skip("the exporter needs onnxscript")
    network, path = torch_network(3, 2), tmp_path / "net.onnx"
    more: dict[str, Any] = {"external_data": False}
    if kind == "any":
        more["dynamic_shapes"] = ({0: torch.export.Dim("n")},)
    elif kind == "old":
        more = {"dynamo": False}
    example = torch.zeros(1 if kind != "any" else 2, 3, SIZE, SIZE)
    torch.onnx.export(network, (example,), path, **more)
    images = pictures()
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        planes = torch.tensor(images)[:, None].repeat(1, 3, 1, 1) / 255
        logits = network((planes - mean) / std)
    np.savez(tmp_path / "samples.npz", images=images, outputs=logits.numpy())
    bundle = import_model(
        path,
        out=tmp_path / "bundle",
        labels=["WELL", "ILL"],
        task="binary",
        preset="torchvision",
        output_kind="logits",
        check=tmp_path / "samples.npz",
    )
    expected = torch.softmax(logits, 1)[:, 1:].numpy()
    np.testing.assert_allclose(Predictor(bundle).probabilities(images), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchxrayvision(tmp_path: Path) -> None:
    """Its networks end in a sigmoid that is rescaled by thresholds, and have unused columns."""
    torch = pytest.importorskip("torch")
    network, cut = torch_network(1, 4), torch.tensor([0.3, 0.5, 0.2, 0.6])

    class Rescaled(torch.nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Any) -> Any:
            value = torch.sigmoid(self.network(x))
            low, high = value / (2 * cut), 1 - (1 - value) / (2 * (1 - cut))
            return torch.where(value < cut, low, high)

    path, images = tmp_path / "net.onnx", pictures()
    scaled = (2 * (torch.tensor(images, dtype=torch.float32)[:, None] / 255) - 1) * 1024
    model = Rescaled().eval()
    torch.onnx.export(model, (scaled[:1],), path, dynamo=False)
    bundle = import_model(
        path,
        out=tmp_path / "bundle",
        labels=["Edema", "Mass"],
        columns=[3, 0],
        task="multilabel",
        preset="torchxrayvision",
        output_kind="probabilities",
    )
    with torch.no_grad():
        expected = model(scaled)[:, [3, 0]].numpy()
    np.testing.assert_allclose(Predictor(bundle).probabilities(images), expected, atol=1e-5)


def test_keras_through_the_writer_of_plainfilm(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    from plainfilm.models import build_network
    from plainfilm.models.export import to_onnx

    keras.utils.set_random_seed(0)
    network = build_network("compact", SIZE, 1, {"channels": [8, 8]})
    task = Task("binary", ("ill",), ("well", "ill"))
    path, images = tmp_path / "net.onnx", pictures()
    path.write_bytes(to_onnx(network, task, "sigmoid", 1.0))
    bundle = import_model(
        path,
        out=tmp_path / "bundle",
        labels=["ill"],
        negative="well",
        output="probabilities",
        images=ImageOptions(size=SIZE, value_range=(0, 255)),
    )
    logits = np.asarray(network(images[..., None]), np.float64)
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(Predictor(bundle).probabilities(images), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("end", ["softmax", None])
def test_keras(tmp_path: Path, end: str | None) -> None:
    if importlib.util.find_spec("tf2onnx") is None:
        pytest.skip("the export of Keras needs tf2onnx")
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.MaxPooling2D(4),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation=end),
        ]
    )
    path, images = tmp_path / "net.onnx", pictures()
    planes = np.repeat(images[..., None].astype(np.float32), 3, axis=-1) / 127.5 - 1
    outputs = np.asarray(network(planes))
    network.export(str(path), format="onnx", verbose=False)
    bundle = import_model(
        path,
        out=tmp_path / "bundle",
        labels=["a", "b", "c"],
        task="multiclass",
        images=ImageOptions(size=SIZE),
        preset="keras-tf",
        output_kind=None if end else "logits",
    )
    expected = outputs if end else np.asarray(keras.ops.softmax(outputs))
    np.testing.assert_allclose(Predictor(bundle).probabilities(images), expected, atol=1e-5)
