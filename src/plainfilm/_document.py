"""The common base of the documents that are written as JSON files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from plainfilm import _files
from plainfilm._json import JSON, Format, from_json, to_json
from plainfilm._text import printable
from plainfilm.errors import ConfigError


class Document:
    """A frozen dataclass that is stored as one JSON file with a schema version.

    Subclasses set the class variables: the schema version, the format with its error, what to do
    with a file of an older version, and whether fields with their default values are written.
    """

    __slots__ = ()
    SCHEMA: ClassVar[int]
    FORMAT: ClassVar[Format] = JSON
    REMEDY: ClassVar[str] = "write it again with this version"
    COMPLETE: ClassVar[bool] = False

    def to_json(self) -> dict[str, Any]:
        """Return the document as plain values.

        Optional parts that are missing are left out. A number that is undefined is None.
        """
        return {"schema": self.SCHEMA, **to_json(self, complete=self.COMPLETE)}

    @classmethod
    def from_json(cls, values: object, where: str = "the document") -> Self:
        """Return the document from what `to_json` returned.

        Raises the error of the format for another schema version, or a wrong key or value.
        """
        try:
            return from_json(cls, cls._upgrade(values, where), where, cls.FORMAT)
        except RecursionError as error:
            raise cls.FORMAT.error(f"{where} is nested too deeply") from error
        except ConfigError as error:  # from a value that checks itself
            raise cls.FORMAT.error(
                f"{where} has a wrong value: {error.problem}", received=error.received
            ) from error

    def write(self, path: Path) -> None:
        """Write the document to a file."""
        _files.write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `write` wrote; errors are those of `from_json`."""
        try:
            data = _files.read_regular(path)
        except OSError as error:
            reason = _files.reason_of(error)
            raise cls.FORMAT.error(
                f"{path} cannot be read", received=reason, remedy=cls.REMEDY
            ) from error
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Return the document from the content of a file; errors are those of `from_json`."""
        try:
            values = _files.parse_json(data)
        except ValueError as error:
            raise cls.FORMAT.error(
                f"{where} cannot be read", received=error, remedy=cls.REMEDY
            ) from error
        return cls.from_json(values, where)

    @classmethod
    def _upgrade(cls, values: object, where: str) -> Mapping[str, Any]:
        """Return the content without its schema version; no older schema can be upgraded."""
        schema = values.get("schema") if isinstance(values, Mapping) else None
        if isinstance(values, Mapping) and schema == cls.SCHEMA:
            return {key: value for key, value in values.items() if key != "schema"}
        newer = isinstance(schema, int) and schema > cls.SCHEMA
        raise cls.FORMAT.error(
            f"this version of plainfilm cannot read {where}",
            received="no schema version" if schema is None else printable(f"schema {schema!r}"),
            remedy="upgrade plainfilm" if newer else cls.REMEDY,
        )
