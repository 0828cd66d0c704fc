"""Work beside other work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from plainfilm._progress import Progress

__all__ = ["Beside", "Meanwhile"]


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


class Meanwhile(Generic[T]):
    """Work that is begun in a thread when the first step of a training is done.

    Before that the interpreter is what everything waits for; later the steps leave it alone for
    most of the time, and a third of a core.

    Parameters
    ----------
    work
        What to do.
    progress
        What else the training tells.
    """

    def __init__(self, work: Callable[[], T], progress: Progress) -> None:
        self._work, self._progress = work, progress
        self._begun: Beside[T] | None = None

    def progress(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Pass on what the training tells, the first of which begins the work."""
        if self._begun is None:
            self._begun = Beside(self._work)
        self._progress(stage, done, total, note)

    def wait(self) -> T:
        """Return what the work returned; without any step, do it now."""
        return self._work() if self._begun is None else self._begun.wait()
