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
    body
        Bytes of one request.
    images
        Images in one request.
    pictures
        Images in one request to ``/v1/predictions`` that requests pictures (``include``). A
        request to the stream may have more; it processes this many at a time.
    ahead
        Images of one request in progress at a time, so that other requests proceed.
    connections
        Open connections. A further one takes the place of one that has had no request for a second,
        or gets status 503.
    head
        Bytes of a request's first line and headers, which have at most 128 lines.
    head_seconds
        Time for these to arrive, counted from the opening of the connection or the first byte
        after the previous answer.
    idle_seconds
        Time that a connection may stay open between two requests.
    stall_seconds
        Time without a byte of a body, and for each 256 KiB of an answer that a client receives.
    seconds
        Time for a whole request, from its headers to the answer; then it gets status 504.
    stop_seconds
        Time from SIGTERM to the end of the process, whatever is still in progress.
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
    stop_seconds: int = 75


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
        Number of decoding processes besides a spare one; 0 uses one for each core, as far as the
        memory suffices.
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
