"""Chooses the Keras backend and the precision, before Keras is imported."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plainfilm._optional import install_hint, require
from plainfilm.errors import ConfigError, MissingExtraError
from plainfilm.training.startup import fast_import

BACKENDS = ("tensorflow", "jax", "torch")


def choose_backend(name: str | None = None) -> str:
    """Return the backend for training, without importing it.

    The first of these that is given: ``name``, the backend that Keras runs on, the environment
    variable ``KERAS_BACKEND``, the first installed one of `BACKENDS`.

    Raises
    ------
    ConfigError
        If there is no such backend, or Keras already runs on another.
    MissingExtraError
        If it is not installed, or none is.
    """
    if name is not None and name not in BACKENDS:
        raise ConfigError(
            f"there is no backend {name!r}", remedy=f"choose one of: {', '.join(BACKENDS)}"
        )
    running = _running()
    if running is not None:
        if name not in (None, running):
            raise ConfigError(
                f"Keras already runs on {running} in this process; it cannot change to {name}",
                remedy=f"start a new process, with KERAS_BACKEND={name}",
            )
        return running
    name = name or os.environ.get("KERAS_BACKEND")
    if name is None:
        name = next((own for own in BACKENDS if importlib.util.find_spec(own)), None)
        if name is None:
            raise MissingExtraError(
                "training needs Keras and a backend, and none is installed",
                remedy=install_hint("train"),
            )
    if name not in BACKENDS:
        raise ConfigError(
            f"KERAS_BACKEND is not a backend that plainfilm trains on: {name!r}",
            remedy=f"set it to one of: {', '.join(BACKENDS)}",
        )
    if importlib.util.find_spec(name) is None:
        raise MissingExtraError(
            f"the backend {name} is not installed", remedy=install_hint(_extra(name))
        )
    return name


def use_backend(name: str | None = None) -> str:
    """Import Keras on the chosen backend and return the name of the backend."""
    name = choose_backend(name)
    if not backend_is_running():
        os.environ["KERAS_BACKEND"] = name
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # without TensorFlow's banner
        with fast_import():
            require("keras", "train")
    return name


def backend_is_running() -> bool:
    """Return whether Keras is imported."""
    return _running() is not None


def choose_precision(precision: str, backend: str, network: str = "compact") -> str:
    """Resolve ``auto`` to ``bfloat16`` or ``float32`` for a network.

    bfloat16 is faster on a GPU. On a CPU with matrix units for it, it is faster with TensorFlow and
    PyTorch, whose kernels use them, but slower with JAX, and for networks with depthwise
    convolutions, which have no such kernels.
    """
    if precision != "auto":
        return precision
    if has_accelerator(backend):
        return "bfloat16"
    faster = backend != "jax" and network in ("compact", "tutorial") and cpu_has_bfloat16()
    return "bfloat16" if faster else "float32"


def cpu_has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 natively; False where this is unknown."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


_DEVICES = ("nvidia0", "nvidiactl", "kfd", "dxg", "accel", "accel0", "vfio")


def has_accelerator(backend: str) -> bool:
    """Return whether a backend computes on a GPU or TPU."""
    # Importing a backend takes seconds. It is not needed where Linux has no device file of a GPU or
    # TPU: NVIDIA's, AMD's, that of Windows Subsystem for Linux, Google's.
    if not _may_have_accelerator():
        return False
    module: Any = require(backend, _extra(backend))
    if backend == "tensorflow":
        return bool(module.config.list_physical_devices("GPU"))
    if backend == "jax":
        return str(module.default_backend()) != "cpu"
    return bool(module.cuda.is_available())


def _may_have_accelerator() -> bool:
    return sys.platform != "linux" or any(Path("/dev", name).exists() for name in _DEVICES)


def precision_by_subprocess(precision: str, backend: str, network: str) -> str:
    """Return what `choose_precision` does, but let no backend take memory of a GPU for it here."""
    if precision != "auto" or not _may_have_accelerator():
        return choose_precision(precision, backend, network)
    code = f"print(choose_precision{(precision, backend, network)!r})"
    done = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import choose_precision; {code}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "float32"


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute float32 on a GPU in full precision, as the sealed graph does.

    By default GPUs round the factors of a product to 10 bits (TF32). Logits then differ by a
    thousandth from those of the sealed graph.
    """
    backend = _running()
    if backend is None or not has_accelerator(backend):
        yield
    elif backend == "jax":
        with require("jax", "jax").default_matmul_precision("highest"):
            yield
    elif backend == "torch":
        backends: Any = require("torch", "torch").backends
        before = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
        backends.cudnn.allow_tf32 = backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = before
    else:
        config: Any = require("tensorflow", "train").config.experimental
        enabled = config.tensor_float_32_execution_enabled()
        config.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            config.enable_tensor_float_32_execution(enabled)


def _running() -> str | None:
    keras = sys.modules.get("keras")
    name: str | None = keras.backend.backend() if keras is not None else None
    return name


def _extra(backend: str) -> str:
    return "train" if backend == "tensorflow" else backend
