"""Stable codes of the failures that a client of any server may see.

Clients read only the texts in this module: an answer never repeats the content of a file or shows
how the server works inside.
"""

from __future__ import annotations

from types import MappingProxyType

IMAGE_CODES = MappingProxyType(
    {
        "empty": "the file is empty",
        "truncated": "the file ends too early",
        "corrupt": "the file is damaged",
        "not-an-image": "the content is not in a supported image format",
        "unsupported-format": "this variant of the image format is not supported",
        "needs-codec": "the server cannot decompress this DICOM file",
        "no-pixels": "the file contains no image",
        "too-large": "the image exceeds the size limit",
        "too-many-frames": "the number of frames exceeds the limit",
        "no-such-frame": "the image does not have the frame that the model uses",
        "unreadable": "the file cannot be read",
        "out-of-memory": "decoding the image exceeds the memory limit",
        "decoder-failed": "the image cannot be decoded",
        "decoder-died": "decoding the image crashes the decoding process",
        "decoder-timeout": "decoding the image exceeds the time limit",
        "invalid-output": "the model returns values that are not probabilities",
        "wrong-content-type": "the content does not match its declared type",
    }
)
"""Failures of one image: code to title."""

SERVER_CODES = MappingProxyType(
    {
        "busy": "the server is at its limit; try again later",
        "no-decoder": "no decoding process is available",
        "audit-unavailable": "the audit log cannot be written",
        "stopping": "the server is stopping",
    }
)
"""Failures of the server itself: code to title."""


class InferenceError(Exception):
    """A failure with a stable code.

    ``detail`` is a remedy, or the limit that was exceeded; never text from a client.
    """

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail

    @property
    def title(self) -> str:
        """Title of the code."""
        return (IMAGE_CODES | SERVER_CODES)[self.code]


class FileError(InferenceError):
    """The reason why one file has no prediction; ``sha256`` is the hash of the file."""

    def __init__(self, error: InferenceError, sha256: str) -> None:
        super().__init__(error.code, error.detail)
        self.sha256 = sha256


def image_error(reason: str) -> InferenceError:
    """Return the error of an image from the reason of its ``ImageError``."""
    known = reason in IMAGE_CODES or reason == "no-decoder"
    return InferenceError(reason if known else "unreadable")
