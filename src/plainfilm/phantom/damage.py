"""Flaws of the file: cut off, empty, something else, under a wrong ending."""

from __future__ import annotations

import io

from plainfilm.phantom.site import Site

__all__ = ["drain", "impersonate", "mislabel", "truncate"]

_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head>\n"
    b"<body><h1>Not Found</h1><p>The requested image was not found on this server.</p></body>"
    b"</html>\n"
)


def truncate(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Cut the end off files, as a broken transfer does: a fifth of it up to nine tenths."""
    kept = 0.8 - 0.7 * strength
    files: list[tuple[str, ...]] = []
    for place in site.choose(site.candidates(), count, "truncated"):
        data = site.read(place)
        site.write(place, data[: max(1, int(len(data) * kept))])
        files.append((place.name,))
    return files


def drain(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Leave files with no byte in them."""
    files: list[tuple[str, ...]] = []
    for place in site.choose(site.candidates(), count, "empty"):
        site.write(place, b"")
        files.append((place.name,))
    return files


def impersonate(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Put the web page of a failed download where the image should be."""
    files: list[tuple[str, ...]] = []
    for place in site.choose(site.candidates(), count, "not-an-image"):
        site.write(place, _PAGE)
        files.append((place.name,))
    return files


def mislabel(site: Site, count: int, strength: float) -> list[tuple[str, ...]]:
    """Store JPEG under the ending of PNG and the other way round: sound pictures, wrong names."""
    files: list[tuple[str, ...]] = []
    for place in site.choose(site.candidates(raster=True), count, "mislabelled-format"):
        buffer = io.BytesIO()
        other = "JPEG" if place.file.lower().endswith(".png") else "PNG"
        site.open(place).save(buffer, other)
        site.write(place, buffer.getvalue())
        files.append((place.name,))
    return files
