"""Checks and parses the head of a request: its first line and its headers.

h11 parses. Before and after, this module refuses what a proxy may understand differently.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import h11

from plainfilm.serve.problems import Problem

END = b"\r\n\r\n"
_LINES = 128
_SINGLE = re.compile(
    rb"^(host|authorization|content-length|content-type|expect|origin|sec-fetch-site"
    rb"|transfer-encoding|upgrade):(.*)$",
    re.MULTILINE | re.IGNORECASE,
)
"""Headers that a request has once at most, and their values."""
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Address = tuple[Any, ...]  # host and port, as the socket gives them


def parse_head(parser: h11.Connection, head: bytes) -> h11.Request:
    """Parse everything up to the empty line.

    Raises
    ------
    Problem
        ``bad-request``, or ``headers-too-large`` if there are more than 128 lines.
    """
    lines = head.count(b"\n")
    if lines > _LINES:
        raise Problem("headers-too-large", f"at most {_LINES - 2} headers")
    if lines != head.count(b"\r\n") or b"\n " in head or b"\n\t" in head:
        raise Problem("bad-request", "lines end with CR LF, and headers have one line")
    found = _SINGLE.findall(head)
    single = {name.lower(): value.strip() for name, value in found}
    if len(single) < len(found):
        raise Problem("bad-request", "a header that must be single is repeated")
    length = single.get(b"content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        raise Problem("bad-request", "Content-Length must be a number")
    parser.receive_data(head)
    try:
        request = parser.next_event()
    except h11.RemoteProtocolError as error:
        raise Problem("bad-request") from error
    if not isinstance(request, h11.Request) or request.http_version not in (b"1.0", b"1.1"):
        raise Problem("bad-request", "only HTTP/1.1 and HTTP/1.0 are supported")
    if b"transfer-encoding" in single and (length is not None or request.http_version == b"1.0"):
        raise Problem("bad-request", "the length of the body is ambiguous")
    return request


def build_scope(request: h11.Request, client: Address, server: Address) -> dict[str, Any]:
    """Return the ASGI scope of a request, or raise ``bad-request`` if its target is invalid."""
    headers = list(request.headers)
    raw_path, _, query = _origin_form(request, headers).partition(b"?")
    path = unquote(raw_path.decode("ascii"))
    if b"#" in request.target or _CONTROL.search(path):
        raise Problem("bad-request", "the path contains characters that are not allowed")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version.decode("ascii"),
        "method": request.method.decode("ascii"),
        "scheme": "http",
        "path": path,
        "raw_path": raw_path,
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "client": client[:2],
        "server": server[:2],
    }


def _origin_form(request: h11.Request, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the target from its path on."""
    target = request.target
    if target.startswith(b"/") or (target == b"*" and request.method == b"OPTIONS"):
        return target
    scheme, _, rest = target.partition(b"://")
    host, slash, path = rest.partition(b"/")
    if scheme.lower() not in (b"http", b"https") or host.lower() != _host(headers):
        raise Problem("bad-request", "the target of the request does not match Host")
    return slash + path or b"/"


def _host(headers: list[tuple[bytes, bytes]]) -> bytes:
    return next((value.lower() for name, value in headers if name == b"host"), b"")
