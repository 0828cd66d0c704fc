"""A store under a prefix of an object store: ``s3://``, ``gs://`` or ``az://``.

Credentials and endpoints come from the usual environment variables, such as ``AWS_ACCESS_KEY_ID``
and ``AWS_ENDPOINT_URL``, or from the machine's role. The store must support conditional writes.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from plainfilm._optional import require
from plainfilm._text import printable
from plainfilm.cluster.stores import Entry, Reason, StoreError
from plainfilm.errors import UsageError

RETRY = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=45),
    "backoff": {
        "init_backoff": timedelta(seconds=0.2),
        "max_backoff": timedelta(seconds=8),
        "base": 2,
    },
}
"""Answers of 5xx and lost connections are tried again for less than a minute."""

_CLIENT = {"connect_timeout": "5s", "read_timeout": "20s", "timeout": "10m"}
_BUFFER = 256 * 1024  # bytes that are read at a time from a part of an object
_PAGE = 1000  # objects of one answer to a listing
_STATUS = re.compile(r"status code: (\d{3})")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-f:.]+")
_KEY = re.compile(r'Path "(.*?)" contained|Error parsing Path "(.*?)":', re.DOTALL)
_CODE = re.compile(r"<Code>(\w{1,40})</Code>")


class ObjectStore:
    """A prefix of an object store.

    A new object is written with a create-only request, which the store refuses if it exists. An
    error contains the status and the code of the answer, but not its text, which may contain
    credentials.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._bucket, self._prefix = split(self.uri)
        self._obstore = require("obstore", "object-store")
        self._store = connect(self._bucket)

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield the objects directly in a folder."""
        start = len(self._key(""))
        for found in list_objects(f"{self.uri}/{folder}"):
            name = found["path"][start:]
            if "/" not in name[len(folder) + 1 :]:
                yield Entry(name, found["size"], found["last_modified"].timestamp())

    def exists(self, name: str) -> bool:
        """Return whether there is an object."""
        try:
            self._head(name)
        except StoreError as error:
            if error.reason != "missing":
                raise
            return False
        return True

    def read(self, name: str) -> bytes:
        """Return the content of an object."""
        return get(f"{self.uri}/{name}")

    def open(self, name: str) -> BinaryIO:
        """Open an object; only the parts that are read are transferred."""
        file = _ObjectFile(self, name, self._head(name)["size"])
        return cast(BinaryIO, io.BufferedReader(file, _BUFFER))

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return a part of an object."""
        with explained(f"{self.uri}/{name}"):
            part = self._obstore.get_range(self._store, self._key(name), start=start, length=length)
            return bytes(part)

    def put_new(self, name: str, data: bytes) -> bool:
        """Write an object; return False if it exists."""
        try:
            with explained(f"{self.uri}/{name}", "written"):
                self._put(name, data, mode="create")
        except FileExistsError:
            return False
        return True

    def replace(self, name: str, data: bytes) -> None:
        """Write an object in place of one that may exist."""
        with explained(f"{self.uri}/{name}", "written"):
            self._put(name, data, mode="overwrite")

    def remove(self, name: str) -> None:
        """Remove an object if it exists."""
        with explained(f"{self.uri}/{name}", "removed"), contextlib.suppress(FileNotFoundError):
            self._obstore.delete(self._store, self._key(name))

    def _put(self, name: str, data: bytes, mode: str) -> None:
        self._obstore.put(self._store, self._key(name), data, mode=mode, use_multipart=False)

    def _head(self, name: str) -> Any:
        with explained(f"{self.uri}/{name}"):
            return self._obstore.head(self._store, self._key(name))

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name


class _ObjectFile(io.RawIOBase):
    """Reads parts of an object as a file."""

    def __init__(self, store: ObjectStore, name: str, size: int) -> None:
        self._store, self._name, self._size = store, name, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._size - self._position)
        if count <= 0:
            return 0
        buffer[:count] = self._store.get_range(self._name, self._position, count)
        self._position += count
        return count


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of a URI.

    >>> split("s3://archive/2014/a.dcm")
    ('s3://archive', '2014/a.dcm')
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


@functools.lru_cache(16)
def connect(bucket: str) -> Any:
    """Return the client of a bucket."""
    store = require("obstore.store", "object-store")
    endpoints = [os.environ.get(f"AWS_ENDPOINT{name}", "") for name in ("", "_URL", "_URL_S3")]
    plain = any(endpoint.startswith("http://") for endpoint in endpoints)
    if not all(map(_is_endpoint, filter(None, endpoints))):
        raise UsageError(
            "AWS_ENDPOINT_URL is not the URL of an endpoint",  # not its value, which may be secret
            remedy="set it to a URL such as http://localhost:9000 or https://s3.example.org",
        )
    with explained(bucket):
        return store.from_url(
            bucket, client_options={**_CLIENT, "allow_http": plain}, retry_config=RETRY
        )


def _is_endpoint(text: str) -> bool:
    """Return whether a text is a URL of a server, on which the library relies."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        return False
    return url.scheme in ("http", "https") and _HOST.fullmatch(host) is not None


def get(
    uri: str,
    size: int | None = None,
    etag: str | None = None,
    check: Callable[[int], None] = lambda size: None,
) -> bytes:
    """Return an object, or raise a StoreError.

    It is ``changed`` if it has not the size or version that are given. ``check`` is called with its
    size before it is read.
    """
    bucket, key = split(uri)
    store, obstore = connect(bucket), require("obstore", "object-store")
    with explained(uri):
        found = obstore.get(store, key, options=None if etag is None else {"if_match": etag})
        count = found.meta["size"]
        if size is not None and count != size:
            raise StoreError("changed", f"{uri} was changed after it was planned")
        check(count)
        return bytes(found.bytes())


def list_objects(uri: str) -> Iterator[Any]:
    """Yield path, size, time and version of all objects below a prefix."""
    bucket, key = split(uri)
    store, obstore = connect(bucket), require("obstore", "object-store")
    with explained(uri, "listed"):
        for page in obstore.list(store, prefix=key or None, chunk_size=_PAGE):
            yield from page


@contextlib.contextmanager
def explained(uri: str, verb: str = "read") -> Iterator[None]:
    """Raise the errors of the library as a StoreError; a FileExistsError is not changed."""
    errors = require("obstore.exceptions", "object-store")
    try:
        yield
    except errors.AlreadyExistsError:
        raise FileExistsError(uri) from None
    except (errors.BaseError, FileNotFoundError, ValueError) as error:
        text = str(error)
        status, code = _STATUS.search(text), _CODE.search(text)
        received = " ".join(
            [f"status {status[1]}" if status else "no answer", code[1] if code else ""]
        ).strip()
        reason: Reason = "unreachable"
        remedy = None
        if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in text:
            reason = "missing"
        elif isinstance(error, errors.PreconditionError):
            reason = "changed"
        elif isinstance(error, ValueError | errors.InvalidPathError):
            reason = "unreadable"
            key = _KEY.search(text)
            named = f"the key {printable(key[1] or key[2])}" if key else "a setting, or a key"
            received = f"{named} with an empty part (//), ., .. or a control character"
            if verb == "listed":
                remedy = "rename the object, or give a list (CSV, Parquet) of the other objects"
        elif code is not None and code[1] == "InvalidObjectState":
            reason = "unreadable"  # the object is in an archive tier
        if reason == "unreachable":
            remedy = "check the credentials, the endpoint and the network"
        raise StoreError(
            reason,
            f"{uri} cannot be {verb}",
            received=received,
            remedy=remedy,
        ) from None
