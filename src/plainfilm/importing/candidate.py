"""Prepares a network for its import: what its input and output are, and that its wrapping works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plainfilm.bundle.imported import Preprocessing
from plainfilm.encoders.images import resolve, test_images
from plainfilm.encoders.presets import ImageOptions
from plainfilm.encoders.source import SourceGraph
from plainfilm.errors import BundleError
from plainfilm.importing.equality import Reference, check_wrapped, refer
from plainfilm.importing.outputs import Meaning
from plainfilm.importing.wrap import wrap_graph
from plainfilm.records import PixelSpec

__all__ = ["Candidate", "find_candidate"]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A network that can be imported.

    Attributes
    ----------
    source
        The ONNX file.
    spec, preprocessing
        How files become images, and images the input of the network.
    meaning, columns
        What its output means, and its number of columns.
    batch
        Number of images in a run; None for any number.
    reference
        Outputs of the original graph for drawn images.
    """

    source: SourceGraph
    spec: PixelSpec
    preprocessing: Preprocessing
    meaning: Meaning
    columns: int
    batch: int | None
    reference: Reference

    def to_graph(self, temperature: float = 1.0) -> bytes:
        """Return the graph of the bundle."""
        return wrap_graph(
            self.source,
            self.spec.size,
            self.preprocessing,
            self.meaning,
            self.columns,
            batch=self.batch,
            temperature=temperature,
        )


def find_candidate(
    source: SourceGraph, options: ImageOptions, choose: Callable[[int], Meaning]
) -> Candidate:
    """Return a network after checking that its wrapped graph returns what the original returns.

    ``choose`` returns the meaning of the output for its number of columns.
    """
    spec, how = resolve(source, options)
    if source.columns is not None:  # before anything runs
        choose(source.columns)
    reference = refer(source, test_images(spec.size), how)
    columns = reference.outputs.shape[1]
    meaning = choose(columns)
    if not np.ptp(reference.outputs, axis=0).any():
        raise BundleError(
            "the network returns the same values for every image",
            received=f"{reference.outputs[0].tolist()} for {len(reference.images)} drawn images",
            remedy="check its weights, and the range of its input",
        )

    def wrap(batch: int | None) -> bytes:
        return wrap_graph(source, spec.size, how, meaning, columns, batch=batch)

    batch = check_wrapped(wrap, source, meaning, reference)
    return Candidate(source, spec, how, meaning, columns, batch, reference)
