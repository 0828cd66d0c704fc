"""The OpenAPI document of the service, at ``/openapi.json``.

The schema of the model description is derived from its dataclasses; the rest is written here and
checked against the real answers by ``tests/unit/test_serve_contract.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from plainfilm import __version__
from plainfilm.inference.codes import IMAGE_CODES
from plainfilm.inference.description import NOTICE, BundleIdentity, ModelDescription
from plainfilm.inference.items import PICTURES
from plainfilm.serve.problems import PROBLEM_TYPE, PROBLEMS
from plainfilm.serve.request_body import MULTIPART, RAW_TYPES

__all__ = ["document"]

Json = dict[str, Any]

_DESCRIPTION = f"""{NOTICE}

Every error is `{PROBLEM_TYPE}` with a stable `code`. Every answer of a bundle contains its SHA-256, in
the body and as the header `X-Plainfilm-Bundle`. If the service has a token, send it as
`Authorization: Bearer TOKEN`."""

_TAGS = {
    "predictions": "Probabilities of findings on images.",
    "bundles": "The loaded bundles and their test results.",
    "operation": "Status and counters of the service.",
}


def document() -> Json:
    """Return the document."""
    paths: dict[str, Json] = {}
    for method, path, operation in _operations():
        paths[path] = {method: operation}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "plainfilm",
            "summary": "Probabilities of findings on chest X-rays, from a sealed bundle.",
            "description": _DESCRIPTION,
            "version": __version__,
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
    }


_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: ["number", "null"],  # null is an undefined number
    NoneType: "null",
}


def _object(properties: Mapping[str, Any], *optional: str) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required}


def _schema(hint: Any) -> Json:
    """Return the schema of a dataclass or of a type in its fields."""
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        return _object(
            {field.name: _schema(hints[field.name]) for field in dataclasses.fields(hint)}
        )
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(one) for one in arguments]}
    if origin is Literal:
        return {"enum": [*arguments]}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    return {"type": _TYPES[hint]}


_HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_PNG = {"type": "string", "pattern": "^data:image/png;base64,"}
_TEXT, _BOOLEAN, _INDEX = _schema(str), _schema(bool), {"type": "integer", "minimum": 0}
_BUNDLE = _schema(BundleIdentity)
_PREDICTED = _object(
    {
        "index": _INDEX,
        "sha256": _HASH,
        "probabilities": {
            "type": "object",
            "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "predicted": _schema(Mapping[str, str]),
        "novelty": _schema(float),
        "rejected": _BOOLEAN,
        "indeterminate": _schema(tuple[str, ...]),
        "metadata": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
        "images": {
            "type": "object",
            "properties": dict.fromkeys(PICTURES, _PNG),
            "additionalProperties": False,
        },
    },
    "images",
)
_CODE = {"enum": sorted(PROBLEMS)}
_FAILED = _object(
    {"index": _INDEX, "sha256": _HASH, "error": _object({"code": _CODE, "title": _TEXT})}
)
_PROBLEM = _object(
    {
        "type": _TEXT,
        "title": _TEXT,
        "status": _schema(int),
        "code": _CODE,
        "detail": _TEXT,
    },
    "detail",
)
_MODEL = _schema(ModelDescription)
_MODEL["properties"] |= {"default": _BOOLEAN, "report": _schema(str | None), "card": _TEXT}

_ID = "b9db62a5d5cdd99b6428612495bcf588acf9fc0c5ece7ac77886ecc067bf2657"
_SHA256 = "5ab668b4b1f9388f69a7edcc5cd903b93ab48d673e76b60c23f6abb2c3f4d588"
_EXAMPLE = {
    "bundle": {"name": "swift", "id": _ID, "version": "0.1.0"},
    "predictions": [
        {
            "index": 0,
            "sha256": _SHA256,
            "probabilities": {"PNEUMONIA": 0.902646},
            "predicted": {"balanced": "PNEUMONIA"},
            "novelty": 0.7133,
            "rejected": False,
            "indeterminate": [],
            "metadata": {"format": "jpeg", "width": 224, "height": 224},
        },
        {
            "index": 1,
            "sha256": _SHA256,
            "error": {"code": "truncated", "title": IMAGE_CODES["truncated"]},
        },
    ],
}

_REQUEST_CODES = (
    *("bad-multipart", "no-images", "forbidden-origin", "no-such-bundle", "body-timeout"),
    *("body-too-large", "too-many-images", "unsupported-media-type", "bad-parameter"),
    *("no-such-label", "busy", "no-decoder", "stopping", "audit-unavailable"),
)
_COMMON_CODES = ("bad-request", "unauthorized", "forbidden-host", "internal", "deadline")


def _operations() -> Iterable[tuple[str, str, Json]]:
    """Yield method, path and operation of each documented route."""
    pattern = "|".join(PICTURES)
    bundle = _parameter("bundle", "Name of the bundle; the first one by default.", "swift")
    parameters = [
        bundle,
        _parameter(
            "include",
            f"Pictures to include, separated by commas: {', '.join(PICTURES)}.",
            "seen,heatmap",
            pattern=f"^(({pattern})(,({pattern}))*)?$",
        ),
        _parameter("label", "Label of the heat map; the most probable by default.", "PNEUMONIA"),
    ]
    file = {"type": "string", "format": "binary"}
    form = _object({"file": {"type": "array", "items": file, "minItems": 1}})
    form["description"] = "One file part for each image; the names of the fields are ignored."
    multipart = {MULTIPART: {"schema": form}}
    raw = {kind: {"schema": file} for kind in RAW_TYPES}
    yield (
        "post",
        "/v1/predictions",
        _operation(
            "predictions",
            "Predict on one or more images",
            _json(
                _object(
                    {
                        "bundle": _BUNDLE,
                        "predictions": {
                            "type": "array",
                            "items": {"oneOf": [_PREDICTED, _FAILED]},
                        },
                    }
                ),
                _EXAMPLE,
            ),
            *_REQUEST_CODES,
            *IMAGE_CODES,
            description="One item for each image, in the order of the images. A multipart request "
            "gets status 200 even if images cannot be read; their items contain the error.",
            parameters=parameters,
            requestBody={"required": True, "content": multipart | raw},
        ),
    )
    yield (
        "post",
        "/v1/predictions/stream",
        _operation(
            "predictions",
            "Predict on many images and return each result when it is ready",
            {
                "application/x-ndjson": {
                    "schema": {"type": "string", "description": "One JSON object in each line."},
                    "example": '{"index": 3, "sha256": "...", "probabilities": {"PNEUMONIA": 0.9}}\n',
                }
            },
            *_REQUEST_CODES,
            description="One line for each image, in the order in which they are done; `index` is "
            "the position of the image in the request. A line with `status` and without `index` "
            "is a problem that ended the request.",
            parameters=parameters,
            requestBody={"required": True, "content": multipart},
        ),
    )
    rows = _object({"name": _TEXT, "id": _HASH, "default": _BOOLEAN})
    bundles = _object({"bundles": {"type": "array", "items": rows}})
    page = {"text/html": {"schema": _TEXT}}
    status = _object({"status": _TEXT})
    for path, tag, summary, content, *codes in (
        (
            "/v1/model",
            "bundles",
            "Labels, operating points and test results of a bundle",
            {"application/json": {"schema": _MODEL}},
            "no-such-bundle",
        ),
        (
            "/v1/bundles",
            "bundles",
            "Loaded bundles",
            _json(bundles, {"bundles": [{"name": "swift", "id": _ID, "default": True}]}),
        ),
        (
            "/report",
            "bundles",
            "Evaluation report of a bundle",
            page,
            "no-such-bundle",
            "no-report",
        ),
        ("/card", "bundles", "Model card of a bundle", page, "no-such-bundle"),
        (
            "/healthz",
            "operation",
            "Whether the process is running",
            _json(status, {"status": "alive"}),
        ),
        (
            "/readyz",
            "operation",
            "Whether the service accepts requests",
            _json(status, {"status": "ready"}),
            "no-decoder",
            "stopping",
        ),
        (
            "/metrics",
            "operation",
            "Counters in the text format of Prometheus",
            {"text/plain": {"schema": _TEXT}},
        ),
    ):
        more: Json = {"parameters": [bundle]} if "no-such-bundle" in codes else {}
        yield "get", path, _operation(tag, summary, content, *codes, **more)


def _operation(
    tag: str, summary: str, content: Json, *codes: str, description: str = "Success.", **more: Any
) -> Json:
    success = {"description": description, "content": content}
    return {
        "tags": [tag],
        "summary": summary,
        "responses": {"200": success, **_problems(*codes)},
        **more,
    }


def _problems(*codes: str) -> Json:
    """Return the responses of these codes by status."""
    by_status: dict[int, list[str]] = {}
    for code in (*codes, *_COMMON_CODES):
        by_status.setdefault(PROBLEMS[code][0], []).append(code)
    return {
        str(status): {
            "description": "; ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in found),
            "content": {
                PROBLEM_TYPE: {
                    "schema": _PROBLEM,
                    "examples": {
                        code: {
                            "value": {
                                "type": "about:blank",
                                "title": PROBLEMS[code][1],
                                "status": status,
                                "code": code,
                            }
                        }
                        for code in found
                    },
                }
            },
        }
        for status, found in sorted(by_status.items())
    }


def _json(schema: Json, example: Any) -> Json:
    return {"application/json": {"schema": schema, "example": example}}


def _parameter(name: str, description: str, example: str, **schema: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }
