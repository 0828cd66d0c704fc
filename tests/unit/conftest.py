"""Fixtures of unit tests: drawn radiographs, evidence from arrays, a service in memory."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from plainfilm.audit.evidence import SIDE, Evidence, evidence_from_cache, evidence_from_files
from plainfilm.data.file_hashes import FileHashes
from plainfilm.data.file_index import from_hex
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.data.metadata import Metadata
from plainfilm.data.record_table import Records
from plainfilm.decoding.decode import decode_one
from plainfilm.evaluation import EvaluationDocument, summarise
from plainfilm.evaluation.document.evaluation import (
    DatasetSummary,
    ModelSummary,
    TrainingSummary,
)
from plainfilm.evaluation.document.subgroups import Subgroups
from plainfilm.phantom import draw
from plainfilm.pixels import read_image
from plainfilm.records import OperatingPoint, Record, Task

MakeEvidence = Callable[..., Evidence]
BINARY = Task("binary", ("ILL",), ("WELL", "ILL"))


class ArrayCache:
    """Images in memory with the interface of a cache."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        ids: Sequence[str],
        hashes: Sequence[str],
        metadata: Sequence[Mapping[str, str | float]],
        left_out: Sequence[LeftOut],
    ) -> None:
        self.images, self.ids, self.hashes = images, tuple(ids), from_hex(hashes)
        self.metadata, self.left_out = Metadata.of(metadata), tuple(left_out)

    def __len__(self) -> int:
        return len(self.images)

    def find(self, records: Records) -> NDArray[np.intp]:
        return np.array([self.ids.index(one) for one in records.ids.tolist()], np.intp)

    def gather(self, indices: ArrayLike) -> NDArray[np.uint8]:
        return self.images[np.asarray(indices, dtype=np.intp)]


@pytest.fixture(scope="session")
def chests() -> NDArray[np.uint8]:
    """Draw 96 upright radiographs of different patients."""
    return np.stack([draw(np.random.default_rng([9, n]), size=SIDE) for n in range(96)])


@pytest.fixture(scope="session")
def make_evidence() -> MakeEvidence:
    """Return a function that makes evidence; without images, as a quick audit sees it."""

    def make(
        labels: Sequence[Any],
        *,
        images: NDArray[np.uint8] | None = None,
        splits: Sequence[str] | None = None,
        patients: Sequence[object] | None = None,
        ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, str | float]] | None = None,
        hashes: Sequence[str] | None = None,
        left_out: Sequence[LeftOut] = (),
        task: Task = BINARY,
    ) -> Evidence:
        count = len(labels)
        ids = [f"x{n}.png" for n in range(count)] if ids is None else ids
        hashes = [f"{n:064x}" for n in range(count)] if hashes is None else hashes
        metadata = [{} for _ in range(count)] if metadata is None else metadata
        rows = [row if isinstance(row, tuple) else (float(row),) for row in labels]
        records = tuple(
            Record(
                id=ids[n],
                path=f"/nowhere/{ids[n]}",
                labels=rows[n],
                patient=ids[n] if patients is None else str(patients[n]),
                split=splits[n] or None if splits is not None else None,  # type: ignore[arg-type]
            )
            for n in range(count)
        )
        manifest = Manifest("drawn", task, records)
        if images is None:
            files = FileHashes(ids, from_hex(hashes), np.zeros((count, 2), np.int64), {})
            return evidence_from_files(manifest, files)
        cache = ArrayCache(images, ids, hashes, metadata, left_out)
        return evidence_from_cache(manifest, cache)  # type: ignore[arg-type]

    return make


class InlinePool:
    """Decodes in this process, with the interface of the pool of processes."""

    ready, waiting, pids = 1, 0, ()

    def __init__(self, limits: Any) -> None:
        self._limits = limits
        self.gate: Any = None

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def decode(self, data: bytes, spec: Any, *, display: Any, key: Any) -> Any:
        if self.gate is not None:
            await self.gate.wait()
        out, limits = np.empty((spec.size, spec.size), np.uint8), self._limits.sandbox.limits
        reader = partial(read_image, limits=limits)
        return decode_one(reader, spec, data, out, display=display, limits=limits)


@pytest.fixture
def inline_service() -> Callable[..., Any]:
    """Return a function that makes a service which decodes in this process."""
    pytest.importorskip("starlette")
    from plainfilm.inference.engine import Engine
    from plainfilm.inference.log import Log

    def make(named: Any, settings: Any, stream: Any = None) -> Any:
        pool: Any = InlinePool(settings.limits)
        return Engine(
            named,
            settings.limits,
            threads=settings.threads,
            audit_log=settings.audit_log,
            log=Log(stream or io.StringIO()),
            pool=pool,
        )

    return make


@pytest.fixture
def serve_with(make_bundle: Any, inline_service: Any) -> Callable[..., Any]:
    """Return a function that runs a coroutine against a service, in memory and without sockets.

    The coroutine function is given an HTTP client and the service; ``settings`` are those of
    `plainfilm.serve.Settings`, ``limits`` those of `ServiceLimits`.
    """
    httpx = pytest.importorskip("httpx")
    from plainfilm.inference.registry import BundleSource
    from plainfilm.serve import ServiceLimits, Settings
    from plainfilm.serve.app import build_app

    def run(
        talk: Callable[..., Any],
        *,
        named: Any = None,
        limits: Mapping[str, int] = MappingProxyType({}),
        base: str = "http://127.0.0.1:8000",
        **settings: Any,
    ) -> Any:
        bounds = ServiceLimits(**limits)
        bundles = named or [BundleSource("bright", make_bundle().folder)]

        async def go() -> Any:
            log = io.StringIO()
            service_settings = Settings(limits=bounds, threads=1, **settings)
            service = inline_service(bundles, service_settings, log)
            await service.start()
            transport = httpx.ASGITransport(app=build_app(service, service_settings))
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                found = await talk(client, service)
            await service.close()
            return found, log.getvalue()

        return asyncio.run(go())

    return run


@pytest.fixture(scope="session")
def make_document() -> Callable[..., EvaluationDocument]:
    """Return a function that makes the document of an evaluation of random predictions."""

    def make(
        task: Task = BINARY,
        *,
        bundle: str = "b" * 64,
        threshold: float = 0.5,
        n: int = 40,
        **changed: Any,
    ) -> EvaluationDocument:
        rng = np.random.default_rng(0)
        shape = (n, len(task.labels))
        y_true = (rng.random(shape) < 0.5).astype(float)
        if task.kind == "multiclass":
            y_true = np.eye(shape[1])[rng.integers(0, shape[1], n)]
        points = [
            OperatingPoint("balanced", "balanced", name, threshold, "") for name in task.labels
        ]
        patients = [f"p{k // 2}" for k in range(n)]
        found = summarise(y_true, rng.random(shape), task, patients, points, n_bootstrap=20)
        document = EvaluationDocument(
            created="2026-01-01T00:00:00+00:00",
            version="0.1.0",
            model=ModelSummary(
                "drawn",
                "bundle",
                bundle,
                "swift",
                None,
                None,
                0,
                1.0,
                None,
                None,
                TrainingSummary(None, None, None),
            ),
            task=task,
            dataset=DatasetSummary("drawn", "test", "h", "h"),
            n=found.n,
            patients=found.patients,
            metrics=found.metrics,
            labels=found.labels,
            macro=found.macro,
            micro=found.micro,
            confusion_matrix=found.confusion_matrix,
            subgroups=Subgroups(10, "", 0, {}),
            left_out=(),
        )
        return replace(document, **changed)

    return make
