"""Every image once in each epoch, in an order that depends only on seed and epoch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("keras")

import keras
from keras import ops

from plainfilm.config import AUGMENTATIONS, AugmentConfig
from plainfilm.data import Manifest, fill_cache
from plainfilm.models import TONES
from plainfilm.records import PixelSpec, Record, Task
from plainfilm.training import feed as module
from plainfilm.training.feed import Batch, Feed, images_of

SIDE = 8


def make(
    n: int, batch: int, *, seed: int = 0, augment: AugmentConfig = AUGMENTATIONS["radiograph"]
) -> Feed:
    """Return a feed of images whose pixels and label are the number of the image."""
    images = np.repeat(np.arange(n, dtype=np.uint8), SIDE * SIDE).reshape(n, SIDE, SIDE)

    def gather(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return images[indices]

    labels = (np.arange(n) % 2).astype(np.float32)[:, None]
    return Feed(gather, labels, augment, SIDE, batch, seed)


def numbers(batches: list[Batch]) -> list[int]:
    return [int(image[0, 0, 0]) for batch in batches for image in batch.images]


def same(a: Batch, b: Batch) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("images", "transforms", "tones", "labels")
    )


@pytest.mark.parametrize(("n", "batch", "steps"), [(12, 4, 3), (13, 4, 4), (3, 8, 1), (1, 4, 1)])
def test_every_image_occurs_once_and_the_last_batch_is_filled(
    n: int, batch: int, steps: int
) -> None:
    feed = make(n, batch)
    assert feed.steps == steps
    batches = list(feed.epoch(0))
    assert len(batches) == steps
    for one in batches:
        assert one.images.shape == (batch, SIDE, SIDE, 1)
        assert one.images.dtype == np.uint8
        assert one.transforms.shape == (batch, 8)
        assert one.tones.shape == (batch, TONES)
        assert one.labels.shape == (batch, 1)
        assert one.labels.dtype == np.float32
    seen = numbers(batches)
    assert sorted(seen[:n]) == list(range(n))
    # The last batch is filled up with the first images of the epoch.
    assert seen[n:] == [seen[i % n] for i in range(steps * batch - n)]
    assert max(Counter(seen).values()) <= -(-steps * batch // n)


def test_labels_go_with_their_images() -> None:
    for batch in make(40, 7).epoch(3):
        assert np.array_equal(batch.images[:, 0, 0, 0] % 2, batch.labels[:, 0])


def test_epochs_and_seeds_have_different_orders() -> None:
    first = numbers(list(make(40, 8).epoch(0)))
    assert first != sorted(first)
    assert numbers(list(make(40, 8).epoch(1))) != first
    assert numbers(list(make(40, 8, seed=1).epoch(0))) != first
    assert numbers(list(make(40, 8).epoch(0))) == first


def test_seed_and_epoch_are_not_interchangeable() -> None:
    a = next(make(40, 8, seed=1).epoch(2))
    b = next(make(40, 8, seed=2).epoch(1))
    assert not same(a, b)


@pytest.mark.parametrize("first", [0, 1, 3, 5])
def test_a_later_first_step_gives_the_same_batches(first: int) -> None:
    feed = make(45, 8)
    whole = list(feed.epoch(4))
    part = list(feed.epoch(4, first))
    assert len(part) == feed.steps - first
    assert all(same(a, b) for a, b in zip(whole[first:], part, strict=True))


def test_an_image_is_augmented_differently_in_each_epoch() -> None:
    feed = make(10, 10)
    first, second = next(feed.epoch(0)), next(feed.epoch(1))
    rows = {}
    for batch in (first, second):
        for number, row in zip(batch.images[:, 0, 0, 0], batch.transforms, strict=True):
            rows.setdefault(int(number), []).append(row.tobytes())
    assert all(len(set(pair)) == 2 for pair in rows.values())


def test_images_are_read_in_their_step_only() -> None:
    asked: list[int] = []

    def gather(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        asked.append(len(indices))
        return np.zeros((len(indices), SIDE, SIDE), np.uint8)

    feed = Feed(gather, np.zeros((20, 1), np.float32), AugmentConfig(), SIDE, 5, 0)
    batches = feed.epoch(0, 2)
    next(batches)
    assert asked == [5]


@pytest.mark.parametrize("place", ["memory", "shards", "device"])
def test_images_in_memory_cache_and_device_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    rng = np.random.default_rng(0)
    records = []
    for number in range(9):
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(path)
        records.append(Record(id=path.name, path=str(path), labels=(1.0,), patient=path.name))
    task = Task("binary", ("b",), ("a", "b"))
    manifest = Manifest(name="drawn", task=task, records=tuple(records))
    cache = fill_cache(manifest, PixelSpec(16), folder=tmp_path / "cache", workers=0)
    # On a machine with too little memory, and on one with a GPU.
    monkeypatch.setattr(module, "memory_bytes", lambda: 0x1000 if place == "shards" else 2**34)
    monkeypatch.setattr(module, "has_accelerator", lambda _: place == "device")
    gather = images_of(cache, keras.backend.backend())
    assert (gather == cache.gather) == (place == "shards")
    order = np.array([5, 0, 8, 8, 3])
    got = gather(order)
    assert isinstance(got, np.ndarray) == (place != "device")
    assert np.array_equal(ops.convert_to_numpy(got), cache.all()[order])
    labels = np.zeros((9, 1), np.float32)
    [batch] = Feed(gather, labels, AUGMENTATIONS["none"], 16, 9, 0).epoch(0)
    assert tuple(batch.images.shape) == (9, 16, 16, 1)
