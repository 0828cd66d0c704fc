"""Limits of files, memory and queues, checked before the resource is used."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

from plainfilm._machine import cores, memory_bytes
from plainfilm.decoding.sandbox import Sandbox, memory_cap
from plainfilm.errors import UsageError
from plainfilm.inference.codes import InferenceError
from plainfilm.pixels import Limits

MIB = 1 << 20
L = TypeVar("L", bound="InferenceLimits")


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceLimits:
    """Limits of every server.

    Attributes
    ----------
    file
        Bytes of one image, and of its decompressed header or data set.
    pixels
        Width times height of one image. The largest radiographs have about 30 million.
    frames
        Frames of a DICOM file or pages of a TIFF.
    held
        Bytes of all uploads that have arrived, and of pictures waiting to be sent; further requests
        are refused. Uploads above a 64th of this leave a quarter to smaller ones.
    waiting
        Requests in progress or queued; further ones are refused (``busy``). One client's address
        may have three quarters of them.
    decode_seconds
        Time for one image in a decoding process, which is then killed.
    """

    file: int = 64 * MIB
    pixels: int = 50_000_000
    frames: int = 1_000
    held: int = 128 * MIB
    waiting: int = 256
    decode_seconds: int = 20

    @property
    def sandbox(self) -> Sandbox:
        """Limits of a decoding process."""
        limits = Limits(bytes=self.file, pixels=self.pixels, frames=self.frames)
        memory = memory_cap(limits)
        return Sandbox(limits=limits, memory=memory, seconds=self.decode_seconds, sealed=True)

    @property
    def decoders(self) -> int:
        """Decoding processes: one for each core, as far as the memory suffices, at least two.

        A service has a spare one too, so that there are three while files are slow: one for these,
        one for files that wait, and one for files that have just come.
        """
        total, each = memory_bytes(), self.sandbox.memory
        most = cores()
        if total is not None and each is not None:
            most = min(most, total // each - 1)
        return max(2, most)


def parse_limits(settings: list[str], base: L) -> L:
    """Return limits changed by ``NAME=NUMBER`` settings.

    A UsageError is raised if a name is unknown or a value is not a whole number above 0.

    >>> parse_limits(["frames=10"], InferenceLimits()).frames
    10
    """
    known = [one.name for one in fields(base)]
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise UsageError(
                "unknown limit",
                received=setting,
                remedy=f"use NAME=NUMBER with one of: {', '.join(known)}",
            )
        if not (value.isascii() and value.isdigit() and 0 < int(value) < 1 << 40):
            raise UsageError(
                f"the limit {name} must be a whole number above 0", received=value or "nothing"
            )
        base = replace(base, **{name: int(value)})
    return base


class MemoryBudget:
    """Bytes of uploads and of pictures in answers that all requests together may hold.

    Large uploads leave a quarter to small ones, so that a few of them do not exhaust it.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.held = 0

    def take(self, count: int) -> None:
        """Reserve bytes, or raise ``busy``."""
        if self.held + count > self.total:
            raise InferenceError("busy")
        self.held += count

    def has_room(self, size: int, own: int) -> bool:
        """Return whether an upload of ``size`` bytes fits that holds ``own`` of them already."""
        share = self.total if size <= self.total // 64 else self.total // 4 * 3
        return self.held + size - own <= share

    def give_back(self, count: int) -> None:
        """Release bytes."""
        self.held -= count
