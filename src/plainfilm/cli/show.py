"""Count the images of a data set and draw a grid of samples, plain or augmented."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plainfilm.cli.sources import add_source_arguments, load, options_of

if TYPE_CHECKING:
    from plainfilm.data import Manifest

EXAMPLE = "plainfilm show chest_xray --out samples.png"

_LARGEST = 400  # images, about 200 MB of memory
_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = options_of(parser)
    words = "image file to write; the ending (.png, .jpg, .webp) selects the format"
    add("--out FILE", words, type=Path, required=True)
    add("--augmented RECIPE", "apply the augmentation of this recipe")
    add("--count COUNT", "number of images (default: 16)", type=int, default=16)
    add("--seed SEED", "seed for the choice of images (default: 0)", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    from plainfilm import _files
    from plainfilm.cli.describe import describe_characteristics, describe_manifest, print_findings
    from plainfilm.cli.terminal import shown
    from plainfilm.errors import UsageError
    from plainfilm.report.figures import sample_grid

    if not 1 <= args.count <= _LARGEST:
        raise UsageError(f"--count must be 1 to {_LARGEST:,}", received=args.count)
    if args.seed < 0:
        raise UsageError("--seed must not be negative", received=args.seed)
    kind = _KINDS.get(args.out.suffix.lower())
    if kind is None:
        raise UsageError(
            "the ending of --out is not an image format that can be written",
            received=args.out,
            remedy=f"use one of {', '.join(_KINDS)}",
        )
    manifest = load(args, one_class=True)
    if args.out.exists() and any(_is_file(path, args.out) for path in manifest.records.paths):
        raise UsageError("--out would overwrite an image of the data", received=args.out)
    print(describe_manifest(manifest))
    if lines := describe_characteristics(manifest):
        print(lines)
    print_findings(manifest, args.given)
    images, captions = _augmented(args, manifest) if args.augmented else _plain(args, manifest)
    picture = sample_grid(images, captions, columns=min(4, args.count))
    _files.write_bytes(args.out, _as(kind, picture))
    print(f"image: {shown(args.out)}")
    return 0


def _is_file(path: str, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return other.samefile(path)
    return False


def _as(kind: str, png: bytes) -> bytes:
    """Convert a PNG to another format."""
    if kind == "PNG":
        return png
    import io

    from PIL import Image

    data = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").save(data, kind, quality=92)
    return data.getvalue()


def _plain(args: argparse.Namespace, manifest: Manifest) -> tuple[list[Any], list[str]]:
    from plainfilm.pixels import read_full_image

    return _read(args, manifest, lambda path: read_full_image(path).pixels)


def _augmented(args: argparse.Namespace, manifest: Manifest) -> tuple[Any, list[str]]:
    from dataclasses import replace

    import numpy as np

    from plainfilm.config import load_recipe
    from plainfilm.pixels import read_image
    from plainfilm.training.preview import augmented_images

    recipe = load_recipe(args.augmented)
    spec = replace(recipe.input, size=recipe.augment.crop_from or recipe.input.size)
    images, captions = _read(args, manifest, lambda path: read_image(path, spec).pixels)
    made = augmented_images(recipe.augment, recipe.input.size, np.stack(images), args.seed)
    return list(made), captions


def _read(args: argparse.Namespace, manifest: Manifest, read: Any) -> tuple[list[Any], list[str]]:
    """Read the chosen images; replace those that cannot be read by others."""
    from plainfilm.data import pick
    from plainfilm.errors import ImageError, SourceError

    images: list[Any] = []
    captions: list[str] = []
    for position in pick(manifest, len(manifest.records), args.seed):
        record = manifest.records[position]
        try:
            images.append(read(record.path))
        except ImageError as error:
            print(f"left out {record.id}: {error.problem}")
            continue
        captions.append(manifest.task.class_of(record.labels))
        if len(images) == args.count:
            break
    if not images:
        raise SourceError(f"none of the images of {manifest.name} could be read")
    return images, captions
