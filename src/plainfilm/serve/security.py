"""Who may ask, and what a browser may do with the answer.

One layer around all routes, in plain ASGI. It refuses before a body is read.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from plainfilm.errors import UsageError
from plainfilm.serve.limits import Settings
from plainfilm.serve.problems import Problem

__all__ = ["HEADERS", "PAGE_POLICY", "REPORT_POLICY", "Guard", "check_settings", "is_loopback"]

Scope = MutableMapping[str, Any]

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; frame-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"
)
"""The report and the card are one file with inline style, and run nothing."""

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"permissions-policy",
        b"camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
    ),
    (b"cache-control", b"no-store"),
)
"""Of every answer. Nothing is cached: a shared computer must not show the last patient's answer."""

_OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})
SHORTEST_TOKEN = 16
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a service that listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_settings(settings: Settings) -> None:
    """Refuse what is not safe together.

    Raises
    ------
    UsageError
        For an address that others reach without a token, and for a token that can be guessed.
    """
    if settings.token is None and not is_loopback(settings.host):
        raise UsageError(
            "other machines would reach the service, so it needs a token",
            received=f"the address {settings.host} and no token",
            remedy="name a file that holds one (--token-file), set PLAINFILM_TOKEN, or leave the "
            "host at 127.0.0.1",
        )
    for name in settings.allowed_hosts:
        if not _HOST.fullmatch(name):
            raise UsageError(
                "--allow-host takes the bare name by which clients call the service",
                received=repr(name),
                remedy="leave out scheme, port and path: xray.hospital.example",
            )
    token = settings.token
    if token is not None and not (
        len(token) >= SHORTEST_TOKEN and token.isascii() and token.isprintable()
    ):
        raise UsageError(
            f"a token needs at least {SHORTEST_TOKEN} printable ASCII characters",
            received=f"{len(token)} characters",
            remedy="make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    if token is not None and " " in token:
        raise UsageError("a token has no spaces", remedy="make another one")


class Guard:
    """Check host, origin and token of every request.

    Parameters
    ----------
    settings
        Where the service listens, its token and its names.
    """

    def __init__(self, settings: Settings) -> None:
        self._token = None if settings.token is None else settings.token.encode()
        self._names: frozenset[str] | None = None
        if is_loopback(settings.host) or settings.allowed_hosts:
            own = ("localhost", "127.0.0.1", "[::1]", settings.host)
            self._names = frozenset(name.lower() for name in (*own, *settings.allowed_hosts))

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Refuse what may not be asked.

        Raises
        ------
        Problem
            401 or 403.
        """
        host = headers.get("host", "").lower()
        # A foreign page may have a name of its own point to this machine (DNS rebinding).
        if self._names is not None and _without_port(host) not in self._names:
            raise Problem("forbidden-host", "name it with --allow-host if it is yours")
        if method not in _SAFE and not _same_site(headers, host):
            raise Problem("forbidden-origin")
        if self._token is not None and not _is_open(path):
            scheme, _, given = headers.get("authorization", "").partition(" ")
            fits = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
            if scheme.lower() != "bearer" or not fits:
                raise Problem("unauthorized", "send it as: Authorization: Bearer TOKEN")


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith("/static/")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _same_site(headers: Mapping[str, str], host: str) -> bool:
    """Return whether a request comes from our own page, or from no browser at all."""
    if headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == host
    except ValueError:  # it is no address at all
        return False


Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
