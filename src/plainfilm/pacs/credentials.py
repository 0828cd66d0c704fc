"""Reads the credentials of a DICOMweb server from a file.

They are in no argument, log, ledger or error message.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from plainfilm._files import reason_of
from plainfilm._text import plural
from plainfilm.errors import UsageError
from plainfilm.inference.addresses import is_loopback

_MOST = 16 << 10


def authorization(path: Path) -> str:
    """Return the value of the ``Authorization`` field for a file.

    Parameters
    ----------
    path
        File with one line: ``USER:PASSWORD``, or a bearer token, which has no colon.
    """
    try:
        with path.open("rb") as file:
            line = file.read(_MOST + 1).strip()
    except OSError as error:
        raise UsageError(
            f"the file of credentials {path} cannot be read",
            received=reason_of(error),
            remedy="write USER:PASSWORD or a bearer token into it, for this user to read",
        ) from error
    if not line or len(line) > _MOST or not line.isascii() or not line.decode().isprintable():
        raise UsageError(
            "the file of credentials does not have one line of printable ASCII characters",
            received=str(path),
            remedy="write USER:PASSWORD or a bearer token into it",
        )
    if b":" in line:
        return f"Basic {base64.b64encode(line).decode()}"
    if b" " in line:
        raise UsageError(
            "a bearer token has no spaces", received=str(path), remedy="write the token only"
        )
    return f"Bearer {line.decode()}"


def check_credentials(path: Path, urls: Sequence[str]) -> None:
    """Raise a UsageError unless the file can be read and its content is for one server only.

    Parameters
    ----------
    path
        File of ``authorization``.
    urls
        DICOMweb services that would get the credentials.
    """
    authorization(path)
    parts = [urlsplit(url) for url in urls]
    servers = {(one.hostname, one.port) for one in parts}
    if len(servers) != 1:
        raise UsageError(
            "credentials are for one DICOMweb server",
            received=plural(len(servers), "DICOMweb server"),
            remedy="run one service for each server with credentials"
            if servers
            else "omit --credentials",
        )
    if any(one.scheme != "https" and not is_loopback(one.hostname or "") for one in parts):
        raise UsageError(
            "credentials would be sent without encryption",
            received="a URL with http://",
            remedy="write https://",
        )
