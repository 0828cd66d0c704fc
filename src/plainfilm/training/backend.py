"""Which Keras backend and which precision: settled before Keras is imported."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plainfilm._optional import install_hint, require
from plainfilm.errors import ConfigError, MissingExtraError

__all__ = [
    "BACKENDS",
    "backend_is_running",
    "choose_backend",
    "choose_precision",
    "cpu_has_bfloat16",
    "has_accelerator",
    "spare",
    "use_backend",
]

BACKENDS = ("tensorflow", "jax", "torch")

_spared: tuple[str, ...] = ()


def spare(*packages: str) -> None:
    """Have Keras and TensorFlow imported without packages that they can do without.

    For a process that uses nothing of what those are for, such as a command: where matplotlib is
    installed, Keras imports it for its galleries, which takes a seventh of its whole import.
    """
    global _spared
    _spared = packages


def choose_backend(wanted: str | None = None) -> str:
    """Return the backend that will train, without importing it.

    That is ``wanted``; else what Keras already runs on; else ``KERAS_BACKEND``; else the first of
    `BACKENDS` that is installed.

    Raises
    ------
    ConfigError
        If there is no such backend, or Keras already runs on another.
    MissingExtraError
        If it is not installed, or none is.
    """
    if wanted is not None and wanted not in BACKENDS:
        raise ConfigError(
            f"there is no backend {wanted!r}", remedy=f"choose one of: {', '.join(BACKENDS)}"
        )
    running = _running()
    if running is not None:
        if wanted not in (None, running):
            raise ConfigError(
                f"Keras already runs on {running} in this process; it cannot change to {wanted}",
                remedy=f"start a new process, with KERAS_BACKEND={wanted}",
            )
        return running
    name = wanted or os.environ.get("KERAS_BACKEND")
    if name is None:
        name = next((b for b in BACKENDS if importlib.util.find_spec(b)), None)
        if name is None:
            raise MissingExtraError(
                "training needs Keras and a backend, and none is installed",
                remedy=install_hint("train"),
            )
    if name not in BACKENDS:
        raise ConfigError(
            f"KERAS_BACKEND names no backend that plainfilm trains on: {name!r}",
            remedy=f"set it to one of: {', '.join(BACKENDS)}",
        )
    if importlib.util.find_spec(name) is None:
        extra = "train" if name == "tensorflow" else name
        raise MissingExtraError(f"the backend {name} is not installed", remedy=install_hint(extra))
    return name


def use_backend(wanted: str | None = None) -> str:
    """Import Keras on the chosen backend and return the backend's name."""
    name = choose_backend(wanted)
    if _running() is None:
        os.environ["KERAS_BACKEND"] = name
        # TensorFlow's start-up banner is of no use to anybody who trains.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with _nothing_collected(), _hidden(_spared):
            require("keras", "train")
    return name


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Import without the garbage collector, and keep it off what was imported.

    A framework makes a million objects that stay for good. Looking through them again and again
    takes a quarter of the time of importing TensorFlow, and some of each first step.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


@contextmanager
def _hidden(packages: tuple[str, ...]) -> Iterator[None]:
    """Let packages that are not imported yet seem not to be installed."""
    gone = [package for package in packages if package not in sys.modules]
    modules: dict[str, Any] = sys.modules  # None is no module: it makes the import fail
    modules.update(dict.fromkeys(gone))
    try:
        yield
    finally:
        for package in gone:
            modules.pop(package, None)


def backend_is_running() -> bool:
    """Return whether Keras is imported already."""
    return _running() is not None


def choose_precision(wanted: str, backend: str) -> str:
    """Resolve ``auto`` to ``bfloat16`` or ``float32``.

    bfloat16 pays on a GPU, and on a CPU with matrix units for it when TensorFlow or PyTorch, whose
    kernels use them, computes; XLA's CPU kernels (JAX) only lose.
    """
    if wanted != "auto":
        return wanted
    if has_accelerator(backend):
        return "bfloat16"
    return "bfloat16" if backend != "jax" and cpu_has_bfloat16() else "float32"


def cpu_has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 natively; False where it does not say."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def _running() -> str | None:
    keras = sys.modules.get("keras")
    name: str | None = keras.backend.backend() if keras is not None else None
    return name


_DEVICES = ("nvidia0", "nvidiactl", "kfd", "dxg", "accel", "accel0", "vfio")


def has_accelerator(backend: str) -> bool:
    """Return whether a backend computes on a GPU or TPU."""
    # To ask the backend is to import it, which takes seconds. Where Linux shows no device file of a
    # GPU or TPU (NVIDIA's, AMD's, Windows' for its guests, Google's) there is nothing to ask for.
    if sys.platform == "linux" and not any(Path("/dev", name).exists() for name in _DEVICES):
        return False
    module: Any = require(backend, "train" if backend == "tensorflow" else backend)
    if backend == "tensorflow":
        return bool(module.config.list_physical_devices("GPU"))
    if backend == "jax":
        return str(module.default_backend()) != "cpu"
    return bool(module.cuda.is_available())
