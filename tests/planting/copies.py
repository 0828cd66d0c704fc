"""Copies: duplicates, contradicting labels, leaks between splits."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
from PIL import Image

from planting.folder import ImageFile, ImageFolder


def duplicate(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Copy files byte for byte, within split, class and patient."""
    pairs: list[tuple[str, ...]] = []
    for image in folder.choose(folder.candidates(), count, "exact-duplicate"):
        copy = _sibling(folder, image)
        folder.write(copy, folder.read(image))
        pairs.append((image.name, copy.name))
    return pairs


def reencode(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Copy images with another compression: other bytes, the same appearance."""
    pairs: list[tuple[str, ...]] = []
    quality = round(93 - 40 * strength)
    for image in folder.choose(folder.candidates(raster=True), count, "reencoded-duplicate"):
        copy = _sibling(folder, image)
        picture = folder.open(image)
        if image.file.lower().endswith(".png"):
            # PNG is lossless, so the copy goes through JPEG.
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=quality)
            picture = Image.open(buffer).convert(picture.mode)
        folder.save(copy, picture, quality=quality)
        pairs.append((image.name, copy.name))
    return pairs


def vary(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Copy images scaled, cropped slightly, and with other brightness and contrast."""
    pairs: list[tuple[str, ...]] = []
    for image in folder.choose(folder.candidates(raster=True), count, "near-duplicate"):
        copy = _sibling(folder, image)
        folder.save(copy, _vary(folder.rng, folder.open(image), strength))
        pairs.append((image.name, copy.name))
    return pairs


def _vary(rng: np.random.Generator, picture: Image.Image, strength: float) -> Image.Image:
    width, height = picture.size
    cut = 0.005 + 0.03 * strength
    left, top, right, bottom = rng.uniform(0.0, cut, 4)
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    factor = 1.0 + strength * rng.choice([-0.3, 0.35])
    size = (max(16, round(width * factor)), max(16, round(height * factor)))
    scaled = picture.resize(size, Image.Resampling.BICUBIC, box=box)
    contrast = 1.0 + strength * rng.uniform(-0.25, 0.25)
    brightness = strength * rng.uniform(-25.0, 25.0)
    values = (np.asarray(scaled, dtype=np.float32) - 128.0) * contrast + 128.0 + brightness
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def contradict(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Copy files byte for byte into the other class of the same split."""
    labels = folder.labels
    if len(labels) < 2:
        raise ValueError("contradicting labels need two classes")
    pairs: list[tuple[str, ...]] = []
    for image in folder.choose(folder.candidates(), count, "contradicting-label"):
        others = [label for label in labels if label != image.label]
        other = others[int(folder.rng.integers(len(others)))]
        copy = folder.new_file(image, split=image.split, label=other, same_patient=False)
        folder.write(copy, folder.read(image))
        pairs.append((image.name, copy.name))
    return pairs


def leak(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Copy training files byte for byte into another split, as images of a new patient."""
    training, others = _splits(folder, "leak-across-splits")
    pairs: list[tuple[str, ...]] = []
    found = folder.candidates(lambda image: image.split == training)
    for image in folder.choose(found, count, "leak-across-splits"):
        target = others[int(folder.rng.integers(len(others)))]
        copy = folder.new_file(image, split=target, label=image.label, same_patient=False)
        folder.write(copy, folder.read(image))
        pairs.append((image.name, copy.name))
    return pairs


def leak_patient(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Move one of several images of a training patient into another split."""
    training, others = _splits(folder, "patient-leak")
    found = folder.candidates(lambda image: image.split == training)
    images = Counter((image.label, image.patient) for image in found)
    first: dict[tuple[str, str], ImageFile] = {}
    for image in found:
        if images[image.label, image.patient] > 1:
            first.setdefault((image.label, image.patient), image)
    pairs: list[tuple[str, ...]] = []
    for moved in folder.choose(list(first.values()), count, "patient-leak"):
        stays = next(
            image
            for image in found
            if image != moved and (image.label, image.patient) == (moved.label, moved.patient)
        )
        target = others[int(folder.rng.integers(len(others)))]
        pairs.append((stays.name, folder.move(moved, target).name))
    return pairs


def _sibling(folder: ImageFolder, image: ImageFile) -> ImageFile:
    return folder.new_file(image, split=image.split, label=image.label, same_patient=True)


def _splits(folder: ImageFolder, flaw: str) -> tuple[str, list[str]]:
    first, *others = folder.splits
    if not others:
        raise ValueError(f"the flaw {flaw} needs two splits; there is only {first!r}")
    return first, others
