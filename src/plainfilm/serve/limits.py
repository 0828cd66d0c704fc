"""Limits of HTTP requests, and the settings of the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from plainfilm.inference.limits import MIB, InferenceLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits(InferenceLimits):
    """Limits of the service, checked before memory or time is used.

    Attributes
    ----------
    file, body, held
        Bytes of one image, of one request, and of all uploads and pictures in memory.
    pixels, frames
        Width times height, and frames or pages, of one image.
    images
        Images in one request.
    pictures
        Images in one request to ``/v1/predictions`` that requests pictures (``include``). A
        request to the stream may have more; it processes this many at a time.
    waiting, ahead
        Requests in progress or queued, and images of one request in progress at a time.
    connections
        Open connections; further ones get status 503.
    head
        Bytes of a request's first line and headers.
    decode_seconds, head_seconds, idle_seconds, stall_seconds, seconds
        Time for decoding an image, for the headers to arrive, between two requests of a
        connection, without progress of a body or an answer, and for a whole request.
    """

    body: int = 256 * MIB
    images: int = 1_000
    pictures: int = 8
    ahead: int = 64
    connections: int = 512
    head: int = 32 * 1024
    head_seconds: int = 10
    idle_seconds: int = 30
    stall_seconds: int = 10
    seconds: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the service.

    Attributes
    ----------
    host, port
        Address to listen on; port 0 selects a free port.
    token
        Token that clients must send; None is allowed on the loopback interface only.
    allowed_hosts
        Further host names that clients may use; needed behind a proxy.
    workers
        Number of decoding processes; 0 uses one for each core.
    threads
        Number of concurrent runs of the network, each on one core; 0 uses one for each core.
    audit_log
        File to which a line is appended for every processed image, or None.
    limits
        Limits of requests.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    workers: int = 0
    threads: int = 0
    audit_log: Path | None = None
    limits: ServiceLimits = field(default_factory=ServiceLimits)
