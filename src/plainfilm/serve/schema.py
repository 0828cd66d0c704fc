"""What the OpenAPI document says of the routes: words, schemas, examples, problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plainfilm.inference.description import NOTICE
from plainfilm.inference.items import PICTURES
from plainfilm.serve.problems import PROBLEM_TYPE, PROBLEMS
from plainfilm.serve.request_body import MULTIPART, RAW_TYPES

__all__ = [
    "BUNDLES",
    "CARD",
    "DESCRIPTION",
    "HEALTH",
    "METRICS",
    "MODEL",
    "PREDICTIONS",
    "READY",
    "REPORT",
    "STREAM",
    "TAGS",
]

Json = dict[str, Any]

DESCRIPTION = f"""{NOTICE}

Every failure is `{PROBLEM_TYPE}` with a stable `code`. Every answer of a bundle names its hash, in
its body and as `X-Plainfilm-Bundle`. Where the service has a token, send it as
`Authorization: Bearer TOKEN`."""

TAGS: list[Json] = [
    {"name": "predictions", "description": "Images in, probabilities out."},
    {"name": "bundles", "description": "What answers, and how well it was tested."},
    {"name": "operation", "description": "For who runs the service."},
]

_ID = "b9db62a5d5cdd99b6428612495bcf588acf9fc0c5ece7ac77886ecc067bf2657"
_SHA = "5ab668b4b1f9388f69a7edcc5cd903b93ab48d673e76b60c23f6abb2c3f4d588"
_IDENTITY = {"name": "swift", "id": _ID, "version": "0.1.0"}
_SUCCESS = {
    "index": 0,
    "sha256": _SHA,
    "probabilities": {"PNEUMONIA": 0.902646},
    "predicted": {"balanced": "PNEUMONIA"},
    "novelty": 0.7133,
    "rejected": False,
    "indeterminate": [],
    "metadata": {"format": "jpeg", "width": 224, "height": 224},
}
_FAILURE = {
    "index": 1,
    "sha256": _SHA,
    "error": {"code": "truncated", "title": "the file ends too early"},
}


def _object(properties: Mapping[str, Any], *optional: str) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required}


def _text(pattern: str | None = None) -> Json:
    return {"type": "string"} if pattern is None else {"type": "string", "pattern": pattern}


_HASH = _text("^[0-9a-f]{64}$")
_NUMBER: Json = {"type": "number"}
_MAYBE_NUMBER: Json = {"type": ["number", "null"]}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_TEXTS: Json = {"type": "array", "items": _text()}
_BUNDLE = _object({"name": _text(), "id": _HASH, "version": _text()})
_PICTURE = _text("^data:image/png;base64,")
_ANSWERED = _object(
    {
        "index": {"type": "integer", "minimum": 0},
        "sha256": _HASH,
        "probabilities": {
            "type": "object",
            "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "predicted": {"type": "object", "additionalProperties": _text()},
        "novelty": _MAYBE_NUMBER,
        "rejected": {"type": "boolean"},
        "indeterminate": _TEXTS,
        "metadata": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
        "images": {
            "type": "object",
            "properties": dict.fromkeys(PICTURES, _PICTURE),
            "additionalProperties": False,
        },
    },
    "images",
)
_FAILED = _object(
    {
        "index": {"type": "integer", "minimum": 0},
        "sha256": _HASH,
        "error": _object({"code": {"enum": sorted(PROBLEMS)}, "title": _text()}),
    }
)
_ITEM: Json = {"oneOf": [_ANSWERED, _FAILED]}
_PROBLEM = _object(
    {
        "type": _text(),
        "title": _text(),
        "status": {"type": "integer"},
        "code": {"enum": sorted(PROBLEMS)},
        "detail": _text(),
    },
    "detail",
)
_INTERVAL: Json = {
    "oneOf": [
        {"type": "null"},
        _object({"value": _NUMBER, "low": _MAYBE_NUMBER, "high": _MAYBE_NUMBER}),
    ]
}
_MODEL = _object(
    {
        "bundle": _BUNDLE,
        "default": {"type": "boolean"},
        "task": _object(
            {
                "kind": {"enum": ["binary", "multiclass", "multilabel"]},
                "labels": _TEXTS,
                "classes": _TEXTS,
            }
        ),
        "pixels": {"type": "object"},
        "operating_points": {"type": "array", "items": {"type": "object"}},
        "indeterminate": {"type": "object"},
        "rejection": {"type": ["object", "null"]},
        "assumed_prevalence": _MAYBE_TEXT,
        "training_prevalence": {"type": ["number", "object", "null"]},
        "has_activation_map": {"type": "boolean"},
        "trained_on": {"type": "object"},
        "tested_on": {
            "oneOf": [
                {"type": "null"},
                _object(
                    {
                        "dataset": _text(),
                        "images": {"type": ["integer", "null"]},
                        "patients": {"type": ["integer", "null"]},
                        "auroc": _INTERVAL,
                        "points": {"type": "object"},
                    }
                ),
            ]
        },
        "report": _MAYBE_TEXT,
        "card": _text(),
        "notice": _text(),
    }
)


def _problems(*codes: str) -> dict[int | str, Any]:
    """Return the responses of these codes, several of one status together."""
    by_status: dict[int, list[str]] = {}
    everywhere = ("bad-request", "unauthorized", "forbidden-host", "internal", "deadline")
    for code in (*codes, *everywhere):
        by_status.setdefault(PROBLEMS[code][0], []).append(code)
    return {
        status: {
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


def _route(tag: str, summary: str, content: Json, *codes: str, **more: Any) -> Json:
    return {
        "tags": [tag],
        "summary": summary,
        "responses": {
            200: {"description": more.pop("told", "The answer."), "content": content},
            **_problems(*codes),
        },
        **more,
    }


def _json(schema: Json, example: Any) -> Json:
    return {"application/json": {"schema": schema, "example": example}}


def _parameter(name: str, words: str, schema: Json, example: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": words,
        "schema": schema,
        "example": example,
    }


_PARAMETERS = [
    _parameter("bundle", "Name of the bundle; the default one if absent.", _text(), "swift"),
    _parameter(
        "include",
        f"Pictures to send along, split by commas: {', '.join(PICTURES)}.",
        _text(f"^(({'|'.join(PICTURES)})(,({'|'.join(PICTURES)}))*)?$"),
        "seen,heatmap",
    ),
    _parameter("label", "Label of the heat map; the likeliest if absent.", _text(), "PNEUMONIA"),
]
_FILE: Json = {"type": "string", "format": "binary"}
_FORM: Json = {
    MULTIPART: {
        "schema": {
            "type": "object",
            "description": "One file part for each image; fields may have any name.",
            "properties": {"file": {"type": "array", "items": _FILE, "minItems": 1}},
            "required": ["file"],
        }
    }
}
_RAW: Json = {kind: {"schema": _FILE} for kind in RAW_TYPES}

_OF_REQUEST = (
    *("bad-multipart", "no-images", "forbidden-origin", "no-such-bundle", "body-timeout"),
    *("body-too-large", "too-many-images", "unsupported-media-type", "bad-parameter"),
    *("no-such-label", "busy", "no-decoder", "stopping", "audit-unavailable"),
)
_OF_IMAGE = (
    *("empty", "truncated", "corrupt", "not-an-image", "unsupported-format", "needs-codec"),
    *("no-pixels", "too-large", "too-many-frames", "no-such-frame", "unreadable"),
    *("out-of-memory", "decoder-failed", "decoder-died", "decoder-timeout", "wrong-content-type"),
)

PREDICTIONS = _route(
    "predictions",
    "Answer for one image or several",
    _json(
        _object({"bundle": _BUNDLE, "predictions": {"type": "array", "items": _ITEM}}),
        {"bundle": _IDENTITY, "predictions": [_SUCCESS, _FAILURE]},
    ),
    *_OF_REQUEST,
    *_OF_IMAGE,
    told="One item for each image, in their order. A multipart request is answered with 200 even "
    "where images could not be read; each says so itself.",
    openapi_extra={
        "parameters": _PARAMETERS,
        "requestBody": {"required": True, "content": {**_FORM, **_RAW}},
    },
)
STREAM = _route(
    "predictions",
    "Answer for many images, each as soon as it is done",
    {
        "application/x-ndjson": {
            "schema": {"type": "string", "description": "One JSON object a line."},
            "example": '{"index": 3, "sha256": "...", "probabilities": {"PNEUMONIA": 0.9}}\n',
        }
    },
    *_OF_REQUEST,
    told="One line an image, in the order in which they are done; `index` says which. A line with "
    "`status` and no `index` is a problem that ended the request.",
    openapi_extra={
        "parameters": _PARAMETERS,
        "requestBody": {"required": True, "content": _FORM},
    },
)
MODEL = _route(
    "bundles",
    "What a bundle tells apart, its limits, and how it was tested",
    {"application/json": {"schema": _MODEL}},
    "no-such-bundle",
    "bad-parameter",
)
BUNDLES = _route(
    "bundles",
    "The bundles that are served",
    _json(
        _object(
            {
                "bundles": {
                    "type": "array",
                    "items": _object(
                        {"name": _text(), "id": _HASH, "default": {"type": "boolean"}}
                    ),
                }
            }
        ),
        {"bundles": [{"name": "swift", "id": _ID, "default": True}]},
    ),
)
_PAGE: Json = {"text/html": {"schema": _text()}}
REPORT = _route(
    "bundles", "The report of its evaluation", _PAGE, "no-such-bundle", "no-report", "bad-parameter"
)
CARD = _route("bundles", "Its model card", _PAGE, "no-such-bundle", "bad-parameter")
_STATUS = _object({"status": _text()})
HEALTH = _route("operation", "Is the process alive?", _json(_STATUS, {"status": "alive"}))
READY = _route(
    "operation",
    "Should requests be sent here?",
    _json(_STATUS, {"status": "ready"}),
    "no-decoder",
    "stopping",
)
METRICS = _route(
    "operation", "Counters, in the text format of Prometheus", {"text/plain": {"schema": _text()}}
)
