"""Flaws that are copies: duplicates, contradictions, leaks between splits."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
from PIL import Image

from plainfilm.errors import UsageError
from plainfilm.phantom.site import Place, Site

__all__ = ["contradict", "duplicate", "leak", "leak_patient", "reencode", "vary"]


def duplicate(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Copy files byte for byte, within split, class and patient."""
    pairs: list[tuple[str, ...]] = []
    for place in site.choose(site.candidates(), count, "exact-duplicate"):
        copy = _sibling(site, place)
        site.write(copy, site.read(place))
        pairs.append((place.name, copy.name))
    return pairs


def reencode(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Copy pictures with another compression: other bytes, the same to the eye."""
    pairs: list[tuple[str, ...]] = []
    quality = round(93 - 40 * strength)
    for place in site.choose(site.candidates(raster=True), count, "reencoded-duplicate"):
        copy = _sibling(site, place)
        picture = site.open(place)
        if place.file.lower().endswith(".png"):
            # PNG loses nothing by itself; a detour over JPEG is how such copies arise.
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=quality)
            picture = Image.open(buffer).convert(picture.mode)
        site.show(copy, picture, quality=quality)
        pairs.append((place.name, copy.name))
    return pairs


def vary(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Copy pictures scaled, cropped a little, and with another brightness and contrast."""
    pairs: list[tuple[str, ...]] = []
    for place in site.choose(site.candidates(raster=True), count, "near-duplicate"):
        copy = _sibling(site, place)
        site.show(copy, _vary(site.rng, site.open(place), strength))
        pairs.append((place.name, copy.name))
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


def contradict(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Copy files byte for byte into the other class of the same split."""
    labels = site.labels
    if len(labels) < 2:
        raise UsageError("labels can contradict each other only where there are two classes")
    pairs: list[tuple[str, ...]] = []
    for place in site.choose(site.candidates(), count, "contradicting-label"):
        others = [label for label in labels if label != place.label]
        other = others[int(site.rng.integers(len(others)))]
        copy = site.another(place, split=place.split, label=other, same_patient=False)
        site.write(copy, site.read(place))
        pairs.append((place.name, copy.name))
    return pairs


def leak(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Copy training files byte for byte into another split, as a patient not seen before."""
    learn, others = _splits(site, "leak-across-splits")
    pairs: list[tuple[str, ...]] = []
    found = site.candidates(lambda place: place.split == learn)
    for place in site.choose(found, count, "leak-across-splits"):
        target = others[int(site.rng.integers(len(others)))]
        copy = site.another(place, split=target, label=place.label, same_patient=False)
        site.write(copy, site.read(place))
        pairs.append((place.name, copy.name))
    return pairs


def leak_patient(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Move one image of a training patient who has several into another split."""
    learn, others = _splits(site, "patient-leak")
    found = site.candidates(lambda place: place.split == learn)
    images = Counter((place.label, place.patient) for place in found)
    first: dict[tuple[str, str], Place] = {}
    for place in found:
        if images[place.label, place.patient] > 1:
            first.setdefault((place.label, place.patient), place)
    pairs: list[tuple[str, ...]] = []
    for moved in site.choose(list(first.values()), count, "patient-leak"):
        stays = next(
            place
            for place in found
            if place != moved and (place.label, place.patient) == (moved.label, moved.patient)
        )
        target = others[int(site.rng.integers(len(others)))]
        pairs.append((stays.name, site.move(moved, target).name))
    return pairs


def _sibling(site: Site, place: Place) -> Place:
    return site.another(place, split=place.split, label=place.label, same_patient=True)


def _splits(site: Site, flaw: str) -> tuple[str, list[str]]:
    first, *others = site.splits
    if not others:
        raise UsageError(
            f"the flaw {flaw} needs two splits",
            received=first,
            remedy="draw a data set with train and test",
        )
    return first, others
