"""Describes the weights from which a training, or that of its teacher, started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["start", "earlier", "teacher", "imported"]

_BEGINNINGS: Mapping[Role, str] = {
    "start": "the training started from",
    "earlier": "the weights that the training started from go back to",
    "teacher": "the teacher started from",
    "imported": "the network learnt from the predictions of",
}

OF_BUNDLE = "weights of the bundle"
"""Beginning of the name of the weights of a bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedWeights:
    """A file of pretrained weights that a network goes back to.

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
    role
        ``start`` if the training started from them, ``earlier`` if the weights that it started from
        go back to them, ``teacher`` if the teacher does, ``imported`` if they are an imported
        teacher.
    """

    name: str
    sha256: str
    licence: str | None = None
    source: str | None = None
    trained_on: tuple[str, ...] = ()
    role: Role = "start"

    @property
    def beginning(self) -> str:
        """Return what they were to the training, as the beginning of a sentence."""
        return f"{_BEGINNINGS[self.role]} {self.phrase}"

    @property
    def phrase(self) -> str:
        """Return their name within a sentence."""
        if self.role == "imported":
            return f"the imported network {self.name}"
        if self.name.startswith(OF_BUNDLE):
            return f"the {self.name}"
        return f"the weights {self.name}"
