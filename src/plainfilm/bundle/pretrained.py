"""Describes the weights from which a training started."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedWeights:
    """The file of pretrained weights from which a network was made.

    Attributes
    ----------
    name
        Name of the weights or of their file.
    sha256
        Hash of the file; for ImageNet weights that Keras downloads, of their values in its order.
    licence, source
        Licence and origin, in words; None if they are not stated.
    trained_on
        Names of the data sets that the weights were trained on; empty if they are not stated.
    """

    name: str
    sha256: str
    licence: str | None = None
    source: str | None = None
    trained_on: tuple[str, ...] = ()
