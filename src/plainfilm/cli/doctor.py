"""Say what is installed, what will be used, and what is missing for what."""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
from typing import Any

EXAMPLE = "plainfilm doctor"

_FOR = {
    "predict and evaluate": (None, ("numpy", "PIL", "pydicom", "onnxruntime", "pyarrow", "scipy")),
    "report": (None, ("matplotlib",)),
    "train on TensorFlow": ("train", ("keras", "tensorflow", "onnx", "safetensors")),
    "train on JAX": ("jax", ("keras", "jax", "onnx", "safetensors")),
    "train on PyTorch": ("torch", ("keras", "torch", "onnx", "safetensors")),
    "compressed DICOM": ("dicom", ("pylibjpeg", "libjpeg", "openjpeg")),
    "fetch public data": ("fetch", ("kagglehub",)),
}
_PACKAGES = (
    "plainfilm",
    "numpy",
    "pillow",
    "pydicom",
    "onnxruntime",
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "jax",
    "torch",
    "onnx",
    "pylibjpeg",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``plainfilm doctor``."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Carry out ``plainfilm doctor``."""
    told = examine()
    if args.json:
        print(json.dumps(told, indent=2))
        return 0
    from plainfilm.cli.terminal import table

    machine = told["machine"]
    rows = [
        ("plainfilm", told["versions"].get("plainfilm", "not installed")),
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        (
            "machine",
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB",
        ),
        ("accelerator", told["accelerator"] or "none found"),
        ("backend", told["backend"] or "none installed"),
        ("precision", told["precision"] or ""),
        ("patient keys", f"salt: {told['salt']}"),
    ]
    print(table([row for row in rows if row[1]]))
    print("\ncan it")
    print(
        table(
            [
                (f"  {what}", "yes" if not need["missing"] else f"no: {need['remedy']}")
                for what, need in told["for"].items()
            ]
        )
    )
    print("\nversions")
    print(table([(f"  {name}", version) for name, version in told["versions"].items()]))
    return 0


def examine() -> dict[str, Any]:
    """Return everything that ``plainfilm doctor`` shows."""
    from plainfilm._machine import describe_machine, versions
    from plainfilm.cli.terminal import hushed_libraries
    from plainfilm.data.identity import where_is_salt
    from plainfilm.errors import PlainfilmError
    from plainfilm.training import choose_backend, choose_precision

    backend = precision = accelerator = None
    try:
        backend = choose_backend()
        with hushed_libraries():
            precision = choose_precision("auto", backend)
            accelerator = _accelerator(backend)
    except PlainfilmError as error:
        accelerator = None
        problem: str | None = str(error)
    else:
        problem = None
    return {
        "machine": describe_machine(),
        "backend": backend,
        "precision": precision,
        "accelerator": accelerator,
        "salt": where_is_salt(),
        "problem": problem,
        "for": {what: _need(extra, modules) for what, (extra, modules) in _FOR.items()},
        "versions": versions(*_PACKAGES),
    }


def _need(extra: str | None, modules: tuple[str, ...]) -> dict[str, Any]:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    wanted = f'pip install "plainfilm[{extra}]"' if extra else "pip install plainfilm"
    return {"missing": missing, "remedy": wanted if missing else None}


def _accelerator(backend: str) -> str | None:
    """Name the device that the backend would compute on, if it is not the CPU."""
    if backend == "tensorflow":
        import tensorflow

        found = tensorflow.config.list_physical_devices("GPU")
        return f"{len(found)} GPU ({backend})" if found else None
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        return None if device.platform == "cpu" else f"{device.device_kind} ({backend})"
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
