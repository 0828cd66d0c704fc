"""The evidence job of an audit: for each planned image what the checks need, instead of the image.

A row has about 1.3 KiB: the thumbnail, the histogram, the features of the style, the metadata with
the lines of text, and the hash of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import canonical_json, parse_json
from plainfilm.audit.evidence import (
    LEVELS,
    SIDE,
    THUMBNAIL,
    ImageSummaries,
    grey_ranges,
    summarise,
)
from plainfilm.audit.styles import FEATURES
from plainfilm.cluster.archive import read_row
from plainfilm.cluster.decode_rows import Content, Pixels, RowDecoder
from plainfilm.cluster.job import ChunkResult
from plainfilm.cluster.plan import Row
from plainfilm.decoding.decode import Decoded, Failure
from plainfilm.decoding.sandbox import Sandbox
from plainfilm.pixels import DECODER_VERSION, read_image_and_text
from plainfilm.records import PixelSpec

__all__ = ["EvidenceJob", "Found", "read_found"]

SCHEMA = 1
"""Version of the columns of the parts."""

_THREADS = 8  # that read files
_SHAPES = {
    "thumbnails": ("u1", (THUMBNAIL, THUMBNAIL)),
    "histograms": ("<u2", (LEVELS,)),
    "styles": ("<f8", (len(FEATURES),)),
}
"""Type and shape of the columns of bytes, which are fields of `ImageSummaries`."""


@dataclass(frozen=True, slots=True)
class EvidenceJob:
    """Collects the evidence of images.

    Attributes
    ----------
    roots
        Folders of the archive.
    sandbox
        Limits of the decoding processes.
    """

    roots: tuple[str, ...] = ()
    sandbox: Sandbox | None = None

    @property
    def name(self) -> str:
        """Name of the job."""
        return "audit"

    def identity(self) -> dict[str, Any]:
        """Return the columns, the size of the images and the version of the decoder."""
        return {
            "schema": SCHEMA,
            "side": SIDE,
            "styles": [*FEATURES],
            "decoder": DECODER_VERSION,
        }

    def open(self) -> EvidenceWorker:
        """Return a worker in this process."""
        return EvidenceWorker(self)


class EvidenceWorker:
    """Collects the evidence of planned files, with one decoding process."""

    def __init__(self, job: EvidenceJob) -> None:
        self._decoder = RowDecoder(
            partial(read_row, roots=job.roots),
            PixelSpec(SIDE),
            threads=_THREADS,
            reader=read_image_and_text,
            sandbox=job.sandbox,
        )

    def close(self) -> None:
        """End the decoding process."""
        self._decoder.close()

    def run(self, rows: Sequence[Row], chunk_rows: int) -> ChunkResult:
        """Return a row for each planned file: its evidence, or the reason why it has none."""
        found = list(self._decoder.run(rows, _collect, chunk_rows))
        reasons = [cells["reason"] for _, _, cells in found]
        return ChunkResult(_table(found), Counter(filter(None, reasons)))


def _collect(outcomes: Sequence[Decoded | Failure], pixels: Pixels) -> Sequence[dict[str, Any]]:
    """Return the cells of images (n, side, side)."""
    summaries = summarise(pixels)
    return [
        {"reason": outcome.reason, "problem": outcome.problem}
        if isinstance(outcome, Failure)
        else {
            "reason": None,
            "metadata": canonical_json(outcome.metadata),
            **{
                name: getattr(summaries, name)[row].astype(kind).tobytes()
                for name, (kind, _) in _SHAPES.items()
            },
        }
        for row, outcome in enumerate(outcomes)
    ]


def _table(found: Sequence[tuple[Row, Content, dict[str, Any]]]) -> Any:
    """Return the columns of a part."""
    import pyarrow as arrow

    texts = ("reason", "problem", "metadata")
    sizes = {
        name: np.dtype(kind).itemsize * int(np.prod(shape))
        for name, (kind, shape) in _SHAPES.items()
    }
    kinds = {**dict.fromkeys(texts, arrow.string())}
    kinds |= {name: arrow.binary(size) for name, size in sizes.items()}
    columns = {
        name: arrow.array([cells.get(name) for _, _, cells in found], kind)
        for name, kind in kinds.items()
    }
    digests = [content.sha256 and bytes.fromhex(content.sha256) for _, content, _ in found]
    columns["uri"] = arrow.array([row.uri for row, _, _ in found], arrow.string())
    columns["sha256"] = arrow.array(digests, arrow.binary(32))
    return arrow.table(columns)


class Found(NamedTuple):
    """The content of a part: n rows, m with evidence."""

    readable: NDArray[np.bool_]  # (n,)
    failures: list[tuple[str, str]]  # reason and problem of the others
    digests: NDArray[np.uint8]  # (m, 32)
    metadata: list[dict[str, str | float]]  # m
    summaries: ImageSummaries  # of m images


def read_found(table: Any) -> Found:
    """Return the content of a part."""
    import pyarrow.compute as compute

    readable = compute.is_null(table["reason"])
    own, others = table.filter(readable), table.filter(compute.invert(readable))
    arrays = {name: _array(own[name], *kind) for name, kind in _SHAPES.items()}
    return Found(
        readable.to_numpy(),
        list(zip(*(others[name].to_pylist() for name in ("reason", "problem")), strict=True)),
        _array(own["sha256"], "u1", (32,)),
        [parse_json(text.encode()) for text in own["metadata"].to_pylist()],
        ImageSummaries(**arrays, grey_range=grey_ranges(arrays["histograms"])),
    )


def _array(column: Any, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a column of bytes as an array, (m, *shape)."""
    cells = b"".join(column.to_pylist())
    return np.frombuffer(cells, kind).reshape(-1, *shape)
