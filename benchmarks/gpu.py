"""How fast are training and scoring on a GPU?

    python benchmarks/gpu.py --backend torch          # or jax, or tensorflow
    python benchmarks/gpu.py --backend jax --recipes swift --seeds 3

Says so and ends where the backend finds no GPU. Otherwise: ``plainfilm train`` as a whole process,
with an empty cache, on all of `kermany224` (without evaluation), the seconds of the fit itself and
its images a second, and the bound: what a product of two bfloat16 matrices says this GPU could do,
divided by three times the multiplications of the network's convolutions. Scoring: the Keras model's
forward pass on the GPU, images resident, batches of 1,024. Needs the images of PLAINFILM_DATA
(``kermany224`` in it) and the backend's build for the GPU.

What it last showed is in docs/reference/performance.md.
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
    """Train, score, print the table."""
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
        print(f"{args.backend} finds no GPU on this machine: nothing was measured")
        return 0
    print(f"{machine()}; {device}; {args.backend}\n")
    rows = [measure(args, recipe) for recipe in args.recipes]
    heads = ["recipe", "whole process", "the fit", "images a second", "of the bound"]
    print(table([*heads, "scoring, images a second"], rows))
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
    """Train from several seeds, and score with the last."""
    whole, fits, speeds = [], [], []
    answer: dict[str, float] = {}
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
            answer = json.loads(process(own)[2].splitlines()[-1])
    return [
        recipe,
        spread(whole, " s", 1),
        spread(fits, " s", 1),
        spread(speeds, "", 0),
        f"{max(speeds) / answer['bound']:.0%}",
        f"{answer['scoring']:,.0f}",
    ]


def score(backend: str, recipe: str, run: Path) -> dict[str, float]:
    """Return images a second of the forward pass, and the bound of training."""
    import numpy as np
    from keras import ops

    from plainfilm.training.networks import load_network

    network = load_network(run, backend=backend)
    size = network.input.shape[1]
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 1), dtype=np.uint8)
    resident = ops.convert_to_tensor(pixels)
    compiled = compiled_of(backend, network)
    scoring = BATCH / best(lambda: ops.convert_to_numpy(compiled(resident)))
    products = sum(
        int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3]))
        for layer in network.layers
        if hasattr(layer, "standardised_kernel")
    )
    side = 8192
    matrix = ops.cast(ops.ones((side, side)), "bfloat16")
    multiply = compiled_of(backend, lambda a: ops.cast(ops.matmul(a, a)[0, 0], "float32"))
    seconds = best(lambda: ops.convert_to_numpy(multiply(matrix)))
    return {"scoring": scoring, "bound": 2 * side**3 / seconds / (6 * products)}


def compiled_of(backend: str, work: Any) -> Any:
    """Return a function compiled by the backend's own means."""
    if backend == "jax":
        import jax

        return jax.jit(lambda x: work(x))
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda x: work(x))
    import torch

    return torch.inference_mode()(lambda x: work(x))


def best(work: Any) -> float:
    """Return the least seconds of ten, after three that are not counted."""
    times = []
    for _ in range(13):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times[3:])


if __name__ == "__main__":
    sys.exit(main())
