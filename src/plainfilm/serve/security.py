"""Checks host, origin and token of requests, and restricts what a browser may do with answers."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from plainfilm.errors import UsageError
from plainfilm.inference.addresses import is_loopback
from plainfilm.serve.limits import Settings
from plainfilm.serve.problems import Problem

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; frame-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"
)
"""For the report and the model card: one file with inline styles and no scripts."""

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
"""Headers of every answer. Nothing is cached, so that a shared computer does not show the
prediction of the previous patient."""

_PUBLIC = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})
_MIN_TOKEN = 16
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_HOST_HEADER = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def check_settings(settings: Settings) -> None:
    """Raise a UsageError if other machines could reach the service without a token, or the token
    can be guessed.
    """
    token = settings.token
    if token is None and not is_loopback(settings.host):
        raise UsageError(
            "other machines can reach this address, so the service needs a token",
            received=f"the address {settings.host} and no token",
            remedy="use --token-file, set PLAINFILM_TOKEN, or use the host 127.0.0.1",
        )
    for name in settings.allowed_hosts:
        if not _HOST.fullmatch(name):
            raise UsageError(
                "--allow-host takes a bare host name",
                received=repr(name),
                remedy="leave out scheme, port and path: xray.hospital.example",
            )
    if token is None:
        return
    if not (len(token) >= _MIN_TOKEN and token.isascii() and token.isprintable()):
        raise UsageError(
            f"a token needs at least {_MIN_TOKEN} printable ASCII characters",
            received=f"{len(token)} characters",
            remedy="create one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    if " " in token:
        raise UsageError("a token must not contain spaces", remedy="create another one")


class Guard:
    """Checks host, origin and token of every request."""

    def __init__(self, settings: Settings) -> None:
        self._token = None if settings.token is None else settings.token.encode()
        self._names: frozenset[str] | None = None
        if is_loopback(settings.host) or settings.allowed_hosts:
            own = ("localhost", "127.0.0.1", "[::1]", settings.host)
            self._names = frozenset(name.lower() for name in (*own, *settings.allowed_hosts))

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Check one request, or raise 400, 401 or 403."""
        host = headers.get("host", "").lower()
        match = _HOST_HEADER.fullmatch(host)
        if host and match is None:
            raise Problem("bad-request", "Host must be a name or an address, and a port")
        # The host name of a malicious site may resolve to this machine (DNS rebinding).
        if self._names is not None and (match is None or match[1] not in self._names):
            raise Problem("forbidden-host", "if this name is yours, add it with --allow-host")
        if method not in _SAFE_METHODS and not _same_site(headers, host):
            raise Problem("forbidden-origin")
        if self._token is not None and path not in _PUBLIC and not path.startswith("/static/"):
            scheme, _, given = headers.get("authorization", "").partition(" ")
            fits = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
            if scheme.lower() != "bearer" or not fits:
                raise Problem("unauthorized", "send the header Authorization: Bearer TOKEN")


def _same_site(headers: Mapping[str, str], host: str) -> bool:
    """Return whether a request comes from the page of this service, or not from a browser."""
    if headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == host
    except ValueError:  # not a URL
        return False
