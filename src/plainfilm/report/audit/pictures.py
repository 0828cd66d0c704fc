"""Pictures of an audit: thumbnails of images, and mean images of two groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from plainfilm._text import plural
from plainfilm.audit.document import MarkedImage, MeanImage
from plainfilm.audit.files import UNREADABLE
from plainfilm.data import Manifest
from plainfilm.errors import ImageError
from plainfilm.pixels import read_image
from plainfilm.records import Finding, PixelSpec, Record
from plainfilm.report.html.markup import Html, data_uri, element, join, quiet

_SIDE = 96  # pixels
_QUALITY = 82
_ENLARGED = 512  # pixels a side of the image from which text is enlarged
_BLUE, _ORANGE, _NEUTRAL = (10, 106, 168), (194, 80, 15), (244, 244, 242)


class Thumbnails:
    """Thumbnails of the records of a manifest; each file is read once.

    Files that the findings report as unreadable are not opened, since some would end this process.
    Images in ``marked`` have their burnt-in text outlined, and enlarged.
    """

    def __init__(
        self,
        manifest: Manifest,
        findings: Sequence[Finding] = (),
        marked: Sequence[MarkedImage] = (),
    ) -> None:
        self._manifest = manifest
        self._unreadable = {item.id for item in manifest.left_out}
        for finding in findings:
            if finding.check in UNREADABLE:
                self._unreadable.update(finding.files)
        self._marked = {one.id: one for one in marked}
        self._sources: dict[str, str | None] = {}

    def tiles(self, finding: Finding, *, limit: int = 8, groups: int = 6, members: int = 4) -> Html:
        """Return the groups of a finding next to each other, or its first files."""
        together: Sequence[Sequence[str]] = finding.groups
        if finding.check == "patient-in-several-splits":
            together = self._by_patient(finding.files)
        if together:
            shown = [self._group(group, members) for group in together[:groups]]
            more = len(together) - len(shown)
            text = f"and {plural(more, 'more group')}" if more else ""
            return join([element("div", *shown, class_="groups"), _quiet(text)])
        if not finding.files:
            return Html("")
        return self.row(finding.files[:limit])

    def row(self, files: Sequence[str | MarkedImage]) -> Html:
        """Return the thumbnails of files in a row."""
        return element("div", *(self.tile(one) for one in files), class_="thumbs")

    def _by_patient(self, files: Sequence[str]) -> list[list[str]]:
        """Return the files of each patient, one of each split first."""
        patients: dict[str, dict[str, list[str]]] = {}
        for identity in files:
            if record := self._manifest.records.find(identity):
                splits = patients.setdefault(record.patient, {})
                splits.setdefault(_split(record), []).append(identity)
        return [
            [names[0] for names in splits.values()]
            + [name for names in splits.values() for name in names[1:]]
            for splits in patients.values()
        ]

    def _group(self, group: Sequence[str], limit: int) -> Html:
        tiles = [self.tile(identity) for identity in group[:limit]]
        more = len(group) - len(tiles)
        text = f"and {more} more" if more else ""
        return element("div", element("div", *tiles, class_="thumbs"), _quiet(text), class_="group")

    def tile(self, file: str | MarkedImage) -> Html:
        """Return the thumbnail of a file or a placeholder, with name, split and class."""
        identity = file if isinstance(file, str) else file.id
        record = self._manifest.records.find(identity)
        about = []
        if record is not None:
            about = [*filter(None, [_split(record)]), self._manifest.task.class_of(record.labels)]
        source = self.source(identity) if isinstance(file, str) else self._read(identity, file)
        text = ", ".join([identity, *about])
        side = str(_SIDE)
        if source is None:
            label = f"{text}: cannot be read"
            picture = element("span", "no picture", class_="gone", role="img", aria_label=label)
        else:
            picture = element(
                "img", src=source, alt=text, width=side, height=side, decoding="async"
            )
        caption = element(
            "figcaption",
            element("code", PurePosixPath(identity).name or identity, title=identity),
            *(element("span", text) for text in about),
        )
        return element("figure", picture, caption, class_="thumb")

    def source(self, identity: str) -> str | None:
        """Return a thumbnail as a data URI, or None if the file cannot be read."""
        if identity not in self._sources:
            self._sources[identity] = self._read(identity, self._marked.get(identity))
        return self._sources[identity]

    def _read(self, identity: str, marked: MarkedImage | None) -> str | None:
        record = self._manifest.records.find(identity)
        if record is None or identity in self._unreadable:
            return None
        return _thumbnail(record.path, marked.boxes if marked else ())


def _split(record: Record) -> str:
    return record.split or record.official or ""


def _thumbnail(path: str, boxes: Sequence[Sequence[float]]) -> str | None:
    try:
        if boxes:
            return data_uri(_with_text(path, boxes), "JPEG", quality=_QUALITY)
        pixels = read_image(path, PixelSpec(_SIDE, "pad")).pixels
    except ImageError:
        return None
    return data_uri(Image.fromarray(pixels), "JPEG", quality=_QUALITY)


def _with_text(path: str, boxes: Sequence[Sequence[float]]) -> Image.Image:
    """Return a thumbnail of twice the size with text outlined, and the first line enlarged."""
    side = 2 * _SIDE
    image = read_image(path, PixelSpec(side, "pad"))
    width, height = (float(image.metadata[name]) for name in ("width", "height"))
    wide, high = (side * length / max(width, height) for length in (width, height))
    picture = Image.fromarray(image.pixels).convert("RGB")
    pen = ImageDraw.Draw(picture)
    for left, top, right, bottom in boxes:
        x, y = (side - wide) / 2, (side - high) / 2
        outline = (x + left * wide - 3, y + top * high - 3, x + right * wide + 2, y + bottom * high)
        pen.rectangle((*outline[:3], outline[3] + 2), outline=_ORANGE, width=2)
    enlarged = _enlarge(path, boxes[0], side)
    # At the end away from the text.
    picture.paste(enlarged, (0, 0 if boxes[0][1] > 0.5 else side - enlarged.height))
    return picture


def _enlarge(path: str, box: Sequence[float], width: int) -> Image.Image:
    """Return the surroundings of a box, (height, width), a third as high as wide."""
    pixels = Image.fromarray(read_image(path, PixelSpec(_ENLARGED)).pixels)
    left, top, right, bottom = (edge * _ENLARGED for edge in box)
    across = max(1.3 * (right - left), 3 * 1.4 * (bottom - top), 48.0)
    middle, centre = (left + right) / 2, (top + bottom) / 2
    part = (middle - across / 2, centre - across / 6, middle + across / 2, centre + across / 6)
    shown = pixels.crop(tuple(round(edge) for edge in part))  # type: ignore[arg-type]
    size = (width - 4, width // 3 - 4)
    framed = Image.new("RGB", (width, width // 3), _ORANGE)
    framed.paste(shown.resize(size, Image.Resampling.BICUBIC), (2, 2))
    return framed


def _quiet(text: str) -> Html:
    return quiet(text) if text else Html("")


def mean_pictures(
    means: tuple[MeanImage, MeanImage], groups: Sequence[str], counts: Sequence[int]
) -> Html:
    """Return the mean images of two groups and their difference; NaN is transparent."""
    planes = [np.array(mean, np.float64) for mean in means]
    figures = [
        _figure(
            _grey(plane),
            f"Mean of {plural(count, 'image', separator='')}: {group}",
            group,
            f"mean of {count:,}",
        )
        for plane, group, count in zip(planes, groups, counts, strict=True)
    ]
    difference = planes[0] - planes[1]
    largest = float(np.nanmax(np.abs(difference))) if np.isfinite(difference).any() else 0.0
    text = f"up to {largest:.0f} of 255 grey levels; orange: {groups[0]} is brighter, blue: darker"
    pixels = _coloured(difference, largest)
    figures.append(_figure(pixels, f"Difference, {text}", "difference", text))
    return element("div", *figures, class_="means")


def mean_picture(mean: MeanImage, text: str) -> Html:
    """Return the mean image of a group."""
    return _figure(_grey(np.array(mean, np.float64)), f"Mean image, {text}", "mean", text)


def _grey(plane: NDArray[np.float64]) -> NDArray[np.uint8]:
    shade = np.clip(np.nan_to_num(plane), 0, 255)
    opacity = np.where(np.isfinite(plane), 255, 0)
    return np.stack([shade, shade, shade, opacity], axis=-1).astype(np.uint8)


def _coloured(difference: NDArray[np.float64], largest: float) -> NDArray[np.uint8]:
    """Colour a difference: neutral at zero, orange above, blue below."""
    strength = np.nan_to_num(difference / max(largest, 1e-9))[..., None]
    ends = np.where(strength > 0, np.array(_ORANGE), np.array(_BLUE))
    colour = np.array(_NEUTRAL) + np.abs(strength) * (ends - np.array(_NEUTRAL))
    opacity = np.where(np.isfinite(difference), 255, 0)[..., None]
    return np.concatenate([colour, opacity], axis=-1).astype(np.uint8)


def _figure(pixels: NDArray[np.uint8], alt: str, title: str, text: str) -> Html:
    side = str(pixels.shape[0])
    source = data_uri(Image.fromarray(pixels), "PNG")
    image = element("img", src=source, alt=alt, width=side, height=side)
    return element("figure", image, element("figcaption", element("b", title), " ", text))
