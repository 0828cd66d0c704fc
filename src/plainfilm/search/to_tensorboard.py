"""Writes runs as event files of TensorBoard."""

from __future__ import annotations

import shutil
import tempfile
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
    writer_of = require("tensorboardX", "tensorboard").SummaryWriter
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
        writer = writer_of(str(temporary))
        _write(writer, export)
        writer.close()
        for path in temporary.glob("events.*"):
            path.rename(temporary / _EVENTS)
        _files.write_json(temporary / _CONTENT, content)
        temporary.chmod(0o755)
        shutil.rmtree(place, ignore_errors=True)
        temporary.rename(place)
    except OSError as error:
        raise _files.explain_oserror(error, place) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return "updated" if there else "new"


def _write(writer: Any, export: Export) -> None:
    for name, series in export.series.items():
        for step, value in series:
            writer.add_scalar(name, value, step)
    rows = [f"| {key} | {value} |" for key, value in export.params.items()]
    writer.add_text("parameters", "\n".join(["| parameter | value |", "|---|---|", *rows]))
    for name, path in export.artifacts.items():
        if path.suffix == ".png":
            image = np.asarray(Image.open(path).convert("RGB"))
            writer.add_image(name.removesuffix(path.suffix), image, dataformats="HWC")
        elif path.suffix == ".md":
            writer.add_text(name, path.read_text(encoding="utf-8"))
