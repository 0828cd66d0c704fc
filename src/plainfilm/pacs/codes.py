"""Assigns a code to each label of a model, from a table in TOML."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainfilm import _files
from plainfilm._text import is_name
from plainfilm.errors import ConfigError

__all__ = ["PRIVATE_SCHEME", "Code", "CodeTable", "code_text", "read_codes"]

PRIVATE_SCHEME = "99PLAINFILM"
"""Coding scheme of labels and reasons that have no public code."""

LONGEST_VALUE, LONGEST_SCHEME, LONGEST_MEANING = 64, 16, 64
"""Characters that DICOM allows; a value above 16 is stored as a long code value."""
SHORT_VALUE = 16
_ASCII = re.compile(r"[!-\[\]-~]+", re.ASCII)
_KEYS = {"value", "scheme", "meaning"}
_REMEDY = 'write [labels."LABEL"] with value, scheme and meaning, each in quotation marks'


@dataclass(frozen=True, slots=True)
class Code:
    """A code value, its coding scheme, and its meaning in words."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class CodeTable:
    """Codes of labels; case, spaces and underscores of a label do not matter.

    ``own`` are the labels of the user's file, without case, spaces and underscores.
    """

    codes: Mapping[str, Code]
    own: tuple[str, ...] = ()

    def of(self, label: str) -> Code:
        """Return the code of a label; one of the private scheme if the table has none."""
        return self.codes.get(_key(label)) or _private(label)

    def unused(self, labels: Iterable[str]) -> list[str]:
        """Return the labels of the user's file that are not among a model's."""
        keys = set(map(_key, labels))
        return [label for label in self.own if label not in keys]


def read_codes(path: Path | None = None) -> CodeTable:
    """Read the built-in table, and a file whose entries replace or extend it.

    Raises
    ------
    ConfigError
        If the file cannot be read, or has an entry that DICOM does not allow.
    """
    own = Path(__file__).with_name("finding_codes.toml")
    found, more = _read(own), {} if path is None else _read(path)
    return CodeTable(found | more, tuple(more))


def code_text(text: str, most: int = LONGEST_MEANING) -> str:
    """Return text as DICOM allows it in a short value: without backslash, of at most some bytes.

    DICOM limits the characters; some programs count the bytes of UTF-8 instead.
    """
    cut = text.replace("\\", "/").encode("utf-8", "replace")[:most]
    return cut.decode("utf-8", "ignore").strip() or "?"


def _private(label: str) -> Code:
    name = _key(label).upper()
    if not _ASCII.fullmatch(name) or len(name) > SHORT_VALUE:
        name = "L-" + hashlib.sha256(_key(label).encode()).hexdigest()[:12].upper()
    meaning = code_text(label)
    if meaning != code_text(label, 4 * len(label)):  # cut short, it could be that of another label
        meaning = f"{code_text(label, LONGEST_MEANING - 1 - len(name))} {name}"
    return Code(name, PRIVATE_SCHEME, meaning)


def _key(label: str) -> str:
    return re.sub(r"[\s_]+", "", label).casefold()


def _read(path: Path) -> dict[str, Code]:
    import tomllib

    try:
        tree = tomllib.loads(_files.read_regular(path, _files.MEBI).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the code table {path} is not text in UTF-8", received=error, remedy="save it as UTF-8"
        ) from error
    except OSError as error:
        reason = _files.reason_of(error)
        raise ConfigError(
            f"the code table {path} cannot be read",
            received=reason,
            remedy="give --codes a TOML file that this user may read",
        ) from error
    except (ValueError, RecursionError) as error:  # numbers of any length; deep nesting
        raise ConfigError(
            f"the code table {path} is not valid TOML", received=error, remedy=_REMEDY
        ) from error
    labels = tree.pop("labels", {})
    if tree or not isinstance(labels, dict):
        received = ", ".join(tree) or repr(labels)
        raise ConfigError(
            f"the code table {path} has entries outside of labels",
            received=received,
            remedy=_REMEDY,
        )
    codes: dict[str, Code] = {}
    for label, entry in labels.items():
        if _key(label) in codes:
            raise ConfigError(
                f"the code table {path} has a label twice",
                received=repr(label),
                remedy="keep one entry; case, spaces and underscores do not matter",
            )
        codes[_key(label)] = _code(path, label, entry)
    return codes


def _code(path: Path, label: str, entry: Any) -> Code:
    where = f"in the code table {path}, label {label!r}"
    if not isinstance(entry, dict) or set(entry) != _KEYS:
        received = ", ".join(entry) if isinstance(entry, dict) else repr(entry)
        raise ConfigError(
            f"{where} does not have value, scheme and meaning", received=received, remedy=_REMEDY
        )
    for name, longest in (("value", LONGEST_VALUE), ("scheme", LONGEST_SCHEME)):
        text = entry[name]
        if not isinstance(text, str) or len(text) > longest or not _ASCII.fullmatch(text):
            raise ConfigError(
                f"{where} has a {name} that DICOM does not allow",
                received=repr(text),
                remedy=f"write 1 to {longest} ASCII characters without spaces and backslashes",
            )
    meaning = entry["meaning"]
    allowed = isinstance(meaning, str) and is_name(meaning, LONGEST_MEANING)
    if not allowed or "\\" in meaning or not meaning.strip():
        raise ConfigError(
            f"{where} has a meaning that DICOM does not allow",
            received=repr(meaning),
            remedy=f"write 1 to {LONGEST_MEANING} printable characters without backslashes",
        )
    return Code(entry["value"], entry["scheme"], meaning.strip())
