"""Flaws of the image: single defective images, and marks that identify a class or split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from plainfilm.phantom.marks import stamp_letter
from planting.folder import ImageFile, ImageFolder

Pixels = NDArray[np.uint8]


def folder_size(folder: ImageFolder) -> int:
    """Return the number of JPEG and PNG files, or of all where there are none."""
    return len(folder.candidates(raster=True)) or len(folder.candidates())


def class_size(folder: ImageFolder) -> int:
    """Return the number of JPEG and PNG files of the class that a shortcut marks."""
    return len(_marked_class(folder))


def split_size(folder: ImageFolder) -> int:
    """Return the number of JPEG and PNG files of the split that is shifted."""
    return len(_last_split(folder))


def _marked_class(folder: ImageFolder) -> list[ImageFile]:
    label = folder.labels[-1]
    return folder.candidates(lambda image: image.label == label, raster=True)


def _last_split(folder: ImageFolder) -> list[ImageFile]:
    splits = folder.splits
    if len(splits) < 2:
        raise ValueError(f"a shift needs two splits; there is only {splits}")
    last = "test" if "test" in splits else splits[-1]
    return folder.candidates(lambda image: image.split == last, raster=True)


def _change(
    folder: ImageFolder, images: list[ImageFile], change: Callable[[Pixels], Pixels]
) -> list[tuple[str, ...]]:
    for image in images:
        pixels = np.asarray(folder.open(image))
        folder.save(image, Image.fromarray(change(pixels)))
    return [(image.name,) for image in images]


def _change_some(
    folder: ImageFolder, count: int, flaw: str, change: Callable[[Pixels], Pixels]
) -> list[tuple[str, ...]]:
    return _change(folder, folder.choose(folder.candidates(raster=True), count, flaw), change)


def _round(values: NDArray[Any]) -> Pixels:
    pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def blank(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Replace the image by one grey value, as after a failed exposure."""
    shade = folder.rng.integers(0, 256)
    return _change_some(folder, count, "blank", lambda pixels: np.full_like(pixels, shade))


def reduce_contrast(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Compress the grey values into a narrow range, 40 values wide down to 8."""
    span = 40.0 - 32.0 * strength
    middle = float(folder.rng.uniform(60, 190))

    def change(pixels: Pixels) -> Pixels:
        return _round((pixels / np.float32(255) - np.float32(0.5)) * span + middle)

    return _change_some(folder, count, "low-contrast", change)


def invert(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Invert the grey values: bone dark, air bright."""
    return _change_some(folder, count, "inverted", lambda pixels: 255 - pixels)


def rotate(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Rotate by 90, 180 or 270 degrees."""
    return _change_some(
        folder,
        count,
        "rotated",
        lambda pixels: np.ascontiguousarray(np.rot90(pixels, int(folder.rng.integers(1, 4)))),
    )


def tint(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Add a colour cast, as in a photograph of a screen."""
    gains = 1.0 - (0.1 + 0.5 * strength) * folder.rng.permutation([0.0, 0.5, 1.0])

    def change(pixels: Pixels) -> Pixels:
        grey = pixels if pixels.ndim == 2 else pixels[..., 0]
        return _round(grey[..., None] * gains.astype(np.float32))

    return _change_some(folder, count, "colour", change)


def shrink(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Reduce to a thumbnail, its longer side 64 pixels down to 16."""
    side = round(64 - 48 * strength)

    def change(pixels: Pixels) -> Pixels:
        picture = Image.fromarray(pixels)
        picture.thumbnail((side, side))
        return np.asarray(picture)

    return _change_some(folder, count, "tiny", change)


def burn_in_text(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Write a fictitious name and date into the image."""

    def change(pixels: Pixels) -> Pixels:
        picture = Image.fromarray(pixels)
        height = max(8, round(picture.height * (0.04 + 0.05 * strength)))
        text = f"SYNTHETIC, PAT {int(folder.rng.integers(10000)):04d}\n01.01.2000 12:00  AP"
        white = 255 if picture.mode == "L" else (255, 255, 255)
        ImageDraw.Draw(picture).multiline_text(
            (height // 2, height // 2), text, fill=white, font=ImageFont.load_default(height)
        )
        return np.asarray(picture)

    return _change_some(folder, count, "burnt-in-text", change)


def frame_class(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Frame images of one class with a white border, 1 to 8 % of the height."""

    def change(pixels: Pixels) -> Pixels:
        framed = pixels.copy()
        edge = max(1, round(pixels.shape[0] * (0.01 + 0.07 * strength)))
        framed[:edge] = framed[-edge:] = 255
        framed[:, :edge] = framed[:, -edge:] = 255
        return framed

    return _together(_change(folder, _of_class(folder, count, "shortcut-border"), change))


def mark_class(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Stamp the same letter at the same position on images of one class."""

    def change(pixels: Pixels) -> Pixels:
        grey = pixels if pixels.ndim == 2 else pixels[..., 0]
        share = grey.astype(np.float32) / np.float32(255)
        marked = stamp_letter(share, "L", (0.88, 0.84), 0.05 + 0.08 * strength, 1.0)
        return _round(marked * 255)

    return _together(_change(folder, _of_class(folder, count, "shortcut-marker"), change))


def compress_class(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Compress the positive class more, so that the file size identifies it.

    PNG has no quality setting; there the positive images have fewer pixels instead.
    """
    chosen = folder.choose(folder.candidates(raster=True), count, "shortcut-size")
    positive = folder.labels[-1]
    for image in chosen:
        picture = folder.open(image)
        if image.file.lower().endswith(".png"):
            factor = 1.0 - 0.5 * strength if image.label == positive else 1.0
            size = tuple(max(16, round(side * factor)) for side in picture.size)
            folder.save(image, picture.resize((size[0], size[1]), Image.Resampling.BILINEAR))
        else:
            quality = 80 - 50 * strength if image.label == positive else 90 + 7 * strength
            folder.save(image, picture, quality=round(quality))
    return _together([(image.name,) for image in chosen])


def shift_split(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Brighten the test split, as another X-ray machine would."""
    gamma = 1.0 - 0.6 * strength

    def change(pixels: Pixels) -> Pixels:
        return _round(255.0 * (pixels / np.float32(255)) ** np.float32(gamma))

    chosen = folder.choose(_last_split(folder), count, "shift")
    return _together(_change(folder, chosen, change))


def _of_class(folder: ImageFolder, count: int, flaw: str) -> list[ImageFile]:
    return folder.choose(_marked_class(folder), count, flaw)


def _together(files: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Merge into one flaw that concerns all the files."""
    return [tuple(name for names in files for name in names)]
