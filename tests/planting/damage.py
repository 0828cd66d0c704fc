"""Flaws of a file: truncated, empty, not an image, or named with the wrong suffix."""

from __future__ import annotations

import io

from planting.folder import ImageFolder

_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head>\n"
    b"<body><h1>Not Found</h1><p>The requested image was not found on this server.</p></body>"
    b"</html>\n"
)


def truncate(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Remove the end of files, as a failed transfer does: a fifth up to nine tenths."""
    kept = 0.8 - 0.7 * strength
    chosen = folder.choose(folder.candidates(), count, "truncated")
    for image in chosen:
        data = folder.read(image)
        folder.write(image, data[: max(1, int(len(data) * kept))])
    return [(image.name,) for image in chosen]


def empty(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Replace files by empty files."""
    return _overwrite(folder, count, "empty", b"")


def replace_with_html(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Replace images by the web page of a failed download."""
    return _overwrite(folder, count, "not-an-image", _PAGE)


def _overwrite(folder: ImageFolder, count: int, flaw: str, data: bytes) -> list[tuple[str, ...]]:
    chosen = folder.choose(folder.candidates(), count, flaw)
    for image in chosen:
        folder.write(image, data)
    return [(image.name,) for image in chosen]


def mislabel(folder: ImageFolder, count: int, strength: float) -> list[tuple[str, ...]]:
    """Store JPEG data in files named .png, and PNG data in files named .jpeg."""
    chosen = folder.choose(folder.candidates(raster=True), count, "mislabelled-format")
    for image in chosen:
        buffer = io.BytesIO()
        other = "JPEG" if image.file.lower().endswith(".png") else "PNG"
        folder.open(image).save(buffer, other)
        folder.write(image, buffer.getvalue())
    return [(image.name,) for image in chosen]
