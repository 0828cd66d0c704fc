"""The scoring job: a row with a prediction for each planned file."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from plainfilm.bundle import Bundle, read_bundle
from plainfilm.bundle.sealed import SUMS, parse_sums
from plainfilm.cluster.archive import read_row
from plainfilm.cluster.decode_rows import Content, Pixels, RowDecoder
from plainfilm.cluster.job import ChunkResult
from plainfilm.cluster.local_store import LocalStore
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import Row, read_plan
from plainfilm.cluster.stores import Store
from plainfilm.decoding.decode import Decoded, Failure, Reader
from plainfilm.decoding.sandbox import Sandbox
from plainfilm.errors import BundleError
from plainfilm.file_predictions import predict_outcomes
from plainfilm.pixels import DECODER_VERSION, read_image
from plainfilm.prediction import Prediction
from plainfilm.runtime import Predictor

__all__ = ["ScoringJob", "store_bundle"]

SCHEMA = 1
"""Version of the columns of the parts."""

_BUNDLE = "bundle"
_THREADS = 8  # that read files


@dataclass(frozen=True, slots=True)
class ScoringJob:
    """Predicts with the bundle that is stored in the output.

    Attributes
    ----------
    out
        Path or URI of the output.
    bundle
        Id of the bundle.
    labels
        Its labels, which are those of the columns.
    reader, sandbox
        How a file is decoded, and the limits of the process that does it.
    """

    out: str
    bundle: str
    labels: tuple[str, ...]
    reader: Reader = read_image
    sandbox: Sandbox | None = None

    @property
    def name(self) -> str:
        """Name of the job."""
        return "score"

    def identity(self) -> dict[str, Any]:
        """Return the bundle, the columns and the version of the decoder."""
        return {
            "schema": SCHEMA,
            "bundle": self.bundle,
            "labels": [*self.labels],
            "decoder": DECODER_VERSION,
        }

    def open(self) -> ScoringWorker:
        """Return a worker in this process."""
        return ScoringWorker(self)


class ScoringWorker:
    """Predicts on planned files, with one decoding process and one computing thread.

    ``read`` returns the content of a planned file.
    """

    def __init__(self, job: ScoringJob, read: Callable[[Row], bytes] | None = None) -> None:
        store = open_store(job.out)
        plan, bundle = read_plan(store), load_bundle(store)
        if bundle.id != job.bundle:
            raise BundleError(
                "the bundle of the output was replaced",
                received=f"{bundle.id[:16]}…, scored with {job.bundle[:16]}…",
                remedy="choose another output folder",
            )
        self._predictor = Predictor(bundle, threads=1)
        self._labels = self._predictor.labels
        self._machine = socket.gethostname()
        self._lock = threading.Lock()  # one run of the network at a time
        self._decoder = RowDecoder(
            read or partial(read_row, roots=plan.index.roots if plan else ()),
            self._predictor.bundle.pixels,
            threads=_THREADS,
            reader=job.reader,
            sandbox=job.sandbox,
        )

    def close(self) -> None:
        """End the decoding process."""
        self._decoder.close()

    def run(self, rows: Sequence[Row], chunk_rows: int) -> ChunkResult:
        """Return a row for each planned file: its prediction, or the reason why it has none."""
        found = list(self._decoder.run(rows, self._predict, chunk_rows))
        counts: Counter[str] = Counter()
        for _, _, one in found:
            if one.reason is not None:
                counts["rejected" if one.rejected else one.reason] += 1
        return ChunkResult(self._table(found), counts)

    def _predict(
        self, outcomes: Sequence[Decoded | Failure], pixels: Pixels
    ) -> Sequence[Prediction]:
        with self._lock:
            return predict_outcomes(self._predictor, outcomes, pixels)

    def _table(self, found: Sequence[tuple[Row, Content, Prediction]]) -> Any:
        """Return the columns of a part; probabilities and novelty are not rounded."""
        import pyarrow as arrow

        cells = [one.to_row(self._labels) for _, _, one in found]
        columns: dict[str, Any] = {
            "uri": arrow.array([row.uri for row, _, _ in found], arrow.string()),
            "bytes": arrow.array([content.bytes for _, content, _ in found], arrow.int64()),
            "sha256": arrow.array([content.sha256 for _, content, _ in found], arrow.string()),
        }
        for label in self._labels:
            values = [None if one.rejected else one.probabilities.get(label) for _, _, one in found]
            columns[f"probability_{label}"] = arrow.array(values, arrow.float32())
        novelty = arrow.array([one.novelty for _, _, one in found], arrow.float32())
        for name in Prediction("", {}).to_row(()):
            own = [row[name] for row in cells]
            kind = arrow.bool_() if name == "rejected" else arrow.string()
            columns[name] = novelty if name == "novelty" else arrow.array(own, kind)
        columns["machine"] = arrow.array([self._machine] * len(found), arrow.string())
        return arrow.table(columns)


def store_bundle(store: Store, bundle: Bundle) -> None:
    """Copy a bundle to an output, unless it has one."""
    sums = (bundle.folder / SUMS).read_bytes()
    for name in parse_sums(bundle.folder, sums):
        store.put_new(f"{_BUNDLE}/{name}", (bundle.folder / name).read_bytes())
    store.put_new(f"{_BUNDLE}/{SUMS}", sums)


def load_bundle(store: Store) -> Bundle:
    """Return the bundle of an output with its graph in memory, verified."""
    try:
        if isinstance(store, LocalStore):
            return read_bundle(store.path / _BUNDLE)
        with tempfile.TemporaryDirectory() as folder:
            sums = store.read(f"{_BUNDLE}/{SUMS}")
            for name in (SUMS, *parse_sums(Path(folder), sums)):
                (Path(folder) / name).write_bytes(store.read(f"{_BUNDLE}/{name}"))
            return read_bundle(folder)
    except BundleError as error:
        place = f"{store.uri}/{_BUNDLE}"
        raise BundleError(
            f"the bundle of the output is damaged: {place}",
            received=error.received,
            remedy=f"remove {place}, and run the same command again",
        ) from error
