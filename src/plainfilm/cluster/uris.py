"""Interprets the URIs of files and objects, and refuses those that contain credentials."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from plainfilm._text import printable
from plainfilm.errors import UsageError

SCHEMES = ("s3", "gs", "az")
"""Schemes of object stores."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_OBJECT = re.compile(r"(?:s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]*(?:/.*)?", re.DOTALL)
_SECRET = re.compile(
    r"://[^/]*@|[?&;][^=&]*(?:sig|signature|token|key|secret|credential|password)[^=&]*=",
    re.IGNORECASE,
)


def is_planned_object(uri: str) -> bool:
    """Return whether a URI in normal form, as those of plans, is that of an object store.

    Keys that were listed are not checked for credentials: any character may occur in them.
    """
    return uri.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def is_object(uri: str | Path) -> bool:
    """Return whether a URI that a user gave is that of an object store.

    Raises a UsageError if it is refused.
    """
    text = str(uri)
    if isinstance(uri, Path) or (found := _SCHEME.match(text)) is None:
        return False
    if _SECRET.search(text):
        raise UsageError(
            f"a URI of {found[1]}:// contains credentials",
            remedy="leave them out, and set them in environment variables such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if found[1] == "file":
        return False
    if not _OBJECT.fullmatch(text):
        raise UsageError(
            "this URI cannot be read",
            received=printable(text),
            remedy="use a path, file:///PATH, or "
            + ", ".join(f"{scheme}://BUCKET/KEY" for scheme in SCHEMES),
        )
    return True


def path_of(uri: str | Path) -> Path:
    """Return the path of a local URI, which is a path or begins with ``file://``.

    Examples
    --------
    >>> path_of("file:///archive/a%20b.png").as_posix(), path_of("/archive/a%20b.png").as_posix()
    ('/archive/a b.png', '/archive/a%20b.png')
    """
    text = str(uri)
    if isinstance(uri, Path) or not text.startswith("file://"):
        return Path(uri)
    host, slash, below = text[len("file://") :].partition("/")
    if host not in ("", "localhost") or not slash:
        raise UsageError(
            "a file: URI must contain an absolute path and no host",
            received=printable(text),
            remedy="write file:///PATH",
        )
    return Path(os.fsdecode(unquote_to_bytes(slash + below)))


def uri_of(path: str) -> str:
    """Return the URI of an absolute path: the path, or a ``file:`` URI if it is not UTF-8.

    Examples
    --------
    >>> uri_of("/archive/é.png"), uri_of("/archive/\\udce9.png")
    ('/archive/é.png', 'file:///archive/%E9.png')
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(path))
    return path


def normal_uri(uri: str, base: str) -> str:
    """Return a URI in the one form in which a plan stores it.

    A relative path becomes an absolute one below ``base``, and ``file:`` URIs become paths, so that
    one file is not planned twice because its URI is written in two ways.
    """
    if "://" not in uri and "://" in base and not uri.startswith("/"):
        uri = f"{base}/{uri}"
    if "://" in uri:
        if is_object(uri):
            return uri
        uri = str(path_of(uri))
    return uri_of(os.path.normpath(os.path.join(base, uri)))  # noqa: PTH118 (a Path keeps ..)
