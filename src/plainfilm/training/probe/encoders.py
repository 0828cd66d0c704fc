"""Finds the encoder of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from plainfilm import _files
from plainfilm._json import name_unknown
from plainfilm._text import printable
from plainfilm.bundle import PretrainedWeights
from plainfilm.config import KERAS_PREFIX, Recipe
from plainfilm.encoders.encoder import Encoder
from plainfilm.encoders.lite import lite_encoder
from plainfilm.encoders.onnx_file import read_encoder
from plainfilm.encoders.options import ProbeOptions
from plainfilm.errors import ConfigError
from plainfilm.models.lite_blocks import VARIANTS
from plainfilm.models.pretrained import LiteWeights, lite_weights

_BUILT_IN = {f"efficientnet-lite{variant}": variant for variant in VARIANTS}
_STAGES = (4, 5, 6, 7)


@dataclass(frozen=True, slots=True, eq=False)
class EncoderSource:
    """An encoder that was found but not read yet: its recipe, options, and origin.

    ``weights`` are those of a built-in encoder.
    """

    recipe: Recipe
    options: ProbeOptions
    origin: PretrainedWeights
    weights: LiteWeights | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> EncoderSource:
        """Find the encoder of a recipe.

        Raises
        ------
        ConfigError
            If it does not exist, or an option is wrong.
        MissingExtraError
            If its weights are not installed.
        """
        name, weights = recipe.network.encoder or "", recipe.network.weights
        variant = _BUILT_IN.get(name)
        sha256 = "" if variant is not None else _hash(name)
        options = ProbeOptions.of(recipe.network.options, built_in=variant is not None)
        if variant is not None:  # its weights are pretrained, so random ones are not meant
            path = None if weights in ("random", "imagenet") else weights
            found = lite_weights(variant, path)
            return cls(recipe, options, found.origin, found)
        if weights != "random":
            raise ConfigError(
                "network.weights is for a built-in encoder; an ONNX file contains its weights",
                received=weights,
                remedy="leave it out",
            )
        origin = PretrainedWeights(
            name=printable(Path(name).name),
            sha256=sha256,
            licence=options.licence,
            trained_on=options.trained_on,
        )
        return cls(recipe, options, origin)

    def open(self) -> Encoder:
        """Read the encoder and check it.

        Raises
        ------
        BundleError, ConfigError, UsageError
            If it cannot be used.
        """
        name, spec = self.recipe.network.encoder or "", self.recipe.input
        if self.weights is not None:
            chosen = self.options.stages
            stages = _STAGES if chosen is None else chosen
            return lite_encoder(self.weights, _BUILT_IN[name], spec.size, stages)
        return read_encoder(Path(name), spec, self.options)


def _hash(name: str) -> str:
    """Return the hash of the ONNX file that an encoder names; raise a ConfigError without one."""
    path = Path(name)
    remedy = f"choose one of {', '.join(_BUILT_IN)}, or give the path of an ONNX file"
    try:
        if path.is_dir():
            raise ConfigError(
                "the encoder is a folder and not an ONNX file",
                received=name,
                remedy="give the path of the .onnx file",
            )
        return _files.hash_file(path)
    except (OSError, ValueError) as error:
        if name.lower().startswith(KERAS_PREFIX):
            raise ConfigError(
                "a network of Keras Applications cannot be the encoder of a probe",
                received=name,
                remedy="export it as an ONNX file, or set network.name instead of "
                "network.encoder, in another recipe",
            ) from error
        if path.name == name and not path.suffix:
            raise ConfigError(name_unknown(name, [*_BUILT_IN], "encoder"), remedy=remedy) from error
        raise ConfigError(
            "the encoder is neither a built-in one nor an ONNX file that can be read",
            received=f"{name}: {_files.reason_of(error)}",
            remedy=remedy,
        ) from error
