"""The options of a probe, ``network.options``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from plainfilm._json import TOML, from_json
from plainfilm.encoders.images import combine
from plainfilm.encoders.pooling import Pooling
from plainfilm.encoders.presets import ImageOptions, find_preset
from plainfilm.errors import ConfigError
from plainfilm.records import PixelSpec

__all__ = ["ProbeOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOptions:
    """The options of a probe.

    Attributes
    ----------
    penalty
        Strength of the penalty on the squared coefficients, for one copy of each image: 1 / C of
        scikit-learn.
    stages
        Stages of a built-in encoder whose mean and standard deviation are features.
    input, output
        Input and output of an ONNX file; None takes the only one.
    pooling
        ``first`` or ``mean`` of the tokens (n, tokens, d) that an ONNX file returns.
    preset, value_range, mean, std, scaling, channels, axes, transposed
        How an ONNX file expects images, as in `plainfilm.import_model`.
    trained_on, licence
        Data sets that the weights of an ONNX file were trained on, and their licence.
    """

    penalty: float = 300.0
    stages: tuple[int, ...] | None = None
    input: str | None = None
    output: str | None = None
    pooling: Pooling | None = None
    preset: str | None = None
    value_range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scaling: Literal["fixed", "image"] | None = None
    channels: int | None = None
    axes: Literal["nchw", "nhwc", "nhw"] | None = None
    transposed: bool | None = None
    trained_on: tuple[str, ...] = ()
    licence: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.penalty < float("inf"):
            raise ConfigError("network.options.penalty must be above 0", received=self.penalty)

    @classmethod
    def of(cls, options: Mapping[str, Any], *, built_in: bool) -> ProbeOptions:
        """Return the options of a recipe, after checking that they are those of its encoder."""
        found = from_json(cls, options, "network.options", TOML)
        own = {"penalty", "stages"} if built_in else {*options} - {"stages"}
        if others := sorted({*options} - own):
            kind = "a built-in encoder" if built_in else "an ONNX file"
            raise ConfigError(
                f"network.options has a setting that {kind} does not have",
                received=", ".join(others),
                remedy="leave it out",
            )
        return found

    def images(self, spec: PixelSpec) -> ImageOptions:
        """Return how the encoder expects images of a pixel spec."""
        shared = {one.name for one in fields(ImageOptions)} - {"size", "geometry"}
        given = ImageOptions(
            size=spec.size,
            geometry=spec.geometry,
            **{name: getattr(self, name) for name in shared},
        )
        return given if self.preset is None else combine(given, find_preset(self.preset))
