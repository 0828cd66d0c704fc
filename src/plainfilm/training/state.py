"""The resumable state of a training: one file, replaced atomically, read back exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm import _files
from plainfilm._optional import require
from plainfilm.errors import RunError

__all__ = [
    "Progressed",
    "load_state",
    "part_weights",
    "read_weights",
    "save_state",
    "weights_to_bytes",
]

_NUMBER = re.compile(r"_[0-9]+(?=/|$)")


@dataclass(slots=True)
class Progressed:
    """How far a training has come.

    Attributes
    ----------
    epoch, step
        The next step to take, both from 0.
    history
        One row a finished epoch.
    best_epoch, best_value
        The best epoch so far (1 is the first) and what it was judged by.
    seconds
        Wall time spent so far.
    loss_sum, accuracy_sum
        Over the steps of the epoch that is under way.
    """

    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float | None = None
    seconds: float = 0.0
    loss_sum: float = 0.0
    accuracy_sum: float = 0.0


def _named(variables: Iterable[Any]) -> dict[str, Any]:
    # The place in the list makes names unique; the path makes a mismatch readable. Keras numbers
    # what it names itself (seed_generator_7) by what the process has made before; it is left out.
    return {
        f"{place:04d}:{_NUMBER.sub('', variable.path)}": variable
        for place, variable in enumerate(variables)
    }


def weights_to_bytes(variables: Iterable[Any], metadata: dict[str, str] | None = None) -> bytes:
    """Return Keras variables as the bytes of a safetensors file."""
    from keras import ops

    safetensors = require("safetensors.numpy", "train")
    tensors = {
        name: np.array(ops.convert_to_numpy(variable), order="C")
        for name, variable in _named(variables).items()
    }
    data: bytes = safetensors.save(tensors, metadata=metadata)
    return data


def read_weights(data: bytes, variables: Iterable[Any], what: str) -> None:
    """Assign what `weights_to_bytes` wrote.

    Raises
    ------
    RunError
        If the names or shapes are not those of ``variables``; ``what`` names the file.
    """
    safetensors = require("safetensors.numpy", "train")
    try:
        tensors = safetensors.load(data)
    except Exception as error:  # safetensors raises one class of its own, not exported everywhere
        raise RunError(f"{what} is damaged", received=str(error)) from error
    named = _named(variables)
    shapes = {name: tuple(variable.shape) for name, variable in named.items()}
    found = {name: tuple(array.shape) for name, array in tensors.items()}
    if shapes != found:
        odd = sorted(set(shapes.items()) ^ set(found.items()))
        raise RunError(
            f"{what}: made for another network",
            received=f"{len(odd)} weights differ, first {odd[0]}",
            remedy="choose another run folder, or delete this one",
        )
    for name, variable in named.items():
        variable.assign(tensors[name])


def part_weights(data: bytes, prefix: str) -> bytes:
    """Return the tensors whose names begin with ``prefix``, without it, as a file of their own."""
    safetensors = require("safetensors.numpy", "train")
    tensors = {
        name.removeprefix(prefix): array
        for name, array in safetensors.load(data).items()
        if name.startswith(prefix)
    }
    own: bytes = safetensors.save(tensors)
    return own


def save_state(path: Path, variables: Iterable[Any], progressed: Progressed) -> None:
    """Write weights, optimiser and progress as one file, so that they cannot disagree."""
    metadata = {"progress": json.dumps(asdict(progressed))}
    _files.write_bytes(path, weights_to_bytes(variables, metadata))


def load_state(path: Path, variables: Iterable[Any]) -> Progressed:
    """Restore what `save_state` wrote; a fresh `Progressed` where there is no file.

    Raises
    ------
    RunError
        If the file is damaged or of another network.
    """
    if not path.exists():
        return Progressed()
    data = path.read_bytes()
    read_weights(data, variables, str(path))
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    try:
        return Progressed(**json.loads(header["__metadata__"]["progress"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path} is damaged: it does not say how far the training was", received=repr(error)
        ) from error
