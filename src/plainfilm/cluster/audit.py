"""Audits a data set with several processes: `audit_on`.

The evidence of each image is collected once, in parts of a ledger. The images are not stored: those
that the search for duplicates compares at a larger size are decoded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import canonical_json
from plainfilm._machine import cores
from plainfilm._progress import Progress, silent
from plainfilm._text import plural
from plainfilm.audit.evidence import SIDE, Evidence, ImageSummaries, evidence_from_summaries
from plainfilm.audit.pipeline import Audit, audit_evidence
from plainfilm.cluster.evidence_job import EvidenceJob, read_found
from plainfilm.cluster.ledger import Ledger
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import PlannedSource, read_plan
from plainfilm.cluster.planning import write_plan
from plainfilm.cluster.run_job import check_engine, run_job
from plainfilm.cluster.sources import make_tables
from plainfilm.cluster.uris import uri_of
from plainfilm.cluster.walk import version_of
from plainfilm.data.cache import default_folder
from plainfilm.data.housekeeping import AUDIT
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.data.metadata import Metadata
from plainfilm.decoding.decode import Decoded
from plainfilm.decoding.pool import Pool
from plainfilm.errors import RunError, UsageError
from plainfilm.records import PixelSpec, Record

__all__ = ["audit_on"]

_HELD = 4096  # images that are kept after they were decoded again


def audit_on(
    manifest: Manifest,
    on: str = "local",
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Audit:
    """Audit a data set as `plainfilm.audit_dataset` does, on several processes or machines.

    The evidence is stored in the cache folder, about 1.3 KiB an image. An interrupted call is
    continued by the same call, also if it is made on several machines that share the cache folder.

    Parameters
    ----------
    manifest
        The data set.
    on
        What runs the workers; see `plainfilm.score`.
    cache
        Folder of the cache; None uses the user's cache folder.
    workers
        Number of workers.
    progress
        Callback for progress.

    Raises
    ------
    RunError
        If the evidence of some images cannot be collected.
    """
    check_engine(on, workers)
    source = _ManifestSource(manifest)
    folder = Path(cache) if cache is not None else default_folder()
    store = open_store(Path(os.path.abspath(folder)) / AUDIT / source.key)  # noqa: PTH100 (a Path keeps ..)
    try:
        plan = read_plan(store) or write_plan(store, [source], column=None, progress=progress)
        job = EvidenceJob(plan.index.roots)
        ledger = Ledger(store, plan, job.identity(), document=f"{job.name}.json")
    except (RunError, UsageError) as error:
        error.remedy = f"remove the folder {store.uri}, and run the same command again"
        raise
    driven = run_job(
        job,
        ledger,
        stage="collecting evidence",
        on=on,
        workers=workers,
        retry=not ledger.to_do(),  # errors of an earlier call may not occur again
        progress=progress,
    )
    if driven.failed:
        names = sorted(f"{chunk.name}: {why}" for chunk, why in driven.failed.items())
        raise RunError(
            f"the evidence of {plural(len(names), 'chunk')} of images could not be collected",
            received=names[0],
            remedy="run the same command again; it tries only these again",
        )
    os.utime(Path(store.uri) / ledger.document)  # for `plainfilm cache prune`
    with closing(_DecodedAgain(workers or cores())) as images:
        return audit_evidence(_read_evidence(manifest, ledger, images), progress=progress)


class _ManifestSource:
    """The files of a manifest in its order."""

    sha256: str | None = None
    may_repeat = False

    def __init__(self, manifest: Manifest) -> None:
        paths = [os.path.abspath(path) for path in manifest.records.paths]  # noqa: PTH100 (a Path keeps ..)
        self._tables = list(make_tables(_planned(paths)))
        self._root = _common(paths)
        digest = hashlib.sha256(canonical_json(EvidenceJob().identity()).encode())
        for table in self._tables:
            digest.update(canonical_json(table.to_pydict()).encode())
        self.key = digest.hexdigest()[:32]
        self.uri = f"manifest:{manifest.hash}"

    def tables(self, left_out: Counter[str]) -> Iterator[Any]:
        """Yield the files."""
        return iter(self._tables)

    def describe(self) -> PlannedSource:
        """Return the hash of the manifest, and the folder above all files."""
        return PlannedSource(self.uri, root=self._root)


def _common(paths: Sequence[str]) -> str | None:
    """Return the folder above all files, or None if there is none."""
    with contextlib.suppress(ValueError):  # no file, or several drives
        return os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120 (faster than a Path)
    return None


def _planned(paths: Sequence[str]) -> Iterator[tuple[str, int | None, str | None]]:
    """Yield the URI, bytes and version of each file."""
    for path in paths:
        try:
            yield (uri_of(path), *version_of(os.stat(path)))  # noqa: PTH116 (faster than a Path)
        except OSError:
            yield uri_of(path), None, None


def _read_evidence(manifest: Manifest, ledger: Ledger, images: _DecodedAgain) -> Evidence:
    """Read all parts."""
    count = len(ledger.plan)
    summaries, metadata = ImageSummaries.empty(count), Metadata(count)
    digests = np.empty((count, 32), np.uint8)
    readable = np.zeros(count, bool)
    left_out: list[LeftOut] = []
    start = end = 0  # of the rows, and of those with evidence
    for chunk in ledger.plan.chunks():
        found = read_found(ledger.read(chunk))
        readable[start : start + chunk.rows] = found.readable
        part = slice(end, end + len(found.digests))
        summaries.put(part, found.summaries)
        digests[part] = found.digests
        metadata.put(np.arange(part.start, part.stop), found.metadata)
        for row, why in zip(np.flatnonzero(~found.readable), found.failures, strict=True):
            record = manifest.records[start + int(row)]
            left_out.append(LeftOut(record.id, record.path, *why))
        start, end = start + chunk.rows, part.stop
    return evidence_from_summaries(
        manifest,
        readable,
        left_out,
        metadata=metadata.take(np.arange(end)) if end < count else metadata,
        hashes=digests[:end],
        summaries=summaries.first(end),
        images=images.of,
    )


class _DecodedAgain:
    """Images that are decoded when they are needed."""

    def __init__(self, workers: int) -> None:
        self._records: Sequence[Record] = ()
        self._pool, self._spec = Pool(workers), PixelSpec(SIDE)
        self._held: dict[int, NDArray[np.uint8]] = {}

    def of(self, records: Sequence[Record]) -> _DecodedAgain:
        """Return the images of records."""
        self._records = records
        return self

    def close(self) -> None:
        """End the decoding processes."""
        self._pool.close()

    def gather(self, indices: NDArray[np.intp], /) -> NDArray[np.uint8]:
        """Return images, (n, side, side); one that can no longer be decoded is black."""
        rows = [int(row) for row in np.unique(indices)]
        if len(self._held) > _HELD:
            self._held.clear()
        if missing := [row for row in rows if row not in self._held]:
            images = np.empty((len(missing), SIDE, SIDE), np.uint8)
            files = [self._records[row].path for row in missing]
            outcomes = self._pool.decode(files, self._spec, images)
            for row, outcome, image in zip(missing, outcomes, images, strict=True):
                self._held[row] = image if isinstance(outcome, Decoded) else np.zeros_like(image)
        return np.stack([self._held[row] for row in indices.tolist()])
