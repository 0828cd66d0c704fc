"""Replaces patient identifiers by keyed hashes, whose salt stays on this machine.

A plain hash is not enough: anyone with a list of identifiers can hash them all. So the hash is
keyed (HMAC, RFC 2104) with a salt that is not stored in any manifest, cache, run, bundle or report.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
from pathlib import Path

import platformdirs

from plainfilm.errors import StorageError

_VARIABLE = "PLAINFILM_SALT"
_BYTES = 32
_DIGITS = 16
_KEY = re.compile(rf"p[0-9a-f]{{{_DIGITS}}}")


def salt_file() -> Path:
    """Return the path of this user's salt."""
    return Path(platformdirs.user_data_dir("plainfilm")) / "salt"


def where_is_salt() -> str:
    """Describe the source of the salt, but not the salt."""
    if os.environ.get(_VARIABLE):
        return f"the variable {_VARIABLE}"
    path = salt_file()
    with contextlib.suppress(OSError):  # the folder may not be readable
        if path.exists():
            return str(path)
    return f"{path} (created when it is first needed)"


def is_key(patient: str) -> bool:
    """Return whether a patient of a record is a key, and not the id of a record.

    Examples
    --------
    >>> [is_key(patient) for patient in ("p0123456789abcdef", "train/NORMAL/1.png")]
    [True, False]
    """
    return _KEY.fullmatch(patient) is not None


def check_key() -> str:
    """Return the key of a fixed text: patient keys are comparable if their check keys are equal."""
    return Pseudonyms().key("are two salts equal?", "check")


class Pseudonyms:
    """Converts identifiers to keys; reads or creates the salt for the first one."""

    def __init__(self) -> None:
        # False if a new salt could not be stored: the next call gives other keys and equal results.
        self.kept = True
        self._salt: bytes | None = None

    def __repr__(self) -> str:
        return "Pseudonyms()"

    def key(self, identifier: str, scope: str = "") -> str:
        """Return the key of an identifier: ``p`` and 16 hexadecimal digits.

        Equal identifiers in two scopes have different keys. Raises `StorageError` if the salt
        exists but cannot be used.
        """
        if self._salt is None:
            self._salt = self._read()
        message = f"{scope}\0{identifier}".encode("utf-8", "surrogatepass")
        return "p" + hmac.digest(self._salt, message, "sha256").hex()[:_DIGITS]

    def _read(self) -> bytes:
        if salt := os.environ.get(_VARIABLE):
            return salt.encode("utf-8", "surrogateescape")
        path = salt_file()
        with contextlib.suppress(OSError):
            if not path.exists():
                _create(path)
        try:
            stored = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            self.kept = False
            return secrets.token_bytes(_BYTES)
        except OSError as error:
            raise StorageError(
                f"the salt of patient keys cannot be read: {path}",
                received=error.strerror,
                remedy=f"make the file readable for you, or set the variable {_VARIABLE}",
            ) from error
        if len(stored) < _BYTES:
            raise StorageError(
                f"the salt of patient keys is damaged: {path}",
                received=f"{len(stored)} bytes",
                remedy="remove the file; the next call creates a new salt, "
                "which changes all patient keys",
            )
        return stored


def _create(path: Path) -> None:
    """Create a salt that only its user can read; if two processes do so, one salt is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link fails if the salt exists already, so that the first salt is kept.
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links: the last salt is kept
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
