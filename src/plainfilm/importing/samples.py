"""Compares an imported network with outputs that the original gave for sample images."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainfilm import _files
from plainfilm._text import plural
from plainfilm.data.sources.tables.files import read_table
from plainfilm.decoding.decode import Failure
from plainfilm.decoding.pool import decode_files
from plainfilm.errors import BundleError, ImageError, UsageError
from plainfilm.importing.equality import TOLERANCE, Floats, largest_difference
from plainfilm.importing.outputs import Meaning, check_values, to_logits
from plainfilm.network_session import NetworkSession
from plainfilm.records import PixelSpec

__all__ = ["check_samples"]

_FORMAT = (
    "give a .npz file with images (uint8, n x size x size) and outputs (n x columns), or a table "
    "with a column of file names and a column of probabilities for each label"
)


class _Samples(NamedTuple):
    names: Sequence[str]
    images: NDArray[np.uint8]
    expected: Floats  # logits (n, labels)
    decoded: bool  # from files, by the reader of this package


def check_samples(path: Path, session: NetworkSession, spec: PixelSpec, meaning: Meaning) -> str:
    """Return in words what was compared.

    Raises
    ------
    BundleError
        If an output differs by more than `TOLERANCE` from that of the original.
    UsageError
        If the samples cannot be read.
    """
    npz = path.suffix.lower() == ".npz"
    samples = _read_npz(path, spec, meaning) if npz else _read_table(path, spec, meaning)
    found = largest_difference(
        session.run(["logits"], samples.images)[0].astype(np.float64), samples.expected, meaning
    )
    count = plural(len(samples.images), "sample image")
    if not found.value <= TOLERANCE:
        causes = (
            "the range, mean or std of the input, the order of height and width, or the meaning of "
            "the output"
        )
        if samples.decoded:
            causes += (
                "; or the original resizes images in another way, so give samples that have the "
                f"size of the input already ({spec.size} x {spec.size})"
            )
        raise BundleError(
            f"the imported network does not return what the original returned for {count}",
            received=f"a difference of {found.value:.2g} in the {found.what} of {found.label} for "
            f"{samples.names[found.image]} (allowed {TOLERANCE:.0e})",
            remedy=f"check {causes}",
        )
    return f"outputs of the original for {count}, equal to {TOLERANCE:.0e}"


def _read_npz(path: Path, spec: PixelSpec, meaning: Meaning) -> _Samples:
    try:
        _files.open_regular(path).close()
        with np.load(path, allow_pickle=False) as file:
            images, outputs = file["images"], np.asarray(file["outputs"], np.float64)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = f"{path}: {_files.reason_of(error)}"
        raise UsageError("the samples cannot be read", received=reason, remedy=_FORMAT) from error
    shape = (len(images), spec.size, spec.size) if images.ndim else ()
    outputs = outputs.reshape(len(outputs), -1) if outputs.ndim else outputs.reshape(0, 0)
    chosen = list(meaning.columns)
    if (
        images.dtype != np.uint8
        or images.shape != shape
        or len(outputs) != len(images)
        or not len(images)
        or outputs.shape[1] <= max(chosen)
    ):
        raise UsageError(
            "the samples do not fit the network",
            received=f"images {images.dtype} {images.shape}, outputs {outputs.shape}",
            remedy=_FORMAT,
        )
    values = outputs[:, chosen]
    check_values(values, meaning)
    names = [f"image {number}" for number in range(len(images))]
    return _Samples(names, images, to_logits(values, meaning), False)


def _read_table(path: Path, spec: PixelSpec, meaning: Meaning) -> _Samples:
    table, labels = read_table(path), meaning.task.labels
    missing = [label for label in labels if label not in table.columns]
    files = [name for name in table.columns if name not in (*labels, *meaning.names)]
    if missing or not files:
        raise UsageError(
            f"the table lacks a column of {'probabilities' if missing else 'file names'}",
            received=f"{', '.join(missing) or 'no other column'}; columns: {table.names}",
            remedy=_FORMAT,
        )
    names = table.columns[files[0]]
    images, outcomes = decode_files([str(path.parent / name) for name in names], spec)
    for name, one in zip(names, outcomes, strict=True):
        if isinstance(one, Failure):
            raise ImageError(one.reason, one.problem, received=name)
    try:
        values = np.array([table.columns[label] for label in labels], np.float64).T
    except ValueError as error:
        raise UsageError(
            "the probabilities of the samples are not numbers", received=error, remedy=_FORMAT
        ) from error
    columns = tuple(range(len(labels)))
    alone = replace(meaning, kind="probabilities", columns=columns, names=labels, pair=False)
    check_values(values, alone)
    return _Samples(names, images, to_logits(values, alone), True)
