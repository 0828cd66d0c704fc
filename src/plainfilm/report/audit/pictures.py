"""The pictures of an audit: thumbnails of the files concerned, and means of two groups."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainfilm.data import Manifest
from plainfilm.errors import ImageError
from plainfilm.pixels import read_image
from plainfilm.records import Finding, PixelSpec, Record
from plainfilm.report.html.markup import Html, element, join

__all__ = ["SIDE", "Thumbnails", "mean_pictures"]

SIDE = 96
"""Side of a thumbnail in pixels."""
GROUPS = 6
TILES = 8
MEMBERS = 4  # of one group; a picture copied fifty times is understood from four
_QUALITY = 82
_BLUE, _ORANGE, _NEUTRAL = (10, 106, 168), (194, 80, 15), (244, 244, 242)


class Thumbnails:
    """Small pictures of records, each read once.

    Parameters
    ----------
    manifest
        Where the files lie, and what is known about them.
    unreadable
        Ids not to be read: one that ended a decoder's process would end this one.
    """

    def __init__(self, manifest: Manifest, unreadable: Collection[str] = ()) -> None:
        self._manifest = manifest
        self._records = {record.id: record for record in manifest.records}
        self._left_out = {item.id for item in manifest.left_out} | set(unreadable)
        self._read: dict[str, str | None] = {}

    def tiles(
        self, finding: Finding, *, most: int = TILES, groups: int = GROUPS, members: int = MEMBERS
    ) -> Html:
        """Return the groups of a finding side by side, or its first files; nothing without any."""
        together: Sequence[Sequence[str]] = finding.groups
        if finding.check == "patient-leak":
            together = self._by_patient(finding.files)
        if together:
            shown = [self._group(group, members) for group in together[:groups]]
            more = len(together) - len(shown)
            rest = f"and {more} more group{'' if more == 1 else 's'}" if more else ""
            return join([element("div", *shown, class_="groups"), _quiet(rest)])
        if not finding.files:
            return Html("")
        shown = [self.tile(identity) for identity in finding.files[:most]]
        return element("div", *shown, class_="thumbs")

    def _by_patient(self, files: Sequence[str]) -> list[list[str]]:
        """Return the files of each patient, one of every split first."""
        patients: dict[str, dict[str, list[str]]] = {}
        for identity in files:
            if record := self._records.get(identity):
                places = patients.setdefault(record.patient, {})
                places.setdefault(_place(record), []).append(identity)
        return [
            [names[0] for names in places.values()]
            + [name for names in places.values() for name in names[1:]]
            for places in patients.values()
        ]

    def _group(self, group: Sequence[str], most: int) -> Html:
        tiles = [self.tile(identity) for identity in group[:most]]
        more = len(group) - len(tiles)
        return element(
            "div",
            element("div", *tiles, class_="thumbs"),
            _quiet(f"and {more} more like them" if more else ""),
            class_="group",
        )

    def tile(self, identity: str) -> Html:
        """Return one file: its picture or a placeholder, name, split and label."""
        record = self._records.get(identity)
        about = [] if record is None else self._about(record)
        source = self.source(identity)
        told = ", ".join([identity, *about])
        side = str(SIDE)
        picture = (
            element("span", "no picture", class_="gone", role="img", aria_label=f"{told}: unread")
            if source is None
            else element("img", src=source, alt=told, width=side, height=side, decoding="async")
        )
        caption = element(
            "figcaption",
            element("code", PurePosixPath(identity).name or identity, title=identity),
            *(element("span", text) for text in about),
        )
        return element("figure", picture, caption, class_="thumb")

    def _about(self, record: Record) -> list[str]:
        label = self._manifest.task.class_of(record.labels)
        return [place, label] if (place := _place(record)) else [label]

    def source(self, identity: str) -> str | None:
        """Return a picture as a data URI, or None where it cannot be read (any more)."""
        if identity not in self._read:
            record = self._records.get(identity)
            self._read[identity] = (
                None if record is None or identity in self._left_out else _thumbnail(record.path)
            )
        return self._read[identity]


def _place(record: Record) -> str:
    return record.split or record.official or ""


def _thumbnail(path: str) -> str | None:
    try:
        pixels = read_image(path, PixelSpec(SIDE, "pad")).pixels
    except ImageError:  # gone or damaged: its place is kept, and its name told
        return None
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _quiet(text: str) -> Html:
    return element("p", text, class_="quiet") if text else Html("")


def mean_pictures(
    means: Sequence[Sequence[Sequence[float | None]]], sides: Sequence[str], counts: Sequence[int]
) -> Html:
    """Return the mean images of two groups and their difference.

    Parameters
    ----------
    means
        Two of (side, side) grey levels, 0 to 255, None where nothing is shown.
    sides, counts
        Name and number of images of each group.
    """
    one, other = (_plane(mean) for mean in means)
    gap = one - other
    most = float(np.nanmax(np.abs(gap))) if np.isfinite(gap).any() else 0.0
    tiles = [
        _pixels(_grey(plane), f"Mean of {count} images: {side}", side, f"mean of {count:,}")
        for plane, side, count in zip((one, other), sides, counts, strict=True)
    ]
    words = f"up to {most:.0f} of 255 grey levels; orange: {sides[0]} is brighter, blue: darker"
    told = f"Difference, {words}"
    tiles.append(_pixels(_coloured(gap, most), told, "difference", words))
    return element("div", *tiles, class_="means")


def _plane(mean: Sequence[Sequence[float | None]]) -> NDArray[np.float64]:
    return np.array([[np.nan if v is None else v for v in row] for row in mean], np.float64)


def _grey(plane: NDArray[np.float64]) -> NDArray[np.uint8]:
    shade = np.clip(np.nan_to_num(plane), 0, 255)
    seen = np.where(np.isfinite(plane), 255, 0)
    return np.stack([shade, shade, shade, seen], axis=-1).astype(np.uint8)


def _coloured(gap: NDArray[np.float64], most: float) -> NDArray[np.uint8]:
    """Colour a difference: neutral for none, orange above it, blue below."""
    part = np.nan_to_num(gap / max(most, 1e-9))[..., None]
    ends = np.where(part > 0, np.array(_ORANGE), np.array(_BLUE))
    colour = np.array(_NEUTRAL) + np.abs(part) * (ends - np.array(_NEUTRAL))
    seen = np.where(np.isfinite(gap), 255, 0)[..., None]
    return np.concatenate([colour, seen], axis=-1).astype(np.uint8)


def _pixels(pixels: NDArray[Any], told: str, title: str, under: str) -> Html:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", optimize=True)
    source = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
    side = str(pixels.shape[0])
    caption = element("figcaption", element("b", title), " ", under)
    image = element("img", src=source, alt=told, width=side, height=side)
    return element("figure", image, caption)
