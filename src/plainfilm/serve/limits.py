"""How much a client may take of the service, and how the service is set up."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from plainfilm.decoding.sandbox import memory_cap
from plainfilm.errors import UsageError
from plainfilm.pixels import Limits

__all__ = ["ServiceLimits", "Settings", "parse_limits"]

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """What is refused above; each is checked before the memory or time is taken.

    Attributes
    ----------
    body
        Bytes of one request.
    file
        Bytes of one image, and of what a compressed header or data set inflates to.
    pixels
        Width times height of one image. The largest radiographs have about 30 million.
    frames
        Frames of a DICOM file or pages of a TIFF.
    images
        Images in one request.
    pictures
        Images in one request to ``/v1/predictions`` that asks for pictures (``include``); of one
        to the stream so many are in work at a time.
    held
        Bytes of all uploads, and of pictures to be sent, that are held at a time; more are refused
        with 429.
    waiting
        Requests that are worked on or wait at a time; more are refused with 429.
    ahead
        Images of one request that are in work at a time: none takes the place of all others.
    connections
        Open connections; more are refused with 503.
    head
        Bytes of a request's line and headers.
    head_seconds
        Time for these to arrive, from the connection's opening or the last answer's first byte on.
    idle_seconds
        How long a connection may stay open between two requests.
    stall_seconds
        How long a client may send nothing of a body, or take nothing of an answer.
    seconds
        Time for a whole request, from its headers to the answer; then it gets 504.
    decode_seconds
        Time for one image in a decoding process, which is then killed.
    """

    body: int = 256 * _MIB
    file: int = 64 * _MIB
    pixels: int = 50_000_000
    frames: int = 1_000
    images: int = 1_000
    pictures: int = 8
    held: int = 512 * _MIB
    waiting: int = 256
    ahead: int = 64
    connections: int = 512
    head: int = 32 * 1024
    head_seconds: int = 10
    idle_seconds: int = 30
    stall_seconds: int = 10
    seconds: int = 60
    decode_seconds: int = 20

    @property
    def of_file(self) -> Limits:
        """Return the limits of one file, as :mod:`plainfilm.pixels` takes them."""
        return Limits(bytes=self.file, pixels=self.pixels, frames=self.frames)

    @property
    def worker_memory(self) -> int:
        """Return the bytes that a decoding process may take for its files."""
        return memory_cap(self.of_file)


def parse_limits(settings: list[str], base: ServiceLimits | None = None) -> ServiceLimits:
    """Return limits in which ``NAME=NUMBER`` settings are replaced.

    Raises
    ------
    UsageError
        For an unknown name, or what is not a whole number above 0.

    Examples
    --------
    >>> parse_limits(["images=10"]).images
    10
    """
    limits = base or ServiceLimits()
    known = [one.name for one in fields(ServiceLimits)]
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise UsageError(
                "there is no such limit",
                received=setting,
                remedy=f"give NAME=NUMBER with one of: {', '.join(known)}",
            )
        if not (value.isascii() and value.isdigit() and 0 < int(value) < 1 << 40):
            raise UsageError(
                f"the limit {name} must be a whole number above 0", received=value or "nothing"
            )
        limits = replace(limits, **{name: int(value)})
    return limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the service is set up.

    Attributes
    ----------
    host, port
        Where it listens; port 0 takes a free one.
    token
        What clients must show; None only on the loopback.
    allowed_hosts
        Names by which clients may call it, beside the loopback's own; needed behind a proxy.
    workers
        Decoding processes.
    threads
        Runs of the network at a time, each on one core.
    audit_log
        File to which a line is appended for every answer; None writes none.
    limits
        What is refused.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    workers: int = 0
    threads: int = 0
    audit_log: Path | None = None
    limits: ServiceLimits = field(default_factory=ServiceLimits)
