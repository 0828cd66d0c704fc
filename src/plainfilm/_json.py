"""Converts frozen dataclasses to and from plain JSON or TOML values, strictly."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import reprlib
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from plainfilm._text import printable
from plainfilm.errors import ConfigError, PlainfilmError, RunError

T = TypeVar("T")
_NO_DEFAULT = object()
_LARGEST = 1 << 63  # integers of libraries have 64 bits


class Format(NamedTuple):
    """The error that a wrong value raises, and what its message calls a key and a mapping."""

    error: type[PlainfilmError]
    key: str
    mapping: str

    def wrong(self, where: str, kind: str, value: object) -> PlainfilmError:
        """Return the error of a value that should be of another kind."""
        return self.error(f"{where} must be {kind}", received=_shown(value))


JSON = Format(RunError, "key", "an object")
TOML = Format(ConfigError, "setting", "a table")


def to_json(value: object, *, complete: bool = False) -> Any:
    """Return a dataclass, mapping, sequence or scalar as plain values.

    A field that has its default value is left out, unless ``complete``. A number that is not finite
    becomes None.
    """
    if dataclasses.is_dataclass(value):
        fields = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return {
            field.name: to_json(own, complete=complete)
            for field, own in fields
            if complete or own != _default(field)
        }
    if isinstance(value, Mapping):
        return {str(key): to_json(own, complete=complete) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(own, complete=complete) for own in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def from_json(kind: type[T], value: object, where: str, form: Format = JSON) -> T:
    """Return the dataclass ``kind`` from plain values, after checking every key and type.

    ``value`` is what `to_json` returned, or the content of a TOML table, and ``where`` its name in
    messages. None is read as NaN where the field is a float. Raises the error of ``form`` if a key
    is unknown or missing or a value has another type.
    """
    if not isinstance(value, Mapping):
        raise form.wrong(where, form.mapping, value)
    dataclass: Any = kind
    hints = field_types(dataclass)
    unknown = [key for key in value if key not in hints]
    if unknown:
        raise form.error(
            f"{name_unknown(printable(str(unknown[0])), list(hints), form.key)} in {where}",
            remedy=f"known {form.key}s of {where}: {', '.join(hints)}",
        )
    left_out = [one for one in dataclasses.fields(dataclass) if one.name not in value]
    missing = [one.name for one in left_out if _default(one) is _NO_DEFAULT]
    if missing:
        raise form.error(f"{where} lacks {', '.join(missing)}")
    return kind(
        **{key: _convert(hints[key], own, f"{where}.{key}", form) for key, own in value.items()}
    )


def name_unknown(key: str, known: Sequence[str], noun: str = "setting") -> str:
    """Return that there is no such key, with the closest known one."""
    import difflib  # only for errors

    folded = {one.lower(): one for one in known}
    close = difflib.get_close_matches(key.lower(), folded, n=1)
    hint = f"; did you mean {folded[close[0]]!r}?" if close else ""
    return f"there is no {noun} {key!r}{hint}"


@functools.cache
def field_types(kind: Any) -> dict[str, Any]:
    """Return the type of each field of a dataclass."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return _NO_DEFAULT if field.default is dataclasses.MISSING else field.default


def _convert(hint: Any, value: Any, where: str, form: Format) -> Any:
    """Return ``value`` as the type ``hint``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value, where, form)  # type: ignore[arg-type]
    if hint is Any:
        return _check_plain(value, where, form)
    if origin is Literal and value in arguments:
        return value
    if origin is Literal:
        raise form.wrong(where, f"one of: {', '.join(map(str, arguments))}", value)
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, where, form)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise form.wrong(where, form.mapping, value)
        return {
            key: _convert(arguments[1], own, f"{where}.{printable(key)}", form)
            for key, own in value.items()
        }
    if origin is tuple:
        return _convert_tuple(arguments, value, where, form)
    return _convert_scalar(hint, value, where, form)


def _convert_union(kinds: Sequence[Any], value: Any, where: str, form: Format) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    *others, last = [kind for kind in kinds if kind is not types.NoneType]
    for kind in others:
        with contextlib.suppress(form.error):
            return _convert(kind, value, where, form)
    return _convert(last, value, where, form)


def _convert_tuple(kinds: Sequence[Any], value: Any, where: str, form: Format) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise form.wrong(where, "a list", value)
    if kinds[-1] is Ellipsis:
        kinds = [kinds[0]] * len(value)
    elif len(kinds) != len(value):
        raise form.error(f"{where} must have {len(kinds)} values", received=_shown(value))
    return tuple(
        _convert(kind, own, f"{where}[{index}]", form)
        for index, (kind, own) in enumerate(zip(kinds, value, strict=True))
    )


def _convert_scalar(kind: type, value: Any, where: str, form: Format) -> Any:
    if kind is float and value is None:
        return math.nan
    _check_number(value, where, form)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise form.wrong(where, f"of type {kind.__name__}", value)
    return value


def _check_plain(value: Any, where: str, form: Format, depth: int = 16) -> Any:
    """Return a value of any type after checking the numbers in it."""
    if not depth:
        raise form.error(f"{where} is nested too deeply")
    items = value.items() if isinstance(value, Mapping) else ()
    for key, own in items or (enumerate(value) if isinstance(value, list | tuple) else ()):
        _check_plain(own, f"{where}.{printable(str(key))}", form, depth - 1)
    _check_number(value, where, form)
    return value


def _check_number(value: Any, where: str, form: Format) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise form.error(f"{where} must be a finite number", received=value)
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        raise form.error(f"{where} must be a number of at most 64 bits", received=_shown(value))


def _shown(value: object) -> str:
    """Return a value for a message, not longer than a line."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    return printable(reprlib.repr(value) if isinstance(value, Mapping | list) else repr(value))
