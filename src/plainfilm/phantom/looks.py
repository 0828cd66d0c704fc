"""Flaws of the picture: single spoilt images, and marks that give a class or split away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from plainfilm.errors import UsageError
from plainfilm.phantom.marks import stamp_letter
from plainfilm.phantom.site import Place, Site

__all__ = [
    "blank",
    "class_size",
    "compress_class",
    "flatten",
    "frame_class",
    "invert",
    "mark_class",
    "rotate",
    "shift_split",
    "shrink",
    "site_size",
    "split_size",
    "tint",
    "write_on",
]

Pixels = NDArray[np.uint8]


def site_size(site: Site) -> int:
    """Return the number of JPEG and PNG files, or of all where there are none."""
    return len(site.candidates(raster=True)) or len(site.candidates())


def class_size(site: Site) -> int:
    """Return the number of JPEG and PNG files of the class that a shortcut marks."""
    return len(_marked_class(site))


def split_size(site: Site) -> int:
    """Return the number of JPEG and PNG files of the split that is shifted."""
    return len(_last_split(site))


def _marked_class(site: Site) -> list[Place]:
    label = site.labels[-1]
    return site.candidates(lambda place: place.label == label, raster=True)


def _last_split(site: Site) -> list[Place]:
    splits = site.splits
    if len(splits) < 2:
        raise UsageError("a shift between splits needs two of them", received=splits)
    last = "test" if "test" in splits else splits[-1]
    return site.candidates(lambda place: place.split == last, raster=True)


def _change(
    site: Site, places: list[Place], change: Callable[[Pixels], Pixels]
) -> list[tuple[str, ...]]:
    for place in places:
        pixels = np.asarray(site.open(place))
        site.show(place, Image.fromarray(change(pixels)))
    return [(place.name,) for place in places]


def _spoil(
    site: Site, count: int, flaw: str, change: Callable[[Pixels], Pixels]
) -> list[tuple[str, ...]]:
    return _change(site, site.choose(site.candidates(raster=True), count, flaw), change)


def _round(values: NDArray[Any]) -> Pixels:
    pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def blank(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Leave nothing but one shade of grey: an exposure that failed."""
    shade = site.rng.integers(0, 256)
    return _spoil(site, count, "blank", lambda pixels: np.full_like(pixels, shade))


def flatten(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Squeeze the shades into a narrow band, 40 of them down to 8."""
    span = 40.0 - 32.0 * strength
    middle = float(site.rng.uniform(60, 190))

    def change(pixels: Pixels) -> Pixels:
        return _round((pixels / np.float32(255) - np.float32(0.5)) * span + middle)

    return _spoil(site, count, "low-contrast", change)


def invert(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Turn black to white: bone dark, air bright."""
    return _spoil(site, count, "inverted", lambda pixels: 255 - pixels)


def rotate(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Turn by a quarter, a half or three quarters."""
    return _spoil(
        site,
        count,
        "rotated",
        lambda pixels: np.ascontiguousarray(np.rot90(pixels, int(site.rng.integers(1, 4)))),
    )


def tint(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Give the picture a colour, as a photograph of a screen has."""
    gains = 1.0 - (0.1 + 0.5 * strength) * site.rng.permutation([0.0, 0.5, 1.0])

    def change(pixels: Pixels) -> Pixels:
        grey = pixels if pixels.ndim == 2 else pixels[..., 0]
        return _round(grey[..., None] * gains.astype(np.float32))

    return _spoil(site, count, "colour", change)


def shrink(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Leave a thumbnail, its longer side 64 pixels down to 16."""
    side = round(64 - 48 * strength)

    def change(pixels: Pixels) -> Pixels:
        picture = Image.fromarray(pixels)
        picture.thumbnail((side, side))
        return np.asarray(picture)

    return _spoil(site, count, "tiny", change)


def write_on(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Burn a name and a date into the picture; both are made up."""

    def change(pixels: Pixels) -> Pixels:
        picture = Image.fromarray(pixels)
        height = max(8, round(picture.height * (0.04 + 0.05 * strength)))
        text = f"SYNTHETIC, PAT {int(site.rng.integers(10000)):04d}\n01.01.2000 12:00  AP"
        white = 255 if picture.mode == "L" else (255, 255, 255)
        ImageDraw.Draw(picture).multiline_text(
            (height // 2, height // 2), text, fill=white, font=ImageFont.load_default(height)
        )
        return np.asarray(picture)

    return _spoil(site, count, "burnt-in-text", change)


def frame_class(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Frame images of one class with a white border of 1 to 8 % of their height."""

    def change(pixels: Pixels) -> Pixels:
        framed = pixels.copy()
        edge = max(1, round(pixels.shape[0] * (0.01 + 0.07 * strength)))
        framed[:edge] = framed[-edge:] = 255
        framed[:, :edge] = framed[:, -edge:] = 255
        return framed

    return _together(_change(site, _of_class(site, count, "shortcut-border"), change))


def mark_class(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Stamp the same letter at the same place on images of one class."""

    def change(pixels: Pixels) -> Pixels:
        grey = pixels if pixels.ndim == 2 else pixels[..., 0]
        share = grey.astype(np.float32) / np.float32(255)
        marked = stamp_letter(share, "L", (0.88, 0.84), 0.05 + 0.08 * strength, 1.0)
        return _round(marked * 255)

    return _together(_change(site, _of_class(site, count, "shortcut-marker"), change))


def compress_class(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Compress the ill harder than the healthy, so that the size of the file tells them apart.

    PNG has no quality; there the ill are made smaller in pixels instead.
    """
    chosen = site.choose(site.candidates(raster=True), count, "shortcut-size")
    ill = site.labels[-1]
    for place in chosen:
        picture = site.open(place)
        if place.file.lower().endswith(".png"):
            factor = 1.0 - 0.5 * strength if place.label == ill else 1.0
            size = tuple(max(16, round(side * factor)) for side in picture.size)
            site.show(place, picture.resize((size[0], size[1]), Image.Resampling.BILINEAR))
        else:
            quality = 80 - 50 * strength if place.label == ill else 90 + 7 * strength
            site.show(place, picture, quality=round(quality))
    return _together([(place.name,) for place in chosen])


def shift_split(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Brighten the test split, as another machine would."""
    gamma = 1.0 - 0.6 * strength

    def change(pixels: Pixels) -> Pixels:
        return _round(255.0 * (pixels / np.float32(255)) ** np.float32(gamma))

    chosen = site.choose(_last_split(site), count, "shift")
    return _together(_change(site, chosen, change))


def _of_class(site: Site, count: int, flaw: str) -> list[Place]:
    return site.choose(_marked_class(site), count, flaw)


def _together(files: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return one flaw that concerns all the files."""
    return [tuple(name for names in files for name in names)]
