"""Backend and precision are chosen before Keras is imported, with clear errors.

Each case runs in a new process, because this one may have imported a backend.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from plainfilm.errors import ConfigError
from plainfilm.training import BACKENDS, choose_backend, choose_precision
from plainfilm.training.backend import cpu_has_bfloat16

INSTALLED = [name for name in BACKENDS if importlib.util.find_spec(name)]
MISSING = [name for name in BACKENDS if name not in INSTALLED]


def choose(expected: str | None, variable: str | None = None, hide: tuple[str, ...] = ()) -> str:
    """Return the backend that a new process chooses, or the error that it raises."""
    code = f"""
import sys
for name in {hide!r}:
    sys.modules[name] = None
from plainfilm.errors import PlainfilmError
from plainfilm.training import choose_backend
try:
    print(choose_backend({expected!r}))
except PlainfilmError as error:
    print(type(error).__name__, str(error).replace(chr(10), " "))
assert "keras" not in sys.modules or sys.modules["keras"] is None
"""
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    if variable is not None:
        environment["KERAS_BACKEND"] = variable
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not INSTALLED, reason="no backend is installed")
def test_the_default_is_the_first_installed_backend() -> None:
    assert choose(None) == INSTALLED[0]


@pytest.mark.skipif(not INSTALLED, reason="no backend is installed")
def test_an_argument_overrides_the_environment_variable() -> None:
    assert choose(INSTALLED[0], "theano") == INSTALLED[0]
    assert choose(None, INSTALLED[-1]) == INSTALLED[-1]


def test_unknown_backends() -> None:
    output = choose("theano")
    assert output.startswith("ConfigError there is no backend 'theano'")
    assert "tensorflow, jax, torch" in output
    output = choose(None, "openvino")
    assert output.startswith("ConfigError KERAS_BACKEND")
    assert "'openvino'" in output


def test_no_backend_is_installed() -> None:
    output = choose(None, hide=BACKENDS)
    assert output.startswith("MissingExtraError")
    assert "pip install '.[train]'" in output


@pytest.mark.parametrize(
    ("name", "extra"), [("tensorflow", "train"), ("jax", "jax"), ("torch", "torch")]
)
def test_the_given_backend_is_not_installed(name: str, extra: str) -> None:
    for output in (choose(name, hide=(name,)), choose(None, name, hide=(name,))):
        assert output.startswith(f"MissingExtraError the backend {name} is not installed")
        assert f"pip install '.[{extra}]'" in output


def test_a_running_backend_cannot_be_changed() -> None:
    keras = pytest.importorskip("keras")
    running = keras.backend.backend()
    assert choose_backend() == choose_backend(running) == running
    other = next(name for name in BACKENDS if name != running)
    with pytest.raises(ConfigError, match=f"already runs on {running}") as caught:
        choose_backend(other)
    assert f"KERAS_BACKEND={other}" in str(caught.value)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_given_precision_is_used(precision: str) -> None:
    assert choose_precision(precision, "any backend") == precision


@pytest.mark.parametrize("backend", INSTALLED)
def test_auto_is_bfloat16_where_the_machine_gains(backend: str) -> None:
    chosen = choose_precision("auto", backend)
    assert chosen in {"float32", "bfloat16"}
    if backend == "tensorflow":
        import tensorflow

        if not tensorflow.config.list_physical_devices("GPU"):
            assert (chosen == "bfloat16") == cpu_has_bfloat16()


@pytest.mark.parametrize("backend", INSTALLED)
def test_float32_is_computed_in_full_on_a_gpu(backend: str) -> None:
    """The setting that rounds products on a GPU is off inside, and as before outside."""
    code = f"""
from plainfilm.training import backend
backend.use_backend({backend!r})
backend.has_accelerator = lambda name: True
def rounds():
    if {backend!r} == "jax":
        import jax
        return jax.config.jax_default_matmul_precision != "highest"
    if {backend!r} == "torch":
        import torch
        return torch.backends.cudnn.allow_tf32
    import tensorflow as tf
    return tf.config.experimental.tensor_float_32_execution_enabled()
before = rounds()
with backend.full_float32():
    inside = rounds()
print(before, inside, rounds())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "False", "True"]
