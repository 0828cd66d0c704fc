"""Describes where an imported network comes from and how it expects images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from plainfilm._text import plural
from plainfilm.errors import ConfigError

Axes = Literal["nchw", "nhwc", "nhw"]
OutputKind = Literal["logits", "probabilities"]
Scaling = Literal["fixed", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How a network expects the grey image of a bundle.

    A grey level g from 0 (black) to 255 (white) becomes
    ``(low + (high - low) * g / 255 - mean) / std``, the same in all channels but for mean and std.

    Attributes
    ----------
    channels
        1, or 3 equal ones.
    axes
        Order of the axes: images, channels, height, width; or channels last; or none.
    low, high
        Values of black and white; ``low`` is above ``high`` for inverted images.
    mean, std
        Subtracted, then divided by; one value, or one for each channel.
    scaling
        ``fixed`` uses 0 and 255 as black and white, ``image`` the darkest and lightest pixel of
        each image.
    transposed
        Whether the network expects height and width exchanged.
    dtype
        Type of the values: float32, float16, float64 or uint8.
    """

    channels: int
    axes: Axes
    low: float
    high: float
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scaling: Scaling = "fixed"
    transposed: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ConfigError("a network must have 1 or 3 channels", received=self.channels)
        values = (self.low, self.high, *self.mean, *self.std)
        if not all(math.isfinite(value) for value in values) or self.low == self.high:
            raise ConfigError(
                "black and white must be two different finite numbers",
                received=f"{self.low:g}, {self.high:g}",
            )
        for name, given in (("mean", self.mean), ("std", self.std)):
            if len(given) not in (1, self.channels):
                count = plural(len(given), "value")
                raise ConfigError(
                    f"the {name} must have one value, or one for each channel",
                    received=f"{count} for {plural(self.channels, 'channel')}",
                )
        if not min(self.std) > 0:
            raise ConfigError("the std must be above 0", received=min(self.std))
        if self.dtype == "uint8" and (
            (self.low, self.high) not in ((0.0, 255.0), (255.0, 0.0))
            or set(self.mean) != {0.0}
            or set(self.std) != {1.0}
        ):
            raise ConfigError(
                "a network that takes integers can only have the range 0 to 255, without mean and "
                "std",
                received=f"{self.low:g} to {self.high:g}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFrom:
    """The ONNX file that a bundle was made from.

    Attributes
    ----------
    file, sha256
        Name and hash of the file.
    producer, opset
        Name and version of the program that wrote it, as its header states, and the version of the
        operators.
    input, output, output_kind
        The input and output that are used, and what the output contains.
    columns
        Columns of the output that are used, counted from 0, in the order of ``names``.
    names
        Names of these columns.
    preprocessing
        How the network expects images.
    batch
        Number of images that the network takes in a run; None for any.
    licence
        Licence of the network, as given at the import.
    checked
        What was compared with the original's outputs, in words.
    """

    file: str
    sha256: str
    producer: str | None
    opset: int
    input: str
    output: str
    output_kind: OutputKind
    columns: tuple[int, ...]
    names: tuple[str, ...]
    preprocessing: Preprocessing
    batch: int | None = None
    licence: str | None = None
    checked: str = ""

    def __post_init__(self) -> None:
        if len(self.columns) != len(self.names):
            raise ConfigError(
                "each column of an imported network must have a name",
                received=f"{len(self.columns)} columns, {len(self.names)} names",
            )
