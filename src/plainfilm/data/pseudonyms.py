"""Patient keys that do not tell the patient: keyed hashes, whose salt stays on this machine.

A plain hash of an identifier is no secret: whoever has a list of identifiers hashes them all. So
the hash is keyed (HMAC, RFC 2104) with a salt that no manifest, cache, run, bundle or report holds.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from pathlib import Path

import platformdirs

from plainfilm.errors import StorageError

__all__ = ["Pseudonyms", "salt_file", "where_is_salt"]

_VARIABLE = "PLAINFILM_SALT"
_BYTES = 32
_DIGITS = 16


def salt_file() -> Path:
    """Return where the salt of this user is kept."""
    return Path(platformdirs.user_data_dir("plainfilm")) / "salt"


def where_is_salt() -> str:
    """Say where the salt comes from, never what it is."""
    if os.environ.get(_VARIABLE):
        return f"the variable {_VARIABLE}"
    path = salt_file()
    with contextlib.suppress(OSError):  # a folder that may not be looked into
        if path.exists():
            return str(path)
    return f"{path} (made when it is first needed)"


class Pseudonyms:
    """Turns identifiers into keys; the salt is read, or made, when the first one is asked for.

    Attributes
    ----------
    kept
        False once a salt had to be made that cannot be kept: the keys of another call are others
        then. No result depends on it.
    """

    def __init__(self) -> None:
        self.kept = True
        self._salt: bytes | None = None

    def __repr__(self) -> str:
        return "Pseudonyms()"

    def key(self, identifier: str, scope: str = "") -> str:
        """Return the key of an identifier: ``p`` and 16 hexadecimal digits.

        Parameters
        ----------
        identifier
            What tells the patient.
        scope
            Where equal identifiers mean one patient; in two scopes they give two keys.

        Raises
        ------
        StorageError
            If there is a salt that cannot be used.
        """
        if self._salt is None:
            self._salt = self._read()
        message = f"{scope}\0{identifier}".encode("utf-8", "surrogatepass")
        return "p" + hmac.digest(self._salt, message, "sha256").hex()[:_DIGITS]

    def _read(self) -> bytes:
        if given := os.environ.get(_VARIABLE):
            return given.encode("utf-8", "surrogateescape")
        path = salt_file()
        with contextlib.suppress(OSError):
            if not path.exists():
                _make(path)
        try:
            salt = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            self.kept = False
            return secrets.token_bytes(_BYTES)
        except OSError as error:
            raise StorageError(
                f"the salt of patient keys cannot be read: {path}",
                received=error.strerror,
                remedy=f"make it readable for you, or set the variable {_VARIABLE}",
            ) from error
        if len(salt) < _BYTES:
            raise StorageError(
                f"the salt of patient keys is damaged: {path}",
                remedy="remove the file; the next call makes another, and with it other patient keys",
            )
        return salt


def _make(path: Path) -> None:
    """Make a salt that nobody else may read; of two processes that do, one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link fails where there is one already, so that the first salt stays the only one.
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links: the last one wins
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
