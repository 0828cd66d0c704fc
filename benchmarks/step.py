"""Measures training steps in images per second, and compares them with an upper bound.

    python benchmarks/step.py                      # swift and standard, three rounds
    python benchmarks/step.py --recipes swift --rounds 5

All programs train the same network on random batches of 64. Each runs in a separate process, all
programs in turn in each round:

- ours: `plainfilm.training.fit.fit`, as in ``plainfilm train``, on each backend; the time of an
  epoch includes saving the state and validating on 64 images;
- plain Keras: ``model.fit`` on arrays in memory with default settings, and three of its
  augmentation layers (flip, rotation, zoom);
- native PyTorch: the network in torch.nn, channels last, bfloat16 autocast, fused AdamW,
  augmentation by one ``grid_sample`` and noise; eager and compiled; and with Muon for the filters,
  as its authors publish it (the optimiser of our recipes);
- upper bound: the measured speed of a product of two matrices in the same precision, divided by
  three times the multiplications of the convolutions of the network.

PyTorch has a separate environment, created on first use. Results are in
docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _measure import ROOT, bars, machine, peer, process, spread, table

BATCH = 64
IMAGES = {"swift": 4096, "standard": 768}
PROGRAMS = {
    "ours, TensorFlow": ("ours", "tensorflow"),
    "ours, JAX": ("ours", "jax"),
    "ours, PyTorch": ("ours", "torch"),
    "plain Keras, TensorFlow": ("keras", "tensorflow"),
    "native PyTorch": ("torch", "eager"),
    "native PyTorch, compiled": ("torch", "compiled"),
    "native PyTorch, Muon": ("torch", "muon"),
    "upper bound": ("bound", "tensorflow"),
}


def main() -> int:
    """Run every program in turn, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--recipes", nargs="+", choices=list(IMAGES), default=list(IMAGES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument("--plot", type=Path, help="output file of a plot (SVG or PNG)")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        program, how, recipe = args.worker
        print(json.dumps(WORKERS[program](how, recipe)))
        return 0
    print(machine())
    panels: dict[str, dict[str, list[float]]] = {}
    for recipe in args.recipes:
        speeds: dict[str, list[float]] = {name: [] for name in args.only}
        for _ in range(args.rounds):
            for name in args.only:
                speeds[name].append(measure(*PROGRAMS[name], recipe))
        print(f"\n{recipe}, images/s:\n")
        first = speeds[args.only[0]]
        rows = [
            [name, spread(own, "", 0), ratio(own, first), len(own)] for name, own in speeds.items()
        ]
        print(
            table(["program", "median (range)", f"program / {args.only[0]}", "rounds"], rows),
            flush=True,
        )
        panels[f"{recipe}: training, images/s"] = speeds
    if args.plot:
        bars(args.plot, panels, "ours")
    return 0


def ratio(own: list[float], first: list[float]) -> str:
    """Return median and range of the ratio in each round."""
    return spread([a / b for a, b in zip(own, first, strict=True)])


def measure(program: str, how: str, recipe: str) -> float:
    """Return the images per second of one program in a separate process."""
    python: str | Path = sys.executable
    if "torch" in (program, how):
        python = peer("torch", "torch==2.13.0", "-e", f"{ROOT}[torch]")
    backend = {"KERAS_BACKEND": how} if how in ("tensorflow", "jax", "torch") else {}
    command = [python, __file__, "--worker", program, how, recipe]
    return float(json.loads(process(command, **backend)[2].splitlines()[-1]))


def ours(backend: str, recipe_name: str) -> float:
    """Return the speed of the faster of epochs 2 and 3 on random arrays."""
    import csv

    import numpy as np

    from plainfilm.config import load_recipe
    from plainfilm.records import Task
    from plainfilm.training import choose_precision, use_backend

    use_backend(backend)
    from plainfilm.training.feed import Feed
    from plainfilm.training.fit import fit
    from plainfilm.training.training_images import ValidationSet

    recipe = load_recipe(recipe_name, ["epochs=3", f"batch={BATCH}"])
    images, labels = drawn(IMAGES[recipe_name], recipe.input.size)
    feed = Feed(lambda rows: images[rows], labels, recipe.augment, recipe.input.size, BATCH, 0)
    task = Task("binary", ("b",), ("a", "b"))
    with tempfile.TemporaryDirectory() as folder:
        fit(
            recipe,
            task,
            feed,
            ValidationSet(images[:64], np.resize(np.float32([0, 1]), (64, 1)), ["p"] * 64),
            Path(folder),
            precision=choose_precision("auto", backend),
        )
        with open(Path(folder) / "history.csv", newline="", encoding="utf-8") as file:
            ends = [float(row["seconds"]) for row in csv.DictReader(file)]
    return len(images) / min(ends[2] - ends[1], ends[1] - ends[0])


def plain(_: str, recipe_name: str) -> float:
    """Return the speed of Keras with default settings."""
    import keras
    from keras import layers

    from plainfilm.config import load_recipe
    from plainfilm.models import build_network

    recipe = load_recipe(recipe_name)
    images, labels = drawn(IMAGES[recipe_name], recipe.input.size)
    network = build_network(recipe.network.name, recipe.input.size, 1, recipe.network.options)
    model = keras.Sequential(
        [
            keras.Input((recipe.input.size, recipe.input.size, 1)),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(6 / 360),
            layers.RandomZoom(0.1),
            network,
        ]
    )
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-3), loss, metrics=["accuracy"])
    return best_of(lambda: model.fit(images[..., None], labels, BATCH, 1, verbose=0), len(images))


def native(how: str, recipe_name: str) -> float:
    """Return the speed of PyTorch without Keras."""
    import torch
    from torch.nn.functional import affine_grid, binary_cross_entropy_with_logits, grid_sample

    from plainfilm.config import load_recipe

    recipe = load_recipe(recipe_name)
    size = recipe.input.size
    options = {"channels": (32, 64, 128), "stem": 1, **recipe.network.options}
    torch.manual_seed(0)
    network = torch_network(options["channels"], options["stem"])
    network = network.to(memory_format=torch.channels_last)
    filters = [p for p in network.parameters() if p.ndim == 4] if how == "muon" else []
    rest = [p for p in network.parameters() if all(p is not one for one in filters)]
    optimiser = torch.optim.AdamW(rest, 1e-3, fused=True)
    move_filters = torch_muon(filters)
    pixels, truth = drawn(IMAGES[recipe_name], size)
    images, labels = torch.from_numpy(pixels[:, None]), torch.from_numpy(truth)
    moves = torch.eye(2, 3).repeat(len(images), 1, 1) + 0.05 * torch.randn(len(images), 2, 3)

    def step(x: Any, y: Any, move: Any) -> Any:
        x = x.float()
        grid = affine_grid(move, x.shape, align_corners=False)
        x = grid_sample(x, grid, align_corners=False)
        x = ((x - 128) * 1.1 + 128).clamp(0, 255) + 3 * torch.randn_like(x)
        mean, deviation = x.mean((1, 2, 3), True), x.std((1, 2, 3), keepdim=True)
        x = ((x - mean) / (deviation + 1e-3)).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x)
        loss = binary_cross_entropy_with_logits(logits.float(), y)
        loss.backward()
        return loss

    taken = torch.compile(step) if how == "compiled" else step

    def epoch() -> None:
        for at in range(0, len(images), BATCH):
            part = slice(at, at + BATCH)
            optimiser.zero_grad(set_to_none=True)
            loss = taken(images[part], labels[part], moves[part])
            if how != "muon":  # our recipes do not clip gradients with Muon either
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            move_filters()
            float(loss)

    return best_of(epoch, len(images))


def torch_muon(filters: list[Any]) -> Any:
    """Return a function that updates filters (out, in, height, width) by their gradients.

    K. Jordan et al., 2024: five iterations in bfloat16, one bank of filters after another.
    """
    import torch

    momenta = [torch.zeros_like(one) for one in filters]

    @torch.no_grad()
    def step() -> None:
        for one, momentum in zip(filters, momenta, strict=True):
            momentum.mul_(0.95).add_(one.grad)
            x = one.grad.add(momentum, alpha=0.95).flatten(1).bfloat16()
            turned = x.shape[0] > x.shape[1]
            x = x.T if turned else x
            x = x / (x.norm() + 1e-7)
            for _ in range(5):
                gram = x @ x.T
                x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
            x = x.T if turned else x
            one.mul_(1 - 1e-4).add_(x.reshape(one.shape), alpha=-1e-3 * max(x.shape) ** 0.5)

    return step


def torch_network(channels: Any, stem: int) -> Any:
    """Return the network `compact` in PyTorch layers."""
    import torch
    from torch import nn
    from torch.nn.functional import avg_pool2d, conv2d, relu

    class Convolution(nn.Conv2d):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.gain = nn.Parameter(torch.ones(self.out_channels))

        def forward(self, x: Any) -> Any:
            kernel = self.weight - self.weight.mean((1, 2, 3), True)
            power = (kernel * kernel).sum((1, 2, 3), True)
            gain = (self.gain * 1.7139588594446636)[:, None, None, None]
            kernel = kernel * torch.rsqrt(power + 1e-4) * gain
            return conv2d(x, kernel, self.bias, self.stride, self.padding)

    class Residual(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            self.stride = stride
            self.first = Convolution(before, width, 3, stride, 1)
            self.second = Convolution(width, width, 3, 1, 1)
            self.factor = nn.Parameter(torch.tensor(0.2))
            self.shortcut = Convolution(before, width, 1) if before != width else nn.Identity()

        def forward(self, x: Any) -> Any:
            kept = self.shortcut(avg_pool2d(x, self.stride) if self.stride > 1 else x)
            y = self.second(relu(self.first(x)))
            return relu(kept + y * self.factor.to(y.dtype))

    parts: list[Any] = []
    width = 1
    for number in range(1, stem + 1):
        wider = channels[0] // 2 ** (stem - number)
        parts += [Convolution(width, wider, 3, 2, 1), nn.ReLU()]
        width = wider
    for stage, wider in enumerate(channels):
        parts.append(Residual(width, wider, 2 if stage else 1))
        width = wider
    parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1)]
    return nn.Sequential(*parts)


def bound(_: str, recipe_name: str) -> float:
    """Return the upper bound of images per second, in the precision of `auto`."""
    import tensorflow as tf

    from plainfilm.config import load_recipe
    from plainfilm.models import build_network
    from plainfilm.training import choose_precision

    recipe = load_recipe(recipe_name)
    network = build_network(recipe.network.name, recipe.input.size, 1, recipe.network.options)
    products = 0
    for layer in network.layers:
        if hasattr(layer, "standardised_kernel"):
            products += int(layer.kernel.shape.num_elements()) * area(layer)
    precision = choose_precision("auto", "tensorflow")
    side = 3072
    matrix = tf.cast(tf.random.normal((side, side)), precision)
    multiply = tf.function(lambda a: tf.linalg.matmul(a, a))
    seconds = min(timed(lambda: multiply(matrix)[0, 0].numpy()) for _ in range(6))
    return 2 * side**3 / seconds / (3 * 2 * products)


def area(layer: Any) -> int:
    """Return the number of positions of a convolution."""
    _, height, width, _ = layer.output.shape
    return int(height) * int(width)


def drawn(count: int, size: int) -> tuple[Any, Any]:
    """Return random images (n, size, size) and labels (n, 1)."""
    import numpy as np

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, size, size), dtype=np.uint8)
    return pixels, rng.integers(0, 2, (count, 1)).astype(np.float32)


def best_of(epoch: Any, images: int) -> float:
    """Return images per second of the best of three epochs, after a warm-up epoch."""
    epoch()
    return images / min(timed(epoch) for _ in range(3))


def timed(work: Any) -> float:
    """Return the seconds that ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


WORKERS = {"ours": ours, "keras": plain, "torch": native, "bound": bound}

if __name__ == "__main__":
    sys.exit(main())
