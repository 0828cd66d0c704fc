"""Failures of requests: a stable code, an HTTP status and a title (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from plainfilm.inference.codes import IMAGE_CODES, SERVER_CODES, InferenceError

PROBLEM_TYPE = "application/problem+json"

PROBLEMS: MappingProxyType[str, tuple[int, str]] = MappingProxyType(
    {
        # The status of a request with one raw image; otherwise the error of one item.
        **{code: (422, title) for code, title in IMAGE_CODES.items()},
        "wrong-content-type": (415, IMAGE_CODES["wrong-content-type"]),
        # Errors of the request.
        "bad-request": (400, "the request is not valid HTTP"),
        "bad-parameter": (422, "a parameter has an invalid value"),
        "bad-multipart": (400, "the multipart body is not valid"),
        "no-images": (400, "the request contains no image"),
        "unauthorized": (401, "a valid token is required"),
        "forbidden-host": (403, "this host name is not allowed"),
        "forbidden-origin": (403, "requests from other sites are not allowed"),
        "not-found": (404, "this path does not exist"),
        "no-such-bundle": (404, "there is no bundle with this name"),
        "no-report": (404, "this bundle has no report"),
        "method-not-allowed": (405, "this path does not support the method"),
        "body-timeout": (408, "the body of the request arrived too slowly"),
        "body-too-large": (413, "the request exceeds the size limit"),
        "too-many-images": (413, "the number of images exceeds the limit"),
        "unsupported-media-type": (415, "this content type is not supported"),
        "no-such-label": (422, "the model does not have this label"),
        "headers-too-large": (431, "the headers exceed the size limit"),
        "busy": (429, SERVER_CODES["busy"]),
        # Errors of the service.
        "internal": (500, "internal error"),
        "too-many-connections": (503, "the limit of open connections is reached"),
        "deadline": (504, "the request exceeded the time limit"),
        **{code: (503, title) for code, title in SERVER_CODES.items() if code != "busy"},
    }
)
"""Code to status and title. Codes are never renamed; see docs/reference/http-api.md."""

_RETRY = dict.fromkeys(("busy", "too-many-connections"), "1")
_RETRY |= dict.fromkeys(("no-decoder", "stopping", "audit-unavailable"), "5")


class Problem(InferenceError):
    """A failure as an HTTP answer, with additional headers."""

    def __init__(
        self, code: str, detail: str | None = None, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, detail)
        self.status = PROBLEMS[code][0]
        self.headers = dict(headers or {})
        if code in _RETRY:
            self.headers.setdefault("retry-after", _RETRY[code])
        if code == "unauthorized":
            self.headers.setdefault("www-authenticate", 'Bearer realm="plainfilm"')

    @classmethod
    def of(cls, error: InferenceError, headers: Mapping[str, str] | None = None) -> Problem:
        """Return the HTTP form of an error of the inference engine."""
        return cls(error.code, error.detail, headers=headers)

    @property
    def title(self) -> str:
        """Title of the code."""
        return PROBLEMS[self.code][1]

    def messages(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the answer as ASGI messages."""
        content = self.body()
        headers = {
            "content-type": PROBLEM_TYPE,
            "content-length": str(len(content)),
            **self.headers,
        }
        raw = [(name.lower().encode(), text.encode("latin-1")) for name, text in headers.items()]
        return (
            {"type": "http.response.start", "status": self.status, "headers": raw},
            {"type": "http.response.body", "body": content},
        )

    def body(self) -> bytes:
        """Return the JSON body."""
        content: dict[str, object] = {"type": "about:blank", "title": self.title}
        content |= {"status": self.status, "code": self.code}
        if self.detail is not None:
            content["detail"] = self.detail
        return json.dumps(content).encode()
