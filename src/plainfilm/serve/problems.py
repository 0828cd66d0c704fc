"""Every failure that a client may see: a stable code, a status and a sentence (RFC 9457).

What a client reads is written here and nowhere else, so no answer can tell of the inside or repeat
what was in a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["PROBLEMS", "PROBLEM_TYPE", "Problem", "item_error", "problem_of_image"]

PROBLEM_TYPE = "application/problem+json"

PROBLEMS: MappingProxyType[str, tuple[int, str]] = MappingProxyType(
    {
        # Of an image: for one raw image the status, otherwise the error of one item.
        "empty": (422, "the file is empty"),
        "truncated": (422, "the file ends too early"),
        "corrupt": (422, "the file is damaged"),
        "not-an-image": (422, "the content is none of the image formats that are read"),
        "unsupported-format": (422, "this image format is not read"),
        "needs-codec": (422, "the compression of this DICOM file is not read here"),
        "no-pixels": (422, "the file holds no picture"),
        "too-large": (422, "the image is larger than the service reads"),
        "too-many-frames": (422, "the image has more frames than the service reads"),
        "no-such-frame": (422, "the image has not the frame that the model looks at"),
        "unreadable": (422, "the file cannot be read"),
        "out-of-memory": (422, "decoding the image takes more memory than it may"),
        "decoder-failed": (422, "the image cannot be decoded"),
        "decoder-died": (422, "the image ends whatever decodes it"),
        "decoder-timeout": (422, "decoding the image takes longer than it may"),
        "wrong-content-type": (415, "the content is not what its declared type says"),
        # Of a request.
        "bad-request": (400, "the request cannot be understood"),
        "bad-parameter": (422, "a parameter has a value that it cannot have"),
        "bad-multipart": (400, "the multipart body cannot be understood"),
        "no-images": (400, "the request has no image"),
        "unauthorized": (401, "a token is needed"),
        "forbidden-host": (403, "the service is not known by this name"),
        "forbidden-origin": (403, "another site may not use this service"),
        "not-found": (404, "there is nothing here"),
        "no-such-bundle": (404, "there is no bundle of this name"),
        "no-report": (404, "this bundle comes without a report"),
        "method-not-allowed": (405, "this method does not exist here"),
        "body-timeout": (408, "the body took too long to arrive"),
        "body-too-large": (413, "the request is larger than the service takes"),
        "too-many-images": (413, "there are more images in the request than the service takes"),
        "unsupported-media-type": (415, "this content type is not taken"),
        "no-such-label": (422, "the model has not this label"),
        "headers-too-large": (431, "the headers are larger than the service takes"),
        "busy": (429, "the service has more to do than it may hold; try again later"),
        # Of the service.
        "internal": (500, "the service failed"),
        "no-decoder": (503, "no image can be decoded at the moment"),
        "too-many-connections": (503, "more connections are open than the service holds"),
        "stopping": (503, "the service is being stopped"),
        "audit-unavailable": (503, "the answer cannot be entered in the audit log"),
        "deadline": (504, "the answer took too long"),
    }
)
"""Code to status and title. Codes are never renamed; see docs/reference/http-api.md."""

_RETRY = MappingProxyType(
    {
        "busy": "1",
        "too-many-connections": "1",
        "no-decoder": "5",
        "stopping": "5",
        "audit-unavailable": "5",
    }
)


class Problem(Exception):
    """A failure with a stable code, as the client is told it.

    Parameters
    ----------
    code
        One of :data:`PROBLEMS`.
    detail
        What to do, or which limit it was. Written by us: never a client's words.
    headers
        Further headers.
    """

    def __init__(
        self, code: str, detail: str | None = None, *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail
        self.status, self.title = PROBLEMS[code]
        self.headers = dict(headers or {})
        if code in _RETRY:
            self.headers.setdefault("retry-after", _RETRY[code])
        if code == "unauthorized":
            self.headers.setdefault("www-authenticate", 'Bearer realm="plainfilm"')

    def with_headers(self, headers: Mapping[str, str]) -> Problem:
        """Return it with further headers."""
        self.headers |= headers
        return self

    def body(self) -> bytes:
        """Return the JSON of it."""
        content: dict[str, Any] = {"type": "about:blank", "title": self.title}
        content |= {"status": self.status, "code": self.code}
        if self.detail is not None:
            content["detail"] = self.detail
        return json.dumps(content).encode()


def problem_of_image(reason: str) -> Problem:
    """Return the problem of an image that was not read, by the reason of its error."""
    return Problem(reason if reason in PROBLEMS else "unreadable")


def item_error(problem: Problem) -> dict[str, str]:
    """Return the error of one item of many."""
    return {"code": problem.code, "title": problem.title}
