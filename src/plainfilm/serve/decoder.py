"""A decoding process of the service: bytes in, the network's image and pictures for people out.

What goes over its pipes: a JSON line, the bytes of the file; back come a JSON line and the bytes
that it announces. The file is never on a disk, and what decodes it can open none to write.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from plainfilm._files import hash_bytes
from plainfilm.decoding.decode import Failure, attempt, clean_metadata
from plainfilm.decoding.sandbox import cap_memory, open_output
from plainfilm.pixels import Limits, read_image, read_picture
from plainfilm.pixels.display import encode_png, shrink
from plainfilm.records import PixelSpec

__all__ = ["Answer", "decode", "serve"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A file that became an image: what it says, its pixels, the whole picture (PNG), its hash."""

    metadata: dict[str, str | float]
    pixels: bytes
    original: bytes = b""
    sha256: str = ""


def decode(data: bytes, spec: PixelSpec, limits: Limits, original: bool) -> Answer | Failure:
    """Decode one file; every failure is an answer."""

    def read() -> Answer:
        image = read_image(data, spec, limits=limits)
        whole = b""
        if original:
            whole = encode_png(shrink(read_picture(data, limits=limits, frame=spec.frame).pixels))
        return Answer(clean_metadata(image.metadata), image.pixels.tobytes(), whole)

    return attempt(read)


def serve() -> None:
    """Decode what standard input asks for until it ends: the life of a worker."""
    answers = open_output()
    with contextlib.suppress(ValueError):
        # Whoever stops the service may signal all its processes: accepted images come first.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    questions = sys.stdin.buffer
    order = json.loads(questions.readline())
    limits = Limits(**order["limits"])
    _warm_up()
    _lock_down()
    cap_memory(order["memory"])
    answers.write(b"ready\n")
    answers.flush()
    while line := questions.readline():
        _answer(json.loads(line), questions, limits, answers)


def _answer(
    asked: Mapping[str, Any], questions: BinaryIO, limits: Limits, answers: BinaryIO
) -> None:
    data = questions.read(asked["bytes"])
    found = decode(data, PixelSpec(**asked["spec"]), limits, asked["original"])
    if isinstance(found, Failure):
        answers.write(
            json.dumps({"reason": found.reason, "problem": found.problem}).encode() + b"\n"
        )
    else:
        told: dict[str, object] = {"pixels": len(found.pixels), "original": len(found.original)}
        told["sha256"] = hash_bytes(data)
        answers.write(json.dumps({"metadata": found.metadata, **told}).encode() + b"\n")
        answers.write(found.pixels)
        answers.write(found.original)
    answers.flush()


def _warm_up() -> None:
    """Load what the first files would load, while there is time and no cap."""
    import plainfilm.pixels.dicom  # noqa: F401

    decode(encode_png(np.zeros((8, 8), np.uint8)), PixelSpec(8), Limits(), original=True)


def _lock_down() -> None:
    """Let this process write no file and leave no image of its memory behind."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
