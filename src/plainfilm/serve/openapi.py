"""The OpenAPI document of the service, at ``/openapi.json``.

The schema of the model description is derived from its dataclasses; the rest is written here and
checked against the real answers by ``tests/unit/test_serve_contract.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from plainfilm import __version__
from plainfilm.bundle import REJECTIONS
from plainfilm.inference.codes import IMAGE_CODES
from plainfilm.inference.description import NOTICE, BundleIdentity, ModelDescription
from plainfilm.serve.items import INCLUDED, PICTURES
from plainfilm.serve.problems import PROBLEM_TYPE, PROBLEMS
from plainfilm.serve.request_body import MULTIPART, RAW_TYPES

Json = dict[str, Any]

_DESCRIPTION = f"""{NOTICE}

Every error is `{PROBLEM_TYPE}` with a stable `code`. Every answer of a bundle contains its SHA-256,
in the body and as the header `X-Plainfilm-Bundle`. If the service has a token, send it as
`Authorization: Bearer TOKEN`."""

_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: ["number", "null"],  # null is an undefined number
    NoneType: "null",
}


def _schema(hint: Any) -> Json:
    """Return the schema of a dataclass or of a type in its fields."""
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        return _object({one.name: _schema(hints[one.name]) for one in dataclasses.fields(hint)})
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(one) for one in arguments]}
    if origin is Literal:
        return {"enum": [*arguments]}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    if origin is tuple:
        return _array(_schema(arguments[0]))
    return {"type": _TYPES[hint]}


def _object(properties: Mapping[str, Json], *optional: str) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required}


def _array(items: Json) -> Json:
    return {"type": "array", "items": items}


_TEXT, _BOOLEAN, _INDEX = _schema(str), _schema(bool), {"type": "integer", "minimum": 0}
_HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_PNG = {"type": "string", "pattern": "^data:image/png;base64,"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_CODE = {"enum": sorted(PROBLEMS)}
_ITEM = _object(
    {
        "index": _INDEX,
        "sha256": _HASH,
        "probabilities": {"type": "object", "additionalProperties": _SHARE},
        "predicted": _schema(Mapping[str, str]),
        "novelty": _schema(float),
        "rejected": _BOOLEAN,
        "indeterminate": _array(_TEXT),
        "reason": {"enum": [*sorted({*PROBLEMS, *REJECTIONS}), None]},
        "problem": _schema(str | None),
        "metadata": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
        "images": {
            "type": "object",
            "properties": dict.fromkeys(PICTURES, _PNG),
            "additionalProperties": False,
        },
    },
    "images",
)
_PROBLEM = _object(
    {"type": _TEXT, "title": _TEXT, "status": _schema(int), "code": _CODE, "detail": _TEXT},
    "detail",
)
_PREDICTIONS = _object({"bundle": _schema(BundleIdentity), "predictions": _array(_ITEM)})
_MODEL = _schema(ModelDescription)
_MODEL["properties"] |= {"default": _BOOLEAN, "report": _schema(str | None), "card": _TEXT}
_BUNDLES = _object({"bundles": _array(_object({"name": _TEXT, "id": _HASH, "default": _BOOLEAN}))})
_STATUS = _object({"status": _TEXT})

_ID = "b9db62a5d5cdd99b6428612495bcf588acf9fc0c5ece7ac77886ecc067bf2657"
_FIRST = {"index": 0, "sha256": _ID, "probabilities": {"PNEUMONIA": 0.902646}}
_FIRST |= {"predicted": {"balanced": "PNEUMONIA"}, "novelty": 0.7133, "rejected": False}
_FIRST |= {"indeterminate": [], "reason": None, "problem": None}
_FIRST |= {"metadata": {"format": "jpeg", "width": 224, "height": 224}}
_SECOND = {"index": 1, "sha256": _ID, "probabilities": {}, "predicted": {}, "novelty": None}
_SECOND |= {"rejected": False, "indeterminate": [], "reason": "truncated"}
_SECOND |= {"problem": IMAGE_CODES["truncated"], "metadata": {}}
_EXAMPLE = {
    "bundle": {"name": "swift", "id": _ID, "version": "0.1.0"},
    "predictions": [_FIRST, _SECOND],
}

_COMMON = (400, 401, 403, 500, 504)
_OF_PREDICTIONS = (*_COMMON, 404, 408, 413, 415, 422, 429, 503)


def document() -> Json:
    """Return the document."""
    bundle = _parameter("bundle", "Name of the bundle; the first one by default.", "swift")
    picture = "|".join(INCLUDED)
    words = (
        f"Pictures to include, separated by commas: {', '.join(PICTURES)}; and `probabilities`, "
        "which includes the probabilities and heat maps of rejected images."
    )
    pattern = f"^(({picture})(,({picture}))*)?$"
    include = _parameter("include", words, "seen,heatmap", pattern=pattern)
    label = _parameter("label", "Label of the heat map; the most probable by default.", "PNEUMONIA")
    file = {"type": "string", "format": "binary"}
    form = _object({"file": {**_array(file), "minItems": 1}})
    form["description"] = "One file part for each image; the names of the fields are ignored."
    multipart = {MULTIPART: {"schema": form}}
    raw = {kind: {"schema": file} for kind in RAW_TYPES}
    lines = {
        "schema": {"type": "string", "description": "One JSON object in each line."},
        "example": '{"index": 3, "sha256": "...", "probabilities": {"PNEUMONIA": 0.9}}\n',
    }
    paths = {
        "/v1/predictions": {
            "post": {
                **_operation("Predict on images", _json(_PREDICTIONS, _EXAMPLE), _OF_PREDICTIONS),
                "description": "Returns one item for each image, in the order of the images. A "
                "multipart request gets status 200 even if images cannot be read. An image that "
                "cannot be read or is rejected has a `reason`, and no predicted class.",
                "parameters": [bundle, include, label],
                "requestBody": {"required": True, "content": multipart | raw},
            }
        },
        "/v1/predictions/stream": {
            "post": {
                **_operation(
                    "Predict on many images", {"application/x-ndjson": lines}, _OF_PREDICTIONS
                ),
                "description": "Returns one line for each image when it is done; `index` is the "
                "position of the image in the request. A line with `status` and without `index` "
                "is a problem that ended the request.",
                "parameters": [bundle, include, label],
                "requestBody": {"required": True, "content": multipart},
            }
        },
    }
    page = {"text/html": {"schema": _TEXT}}
    rows = {"bundles": [{"name": "swift", "id": _ID, "default": True}]}
    alive, ready = _json(_STATUS, {"status": "alive"}), _json(_STATUS, {"status": "ready"})
    for path, summary, content, *more in (
        ("/v1/model", "Labels, operating points and test results", _json(_MODEL), 404),
        ("/v1/bundles", "Loaded bundles", _json(_BUNDLES, rows)),
        ("/report", "Evaluation report", page, 404),
        ("/card", "Model card", page, 404),
        ("/healthz", "Whether the process is running", alive),
        ("/readyz", "Whether the service accepts requests", ready, 503),
        ("/metrics", "Counters in the format of Prometheus", {"text/plain": {"schema": _TEXT}}),
    ):
        operation = _operation(summary, content, (*_COMMON, *more))
        paths[path] = {"get": operation | ({"parameters": [bundle]} if 404 in more else {})}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "plainfilm",
            "summary": "Probabilities of findings on chest X-rays, from a sealed bundle.",
            "description": _DESCRIPTION,
            "version": __version__,
        },
        "paths": paths,
        "components": {"responses": {f"status-{n}": _problems(n) for n in _OF_PREDICTIONS}},
    }


def _operation(summary: str, content: Json, statuses: tuple[int, ...]) -> Json:
    problems = {str(n): {"$ref": f"#/components/responses/status-{n}"} for n in statuses}
    return {
        "summary": summary,
        "responses": {"200": {"description": "Success.", "content": content}, **problems},
    }


def _problems(status: int) -> Json:
    """Return the response of a status, with all its codes."""
    titles = {code: title for code, (own, title) in PROBLEMS.items() if own == status}
    examples = {
        code: {"value": {"type": "about:blank", "title": title, "status": status, "code": code}}
        for code, title in titles.items()
    }
    return {
        "description": "; ".join(f"`{code}`: {title}" for code, title in titles.items()),
        "content": {PROBLEM_TYPE: {"schema": _PROBLEM, "examples": examples}},
    }


def _json(schema: Json, example: Json | None = None) -> Json:
    return {"application/json": {"schema": schema, **({"example": example} if example else {})}}


def _parameter(name: str, description: str, example: str, **schema: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }
