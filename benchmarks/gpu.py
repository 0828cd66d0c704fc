"""Measures training and prediction on a GPU.

    python benchmarks/gpu.py --backend torch          # or jax, or tensorflow
    python benchmarks/gpu.py --backend jax --recipes swift --seeds 3

Exits with a message if the backend finds no GPU. Training: ``plainfilm train`` as a separate
process with an empty cache, on `kermany224`, without evaluation; the table has the seconds of the
process and of the training loop, and images per second. The upper bound is the measured speed of a
product of two bfloat16 matrices, divided by three times the multiplications of the convolutions of
the network. Prediction: the forward pass of the Keras model with images in GPU memory, in batches
of 1,024. Needs the images of PLAINFILM_DATA (with ``kermany224``) and a GPU build of the backend.

Results are in docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _measure import machine, need, process, spread, table

BATCH = 1024


def main() -> int:
    """Train, predict, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--backend", choices=["tensorflow", "jax", "torch"], default="torch")
    parser.add_argument("--recipes", nargs="+", default=["swift", "standard"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["KERAS_BACKEND"] = args.backend
    if args.worker:
        name, run = args.worker
        print(json.dumps(score(args.backend, name, Path(run))))
        return 0
    device = gpu_of(args.backend)
    if device is None:
        print(f"{args.backend} finds no GPU on this machine; nothing was measured")
        return 0
    print(f"{machine()}; {device}; {args.backend}\n")
    rows = [measure(args, recipe) for recipe in args.recipes]
    heads = ["recipe", "process", "training loop", "images/s", "of the upper bound"]
    print(table([*heads, "prediction, images/s"], rows))
    return 0


def gpu_of(backend: str) -> str | None:
    """Return the name of the GPU that a backend computes on, or None."""
    import importlib.util

    if importlib.util.find_spec(backend) is None:
        return None
    if backend == "torch":
        import torch

        return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        return None if device.platform == "cpu" else str(device.device_kind)
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return str(found[0].name) if found else None


def measure(args: argparse.Namespace, recipe: str) -> list[str]:
    """Train with several seeds, and predict with the last."""
    whole, fits, speeds = [], [], []
    speed: dict[str, float] = {}
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as made:
            run = Path(made) / "run"
            command = [sys.executable, "-m", "plainfilm", "train", need("kermany224"), "--out", run]
            command += ["--recipe", recipe, "--seed", str(seed), "--cache", Path(made) / "cache"]
            seconds, _, _ = process([*command, "--backend", args.backend, "--no-evaluation"])
            text = (run / "bundle" / "bundle.json").read_text(encoding="utf-8")
            provenance = json.loads(text)["provenance"]
            rows = (run / "history.csv").read_text(encoding="utf-8").splitlines()[1:]
            whole.append(seconds)
            fits.append(float(provenance["training_seconds"]))
            speeds.append(len(rows) * provenance["train_images"] / fits[-1])
            own = [sys.executable, __file__, "--backend", args.backend, "--worker", recipe, run]
            speed = json.loads(process(own)[2].splitlines()[-1])
    return [
        recipe,
        spread(whole, " s", 1),
        spread(fits, " s", 1),
        spread(speeds, "", 0),
        f"{max(speeds) / speed['bound']:.0%}",
        f"{speed['prediction']:,.0f}",
    ]


def score(backend: str, recipe: str, run: Path) -> dict[str, float]:
    """Return images per second of the forward pass, and the upper bound of training."""
    import numpy as np
    from keras import ops

    from plainfilm.training.networks import load_network

    network = load_network(run, backend=backend)
    size = network.input.shape[1]
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 1), dtype=np.uint8)
    resident = ops.convert_to_tensor(pixels)
    compiled = compiled_of(backend, network)
    prediction = BATCH / best(lambda: ops.convert_to_numpy(compiled(resident)))
    products = sum(
        int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3]))
        for layer in network.layers
        if hasattr(layer, "standardised_kernel")
    )
    side = 8192
    matrix = ops.cast(ops.ones((side, side)), "bfloat16")
    multiply = compiled_of(backend, lambda a: ops.cast(ops.matmul(a, a)[0, 0], "float32"))
    seconds = best(lambda: ops.convert_to_numpy(multiply(matrix)))
    return {"prediction": prediction, "bound": 2 * side**3 / seconds / (6 * products)}


def compiled_of(backend: str, work: Any) -> Any:
    """Return a function, compiled by the backend."""
    if backend == "jax":
        import jax

        return jax.jit(lambda x: work(x))
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda x: work(x))
    import torch

    return torch.inference_mode()(lambda x: work(x))


def best(work: Any) -> float:
    """Return the minimum of ten times, after three warm-up calls."""
    times = []
    for _ in range(13):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times[3:])


if __name__ == "__main__":
    sys.exit(main())
