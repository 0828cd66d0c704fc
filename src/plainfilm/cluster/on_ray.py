"""The engine of Ray tasks: works on chunks on this machine or on the machines of a cluster."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from plainfilm._machine import cores
from plainfilm.cluster.job import Event, Job, Outcome
from plainfilm.cluster.open_job import OpenJob
from plainfilm.cluster.plan import Chunk
from plainfilm.cluster.ray_tasks import RayTasks

__all__ = ["RayEngine", "open_chunks"]


class RayEngine:
    """Workers in Ray processes, by default one for each core; on this machine at most ``most``.

    The job and the address of its output are sent to the nodes. Each node opens the output itself.
    """

    def __init__(
        self,
        job: Job,
        out: str,
        workers: int | None,
        address: str | None,
        most: int,
        *,
        retry: bool = False,
    ) -> None:
        if address is None:
            workers = min(workers or cores(), most)
        opener = functools.partial(open_chunks, job, out, retry)
        self._tasks = RayTasks(opener, address=address, workers=workers)
        self._chunks: dict[int, Chunk] = {}  # of the attempts in progress

    @property
    def capacity(self) -> int:
        """Number of chunks at the same time; it changes with the nodes of the cluster."""
        return self._tasks.capacity

    def submit(self, chunk: Chunk, attempt: int) -> None:
        """Give a chunk to a node."""
        self._chunks[attempt] = chunk
        self._tasks.submit(attempt, chunk)

    def wait(self, timeout: float) -> Sequence[Event]:
        """Return the attempts that have ended."""
        return [
            Event(
                self._chunks.pop(one.number),
                one.number,
                one.value if one.problem is None else Outcome(problem=one.problem),
            )
            for one in self._tasks.wait(timeout)
        ]

    def close(self) -> None:
        """End the workers."""
        self._tasks.close()


def open_chunks(job: Job, out: str, retry: bool = False) -> Callable[[Chunk], Outcome]:
    """Return the function that works on chunks in this process."""
    return OpenJob(job, out, retry=retry).run
