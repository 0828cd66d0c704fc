"""Resolves how a network expects images, and prepares them with NumPy as a reference."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainfilm._text import printable
from plainfilm.bundle.imported import Axes, Preprocessing
from plainfilm.encoders.presets import ImageOptions
from plainfilm.encoders.source import Side, SourceGraph
from plainfilm.errors import UsageError
from plainfilm.network_session import Array
from plainfilm.phantom import draw
from plainfilm.records import PixelSpec

_SMALLEST, _LARGEST = 64, 256  # sides of drawn radiographs, which are resized

__all__ = ["combine", "prepare", "resolve", "test_images"]


def combine(given: ImageOptions, base: ImageOptions) -> ImageOptions:
    """Return ``given``, with the options of ``base`` where it has none."""
    values = {one.name: getattr(given, one.name) for one in fields(given)}
    return ImageOptions(
        **{name: getattr(base, name) if own is None else own for name, own in values.items()}
    )


def resolve(source: SourceGraph, options: ImageOptions) -> tuple[PixelSpec, Preprocessing]:
    """Return how files become images, and images the input of the graph.

    Raises
    ------
    UsageError
        If an option contradicts the input of the graph, or is needed and missing.
    """
    axes, (channels, size) = _shape(source, options)
    if options.value_range is None:
        raise UsageError(
            "the values of black and white in the network's input are not given",
            remedy="give preset= with the library of the network, or value_range= (such as 0,1)",
        )
    if len(options.value_range) != 2:
        raise UsageError(
            "value_range= needs two numbers LOW,HIGH, the values of black and white",
            received=", ".join(map(str, options.value_range)),
            remedy="e.g. 0,1",
        )
    low, high = options.value_range
    preprocessing = Preprocessing(
        channels=channels,
        axes=axes,
        low=float(low),
        high=float(high),
        mean=tuple(map(float, options.mean or (0.0,))),
        std=tuple(map(float, options.std or (1.0,))),
        scaling=options.scaling or "fixed",
        transposed=bool(options.transposed),
        dtype=source.dtype,
    )
    return PixelSpec(size, options.geometry or "squash"), preprocessing


def _shape(source: SourceGraph, options: ImageOptions) -> tuple[Axes, tuple[int, int]]:
    """Return the axes of the input, its channels and its size."""
    axes = options.axes or _axes(source.shape, options.channels)
    if axes is None or len(source.shape) != len(axes):
        raise UsageError(
            "the order of the axes of the input is not clear",
            received=f"{printable(source.input)} {_shown(source.shape)}",
            remedy="give axes= (nchw for PyTorch, nhwc for Keras)",
        )
    sides = dict(zip(axes, source.shape, strict=True))
    if axes == "nhw":
        sides["c"] = 1
    found: dict[str, int] = {}
    for name, own, given in (
        ("channels", "c", options.channels),
        ("size", "hw", options.size),
    ):
        declared = {side for axis in own if (side := sides[axis]) is not None}
        if len(declared) > 1:
            raise UsageError(
                "only networks for square images can be imported",
                received=f"{printable(source.input)} {_shown(source.shape)}",
                remedy="export the network for a square image",
            )
        if given is not None and declared and given not in declared:
            raise UsageError(
                f"the {name} given is not that of the graph's input",
                received=f"a {name} of {given}; {printable(source.input)} {_shown(source.shape)}",
            )
        if given is None and not declared:
            raise UsageError(
                f"the graph's input does not fix its {name}",
                received=f"{printable(source.input)} {_shown(source.shape)}",
                remedy=f"give {name}=",
            )
        found[name] = given if given is not None else declared.pop()
    return axes, (found["channels"], found["size"])


def _axes(shape: tuple[Side, ...], channels: int | None) -> Axes | None:
    if len(shape) == 3:
        return "nhw"
    known = {1, 3} if channels is None else {channels}
    first, last = (len(shape) == 4 and shape[axis] in known for axis in (1, -1))
    if first == last:
        return None
    return "nchw" if first else "nhwc"


def _shown(shape: tuple[Side, ...]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"


def prepare(images: NDArray[np.uint8], how: Preprocessing) -> Array:
    """Return the input of the original graph for images (n, size, size)."""
    values = images.astype(np.float32)
    if how.transposed:
        values = values.transpose(0, 2, 1)
    if how.scaling == "image":
        low = values.min(axis=(1, 2), keepdims=True)
        spread = values.max(axis=(1, 2), keepdims=True) - low
        unit = (values - low) / np.maximum(spread, 1)
    else:
        unit = values / np.float32(255)
    planes = np.repeat(unit[:, None], how.channels, axis=1)
    mean, std = (np.array(one, np.float32)[:, None, None] for one in (how.mean, how.std))
    low_end, high_end = np.float32(how.low), np.float32(how.high)
    planes = (low_end + (high_end - low_end) * planes - mean) / std
    if how.axes == "nhwc":
        planes = planes.transpose(0, 2, 3, 1)
    elif how.axes == "nhw":
        planes = planes[:, 0]
    if how.dtype == "uint8":
        planes = np.rint(planes)
    return np.ascontiguousarray(planes, dtype=how.dtype)


def test_images(size: int, count: int = 6) -> NDArray[np.uint8]:
    """Return drawn images (count, size, size): radiographs, then noise and ramps."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size, size)).astype(np.uint8)
    coarse = max(_SMALLEST, min(size, _LARGEST))
    for number in range(count // 2):  # a network may be saturated on anything else
        film = Image.fromarray(draw(rng, size=coarse))
        images[number] = np.asarray(film.resize((size, size), Image.Resampling.BILINEAR))
    steps = np.arange(size) / max(size - 1, 1)
    ramp = np.add.outer(steps, steps**2)
    images[-1] = np.rint(255 * ramp / ramp.max())
    return images
