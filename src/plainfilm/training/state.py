"""Saves and restores the state of a training, and weights as safetensors files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm import _files
from plainfilm._optional import require
from plainfilm.errors import RunError
from plainfilm.training.group import Group

HISTORY: tuple[str, ...] = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_auroc")
HISTORY += ("learning_rate", "seconds")
"""Columns of the history, which has one row for each epoch."""

_MOST = 1 << 40
_AGAIN = "train again, into another folder"
_NUMBER = re.compile(r"_[0-9]+(?=/|$)")


@dataclass(slots=True)
class TrainingState:
    """Progress of a training.

    ``epoch`` and ``step`` are the next ones, from 0; ``best_epoch`` counts from 1. The sums are
    over the steps of the current epoch.
    """

    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    accuracy_sum: float = 0.0


def weights_to_bytes(variables: Iterable[Any], metadata: dict[str, str] | None = None) -> bytes:
    """Return Keras variables as the bytes of a safetensors file."""
    from keras import ops

    tensors = {
        name: np.array(ops.convert_to_numpy(variable), order="C")
        for name, variable in _named(variables).items()
    }
    data: bytes = require("safetensors.numpy", "train").save(tensors, metadata=metadata)
    return data


def read_weights(
    data: bytes, variables: Iterable[Any], source: str, *, ignored: Iterable[Any] = ()
) -> None:
    """Assign the weights that `weights_to_bytes` returned, except to the ``ignored`` variables.

    A RunError, with the name ``source``, is raised if names or shapes of ``variables`` differ.
    """
    try:
        tensors = require("safetensors.numpy", "train").load(data)
    except Exception as error:  # not every version exports the error class of safetensors
        raise RunError(f"{source} is damaged", received=str(error), remedy=_AGAIN) from error
    named, skipped = _named(variables), {id(variable) for variable in ignored}
    for name in [name for name, variable in named.items() if id(variable) in skipped]:
        del named[name]
        tensors.pop(name, None)
    expected = {(name, tuple(variable.shape)) for name, variable in named.items()}
    differing = sorted(expected ^ {(name, tuple(array.shape)) for name, array in tensors.items()})
    if differing:
        raise RunError(
            f"{source} is of another network",
            received=f"{len(differing)} weights differ, first {differing[0]}",
            remedy="choose another run folder, or delete this one",
        )
    for name, variable in named.items():
        variable.assign(tensors[name])


def part_weights(data: bytes, prefix: str) -> bytes:
    """Return the tensors whose names begin with ``prefix``, without it, as a separate file."""
    safetensors = require("safetensors.numpy", "train")
    tensors = {
        name.removeprefix(prefix): array
        for name, array in safetensors.load(data).items()
        if name.startswith(prefix)
    }
    part: bytes = safetensors.save(tensors)
    return part


def save_state(path: Path, variables: Iterable[Any], state: TrainingState) -> None:
    """Write weights, optimiser and progress as one file, so that they always agree."""
    metadata = {"progress": json.dumps(asdict(state))}
    _files.write_bytes(path, weights_to_bytes(variables, metadata))


def load_state(path: Path, variables: Iterable[Any], group: Group | None = None) -> TrainingState:
    """Restore what `save_state` wrote; return a new `TrainingState` if there is no file.

    All ranks of a ``group`` receive the state of rank 0, the only one that reads the file.
    """
    group = group or Group()
    data = group.broadcast(read_file(path) if group.rank == 0 and path.exists() else None)
    if data is None:
        return TrainingState()
    read_weights(data, variables, str(path))
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        progress = json.loads(header["__metadata__"]["progress"])
        keys = {*progress}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged: it has no progress", received=repr(error)[:200], remedy=_AGAIN
        ) from error
    if keys != {one.name for one in fields(TrainingState)}:
        raise RunError(
            f"{path} was written by another version of plainfilm, which trains differently",
            received=f"progress of {', '.join(sorted(map(str, keys)))}"[:200],
            remedy=_AGAIN,
        )
    _check_progress(path, progress)
    return TrainingState(**progress)


def read_file(path: Path) -> bytes:
    """Return the content of a file of a run."""
    try:
        return _files.read_regular(path, _MOST)
    except OSError as error:
        raise RunError(
            f"{path} cannot be read", received=_files.reason_of(error), remedy=_AGAIN
        ) from error


def _check_progress(path: Path, progress: dict[str, Any]) -> None:
    """Raise a RunError for progress that no training can have."""
    whole = [progress[name] for name in ("epoch", "step", "best_epoch")]
    sums = [progress[name] for name in ("seconds", "loss_sum", "accuracy_sum")]
    history = progress["history"]
    if not (
        all(type(number) is int and number >= 0 for number in whole)
        and all(type(number) in (int, float) for number in sums)
        and isinstance(history, list)
        and len(history) >= progress["best_epoch"]
        and all(isinstance(row, dict) and {*row} == {*HISTORY} for row in history)
        and all(type(cell) in (int, float) for row in history for cell in row.values())
    ):
        raise RunError(f"{path} is damaged: its progress is impossible", remedy=_AGAIN)


def _named(variables: Iterable[Any]) -> dict[str, Any]:
    # The position makes names unique, and the path makes differences readable. Keras numbers some
    # names (seed_generator_7) by what the process created before, so the numbers are removed.
    return {
        f"{position:04d}:{_NUMBER.sub('', variable.path)}": variable
        for position, variable in enumerate(variables)
    }
