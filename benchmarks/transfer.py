"""Trains what a user would pick instead: published recipes for transfer learning.

    python benchmarks/transfer.py keras              # on the backend of KERAS_BACKEND
    python benchmarks/transfer.py timm --weights efficientnet-lite0.pth
    python benchmarks/transfer.py timm --steps 10    # only the speed of a step

``keras`` is TensorFlow's tutorial "Transfer learning and fine-tuning" with MobileNetV3Large: 160
pixels, flips and rotations, ten epochs of a new head on the frozen network (Adam, 1e-4), then ten
with all layers from the 100th (RMSprop, 1e-5). Its weights are downloaded; ``--weights`` is a file
of them, and without one they are random, which the output says.

``timm`` is fastai's ``fine_tune(4)`` on timm's ``tf_efficientnet_lite0`` in native PyTorch: 224
pixels, flips, rotations, zoom, warp and lighting; one epoch of the head at 2e-3, then four epochs
of all layers at rates from 1e-5 to 1e-3, each with a one-cycle schedule; AdamW, batches of 64.

Training images are the official training folder of ``kermany224``, less the patients of our
validation set. After the last epoch, and only then, the official test set is opened: accuracy at
0.5, AUROC. Needs the images of PLAINFILM_DATA; ``keras`` needs the extra ``train``, ``timm`` needs
torch, torchvision and timm. Results are in docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.data import fill_cache, load_dataset, make_splits
from plainfilm.metrics import roc_auc_score
from plainfilm.records import PixelSpec

ROOT = Path(__file__).resolve().parent.parent

Pixels = NDArray[np.uint8]
Labels = NDArray[np.float32]


def main() -> int:
    """Train one recipe, and print its row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", choices=["keras", "timm"])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--steps", type=int, help="time this number of steps, 8 or more, of each phase only"
    )
    args = parser.parse_args()
    data = Path(os.environ.get("PLAINFILM_DATA", ROOT.parent / "shared" / "data")) / "kermany224"
    if not data.is_dir():
        print(f"there are no images at {data}; set PLAINFILM_DATA", file=sys.stderr)
        return 1
    train = train_keras if args.recipe == "keras" else train_timm
    size = 160 if args.recipe == "keras" else 224
    images, labels = load(data, "train", size)
    began = time.perf_counter()
    predict, speeds = train(images, labels, args.weights, args.seed, args.steps)
    spent = time.perf_counter() - began
    given = "random weights" if args.weights is None else f"weights of {args.weights.name}"
    print(f"{args.recipe}, {given}, {len(images)} images: {spent:.0f} s")
    print("images/s: " + ", ".join(f"{name} {speed:.0f}" for name, speed in speeds.items()))
    if args.steps is None:
        images, labels = load(data, "test", size)
        began = time.perf_counter()
        scores = predict(images)
        speed = len(images) / (time.perf_counter() - began)
        accuracy = float(np.mean((scores > 0) == (labels > 0.5)))
        print(
            f"official test: AUROC {roc_auc_score(labels, scores):.4f}, accuracy at 0.5 "
            f"{accuracy:.4f}; prediction {speed:.0f} images/s"
        )
    return 0


def load(data: Path, split: Any, size: int) -> tuple[Pixels, Labels]:
    """Return the images (n, size, size) and labels (n,) of a split."""
    manifest = make_splits(load_dataset(data)).select(split)
    cache = fill_cache(manifest, PixelSpec(size))
    return cache.gather(cache.positions(manifest.records)), manifest.label_array()[:, 0]


def train_keras(
    images: Pixels, labels: Labels, weights: Path | None, seed: int, steps: int | None
) -> tuple[Any, dict[str, float]]:
    """Train as TensorFlow's tutorial does; return the function that predicts, and the speeds."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    base = keras.applications.MobileNetV3Large(
        input_shape=(160, 160, 3), include_top=False, weights=weights and str(weights)
    )
    base.trainable = False
    image = keras.Input((160, 160, 1))
    x = layers.RandomFlip("horizontal")(image)
    x = layers.RandomRotation(0.2)(x)
    x = base(layers.Concatenate()([x, x, x]), training=False)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, layers.Dense(1)(x))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    pixels, speeds = images[..., None], {}
    for name, optimiser in (
        ("head", keras.optimizers.Adam(1e-4)),
        ("all", keras.optimizers.RMSprop(1e-5)),
    ):
        if name == "all":
            base.trainable = True
            for layer in base.layers[:100]:
                layer.trainable = False
        model.compile(optimizer=optimiser, loss=loss)
        count = len(pixels) if steps is None else 32 * steps
        model.train_on_batch(pixels[:32], labels[:32])  # traces the graph
        began, epochs = time.perf_counter(), 10 if steps is None else 1
        model.fit(pixels[:count], labels[:count], batch_size=32, epochs=epochs, verbose=2)
        speeds[name] = epochs * count / (time.perf_counter() - began)
    return lambda some: model.predict(some[..., None], verbose=0)[:, 0], speeds


def train_timm(
    images: Pixels, labels: Labels, weights: Path | None, seed: int, steps: int | None
) -> tuple[Any, dict[str, float]]:
    """Train as fastai's ``fine_tune`` does; return the function that predicts, and the speeds."""
    import timm
    import torch
    from torchvision.transforms import v2

    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if weights is not None:
        given = torch.load(weights, map_location="cpu", weights_only=True)
        own = model.state_dict()  # the same tensors in the same order, under other names
        model.load_state_dict(dict(zip(own, given.values(), strict=True)))
    model.reset_classifier(1)
    model.to(device)
    augment = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(10, scale=(1.0, 1.1)),
            v2.RandomPerspective(0.2, 0.75),
            v2.ColorJitter(0.2, 0.2),
        ]
    )
    known = torch.tensor(images)[:, None]
    truth = torch.tensor(labels)
    order = np.random.default_rng(seed)

    def scaled(some: Any) -> Any:
        return (some.to(device).float() - 127).div_(128).expand(-1, 3, -1, -1)

    def phase(rates: list[tuple[Any, float]], epochs: int) -> float:
        groups = [{"params": list(part), "lr": rate} for part, rate in rates]
        optimiser = torch.optim.AdamW(groups, weight_decay=0.01, betas=(0.9, 0.99))
        total = steps or epochs * (len(known) // 64)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, [rate for _, rate in rates], total_steps=total, pct_start=0.25
        )
        began = time.perf_counter()
        rows = np.concatenate([order.permutation(len(known)) for _ in range(epochs)])
        model.train()
        for step in range(total):
            chosen = rows[64 * step : 64 * (step + 1)]
            batch = scaled(torch.stack([augment(known[row]) for row in chosen]))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                model(batch)[:, 0], truth[chosen].to(device)
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if step % 20 == 0:
                print(f"step {step} of {total}: loss {float(loss):.3f}", flush=True)
        return 64 * total / (time.perf_counter() - began)

    head = list(model.get_classifier().parameters())
    body = [one for one in model.parameters() if all(one is not own for own in head)]
    for parameter in body:
        parameter.requires_grad = False
    speeds = {"head": phase([(head, 2e-3)], 1)}
    for parameter in body:
        parameter.requires_grad = True
    early = len(body) // 2
    rates = [(body[:early], 1e-5), (body[early:], 1e-4), (head, 1e-3)]
    speeds["all"] = phase(rates, 4)

    def predict(some: Pixels) -> NDArray[np.float64]:
        model.eval()
        with torch.no_grad():
            parts = [
                model(scaled(torch.tensor(some[at : at + 64])[:, None]))[:, 0].cpu().numpy()
                for at in range(0, len(some), 64)
            ]
        return np.concatenate(parts).astype(np.float64)

    return predict, speeds


if __name__ == "__main__":
    sys.exit(main())
