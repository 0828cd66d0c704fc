"""Derives JSON Schemas from the dataclasses of the documents."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from plainfilm._json import field_types

_SCALARS: Mapping[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    str: {"type": "string"},
    float: {"type": ["number", "null"]},  # null is a number that is undefined
    types.NoneType: {"type": "null"},
    Any: {},
}


def schema_of(document: Any, name: str) -> str:
    """Return the JSON Schema of a document as text; ``name`` is that of its file."""
    kinds = {kind.__name__: kind for kind in reachable(document)}
    top = _object(document)
    top["properties"] = {"schema": {"const": document.SCHEMA}, **top["properties"]}
    top["required"].insert(0, "schema")
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        **top,
        "$defs": {key: _object(kind) for key, kind in kinds.items() if kind is not document},
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def reachable(kind: Any) -> list[Any]:
    """Return a dataclass and all dataclasses in its fields, each once, in reading order."""
    found: dict[Any, None] = {}

    def visit(hint: Any) -> None:
        if dataclasses.is_dataclass(hint):
            if hint not in found:
                found[hint] = None
                for own in field_types(hint).values():
                    visit(own)
        else:
            for argument in get_args(hint):
                visit(argument)

    visit(kind)
    return [*found]


def summary(kind: Any) -> str:
    """Return the first paragraph of a docstring."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0]
    return re.sub(r"\b(None|NaN)\b", "null", " ".join(text.split())).replace("``", "`")


def attributes(kind: Any) -> dict[str, str]:
    """Return the description of each attribute in the docstring of a dataclass."""
    # Python 3.13 takes the indent off docstrings, older ones do not.
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        text = inspect.cleandoc(base.__doc__ or "").partition("----------\n")[2]
        for names, body in re.findall(r"^(\w+(?:, \w+)*)\n((?: +.*\n?)+)", text, re.M):
            for name in names.split(", "):
                found[name] = " ".join(body.split()).rstrip(".").replace("``", "`")
    return found


def _object(kind: Any) -> dict[str, Any]:
    described = attributes(kind)
    properties = {name: _type(hint) for name, hint in field_types(kind).items()}
    for name, one in properties.items():
        if name in described:
            one["description"] = re.sub(r"\b(None|NaN)\b", "null", described[name])
    return {
        "type": "object",
        "description": summary(kind),
        "properties": properties,
        "required": [
            field.name
            for field in dataclasses.fields(kind)
            if field.default is field.default_factory is dataclasses.MISSING
        ],
        "additionalProperties": False,
    }


def _type(hint: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}  # type: ignore[union-attr]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_type(one) for one in arguments]}
    if origin is Literal:
        return {"enum": [*arguments]}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _type(arguments[1])}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _type(arguments[0])}
    if origin is tuple:
        size = len(arguments)
        items = [_type(one) for one in arguments]
        return {"type": "array", "prefixItems": items, "minItems": size, "maxItems": size}
    return dict(_SCALARS[hint])
