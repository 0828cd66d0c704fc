"""One file that waits for a decoding process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plainfilm.decoding.decode import Decoded, Failure
from plainfilm.decoding.fair_queue import NO_KEY, Key
from plainfilm.pixels.display import Display
from plainfilm.records import PixelSpec


@dataclass(slots=True, eq=False)
class Job:
    """One file to decode."""

    source: str | bytes  # a path, or the bytes of a file
    spec: PixelSpec
    out: NDArray[np.uint8]  # (size, size), receives the pixels
    done: Callable[[Decoded | Failure], None]  # called once with the outcome, in any thread
    display: Display | None = None  # format of the whole image if it is needed too
    key: Key = NO_KEY  # of the client and the request
    deaths: int = 0  # of processes that may have been decoding this file
    is_alone: bool = False  # whether it must be the only file of a request to a process
    is_slow: bool = False  # whether it waits with the slow files
    queued: float = 0.0  # when it began to wait
    was_newest: bool = False  # whether it was taken because its request was the newest
    gave_way: bool = False  # whether it took long itself while others waited
    cancelled: bool = False  # set by the owner when the outcome is no longer needed
    size: int = field(init=False)  # bytes that this job adds to a request, rounded up

    def __post_init__(self) -> None:
        source = self.source
        if isinstance(source, str):
            source = source.encode("utf-8", "surrogatepass")
        self.size = len(source) + 16

    def can_follow(self, first: Job) -> bool:
        """Return whether this job may be in the same request as another one."""
        alone = self.is_alone or first.is_alone
        return not alone and (self.spec, self.display) == (first.spec, first.display)
