"""Work beside other work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from thorax._progress import Progress

__all__ = ["Beside"]


T = TypeVar("T")


class Beside(Generic[T]):
    """Work done in a thread of its own, begun at once.

    For what another library does without Python's interpreter lock, or what is waited for while
    this thread waits for something else: only the longer of the two is waited for then.

    Parameters
    ----------
    work
        What to do.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        pool = ThreadPoolExecutor(1)
        self._done = pool.submit(work)
        pool.shutdown(wait=False)

    def watched(self, progress: Progress) -> Progress:
        """Return a progress that also raises what the work raised, so that the rest stops too."""

        def watch(stage: str, done: int, total: int, note: str = "") -> None:
            if self._done.done():
                self._done.result()
            progress(stage, done, total, note)

        return watch

    def wait(self) -> T:
        """Wait until the work is done and return what it returned; raise what it raised."""
        return self._done.result()
