"""Makes an encoder of an ONNX file, and checks that it returns what the file returns."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm._text import plural, printable
from plainfilm.encoders.encoder import FEATURES, TOLERANCE, Encoder, check_finite
from plainfilm.encoders.graph_input import add_source
from plainfilm.encoders.images import prepare, resolve, test_images
from plainfilm.encoders.options import ProbeOptions
from plainfilm.encoders.pooling import add_pooling, pool
from plainfilm.encoders.source import SourceGraph, read_source
from plainfilm.errors import BundleError, ConfigError, MissingExtraError, UsageError
from plainfilm.models.graph import GraphBuilder
from plainfilm.network_session import NetworkSession
from plainfilm.records import PixelSpec

__all__ = ["read_encoder"]

_HALF_PRECISION = 1e-2
_OLDEST = 13  # the oldest opset in which a mirrored graph can be written
_WIDEST = 20_000  # features
_ARGUMENT = re.compile(r"(?<![\w.])(preset|value_range|axes|channels|input|output)=(?!\w)")


def read_encoder(path: Path, spec: PixelSpec, options: ProbeOptions) -> Encoder:
    """Read an ONNX file as an encoder.

    Raises
    ------
    BundleError
        If the graph is refused, its features are not finite or do not depend on the image, or
        depend on the other images of a batch.
    ConfigError, UsageError
        If an option is wrong or needed.
    """
    try:
        with np.errstate(all="ignore"):  # features that are too large are refused
            return _read(path, spec, options)
    except BundleError as error:
        name, received = printable(path.name), error.received
        if received is None or name not in str(received):
            received = name if received is None else f"{name}: {received}"
        raise BundleError(
            error.problem, received=received, remedy=_with_settings(error.remedy)
        ) from error
    except MissingExtraError:
        raise
    except UsageError as error:
        raise ConfigError(
            _with_settings(error.problem) or "",
            received=error.received,
            remedy=_with_settings(error.remedy),
        ) from error


def _with_settings(text: str | None) -> str | None:
    """Replace the arguments of `plainfilm.import_model` in a message by settings of a recipe."""
    if text is None:
        return None
    return _ARGUMENT.sub(r"network.options.\1", text).replace("such as 0,1", "such as [0, 1]")


def _read(path: Path, spec: PixelSpec, options: ProbeOptions) -> Encoder:
    source = read_source(path, options.input, options.output)
    if source.opset < _OLDEST:
        raise BundleError(
            f"an encoder must have operators of version {_OLDEST} (opset) or newer",
            received=f"{printable(path.name)}: opset {source.opset}",
            remedy="export it again with a newer opset",
        )
    _, how = resolve(source, options.images(spec))
    last = how.axes == "nhwc"
    images = test_images(spec.size, 2)
    session = NetworkSession(source.model.SerializeToString())
    inputs = prepare(images, how)
    # One by one, since a graph may mix the images of a batch.
    outputs = [session.run([source.output], inputs[i : i + 1])[0] for i in range(len(images))]
    expected = pool(np.concatenate(outputs), options.pooling, channels_last=last)
    _check_features(expected)
    builder = GraphBuilder("onnx")
    output = add_source(builder, source, spec.size, how)
    found = add_pooling(builder, output, outputs[0].ndim, options.pooling, channels_last=last)
    builder.add("Identity", [found], FEATURES)
    width = expected.shape[1]
    encoder = Encoder(
        builder.build("plainfilm-encoder", spec.size, {FEATURES: ["n", width]}, like=source.model),
        width,
        builder.parameters,
        _HALF_PRECISION if source.dtype == "float16" else TOLERANCE,
    )
    _check_equality(encoder, source, images, expected)
    return encoder


def _check_features(expected: NDArray[np.float64]) -> None:
    """Check features (n, d) of two different images."""
    if expected.shape[1] > _WIDEST:
        raise BundleError(
            "the encoder has too many features",
            received=f"{expected.shape[1]:,} (at most {_WIDEST:,})",
            remedy="name an output after pooling with network.options.output",
        )
    check_finite(expected.astype(np.float32))
    if not np.ptp(expected, axis=0).any():
        raise BundleError(
            "the encoder returns the same features for every image",
            received=f"{plural(expected.shape[1], 'feature')} of two drawn images",
            remedy="check its weights, and the range of its input",
        )


def _check_equality(
    encoder: Encoder, source: SourceGraph, images: NDArray[np.uint8], expected: NDArray[np.float64]
) -> None:
    """Check that the encoder returns the expected features for one image and for several."""
    session = encoder.open()
    declared = source.shape[0]
    remedy = (
        "export it in inference mode (model.eval() in PyTorch)"
        if declared is None
        else "export it with the number of images as a dynamic axis"
    )
    many = np.concatenate([images, images[:1]])
    try:
        together = session.run([FEATURES], many)[0][: len(images)]
    except BundleError as error:
        gap, received = np.array([np.inf]), f"{error.problem}: {error.received}"
    else:
        check_finite(together)  # the deviation of a plane may exceed the largest float32
        gap = np.abs(together - expected).max(axis=1) / np.abs(expected).max(axis=1)
        received = f"a relative difference of {gap.max():.2g} for three images at once"
    if not gap.max() <= encoder.tolerance:
        size = "" if declared is None else f" for {plural(declared, 'image')} in a run"
        raise BundleError(
            f"the encoder{size} does not return the same features for several images at once",
            received=received,
            remedy=remedy,
        )
