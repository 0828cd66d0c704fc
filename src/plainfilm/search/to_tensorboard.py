"""Writes runs as event files of TensorBoard."""

from __future__ import annotations

import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from plainfilm import _files
from plainfilm._optional import require
from plainfilm.search.export import Export
from plainfilm.search.to_mlflow import Outcome

_EVENTS = "events.out.tfevents.plainfilm"  # otherwise it would have the name of this machine
_CONTENT = "plainfilm.json"  # next to the event file: what it was made from


def write_events(export: Export, folder: Path) -> Outcome:
    """Write an event file of a run to a folder of its own below ``folder``.

    The folder is replaced as a whole, so that no value is shown twice.

    Raises
    ------
    StorageError
        If the folder is not writable.
    """
    require("tensorboardX", "tensorboard")
    place = folder / export.name.replace("/", "-") / export.id[:12]
    content = {"run": export.id, "content": export.content}
    there = place.is_dir()
    try:
        if there and _files.read_json(place / _CONTENT) == content:
            return "unchanged"
    except (OSError, ValueError):
        pass  # an earlier call was interrupted
    _files.make_folder(place.parent)
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=place.parent))
    try:
        # The SummaryWriter writes in a thread, and waits for ever when the disk is full.
        _files.write_bytes(temporary / _EVENTS, b"".join(map(_record, _events(export))))
        _files.write_json(temporary / _CONTENT, content)
        temporary.chmod(0o755)
        shutil.rmtree(place, ignore_errors=True)
        temporary.rename(place)
    except OSError as error:
        raise _files.explain_oserror(error, place) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return "updated" if there else "new"


def _record(data: bytes) -> bytes:
    """Return a record of an event file: the length and the data, each with a checksum."""
    crc = require("tensorboardX.record_writer", "tensorboard").masked_crc32c
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", crc(length)) + data + struct.pack("<I", crc(data))


def _events(export: Export) -> Iterator[bytes]:
    event_of = require("tensorboardX.proto.event_pb2", "tensorboard").Event
    summary = require("tensorboardX.summary", "tensorboard")

    def event(content: Any, step: int | None = None) -> bytes:
        message = event_of(wall_time=time.time(), step=step, summary=content)
        return bytes(message.SerializeToString())

    first = event_of(wall_time=time.time(), file_version="brain.Event:2")
    yield bytes(first.SerializeToString())
    for name, series in export.series.items():
        for step, value in series:
            yield event(summary.scalar(name, value), step)
    rows = [f"| {key} | {value} |" for key, value in export.params.items()]
    yield event(
        summary.text("parameters", "\n".join(["| parameter | value |", "|---|---|", *rows]))
    )
    for name, path in export.artifacts.items():
        if path.suffix == ".png":
            image = np.asarray(Image.open(path).convert("RGB"))
            yield event(summary.image(name.removesuffix(path.suffix), image, dataformats="HWC"))
        elif path.suffix == ".md":
            yield event(summary.text(name, path.read_text(encoding="utf-8")))
