"""A folder of class folders as the place where flaws are planted: what is there, what is free."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from plainfilm._files import explain_oserror, write_bytes
from plainfilm.errors import SourceError, UsageError

__all__ = ["Place", "Site", "open_site"]

_RASTER = frozenset({".jpeg", ".jpg", ".png"})
_ENDINGS = _RASTER | {".dcm"}
_POSITIVE = "PNEUMONIA"
_NAMES = (
    re.compile(r"(?P<patient>IM-(?P<number>\d+))-(?P<image>\d+)"),
    re.compile(r"(?P<patient>person(?P<number>\d+)_(?P<series>bacteria|virus))_(?P<image>\d+)"),
)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One image file: ``split/label/file``.

    Attributes
    ----------
    split, label, file
        The three parts of its name.
    """

    split: str
    label: str
    file: str

    @property
    def name(self) -> str:
        """Return its path below the folder, with forward slashes."""
        return f"{self.split}/{self.label}/{self.file}"

    @property
    def patient(self) -> str:
        """Return the patient as the file's name tells it; the whole name where it does not."""
        match = _parse(self.file)
        return match["patient"] if match else self.file


def _parse(file: str) -> re.Match[str] | None:
    for pattern in _NAMES:
        if match := pattern.match(file):
            return match
    return None


class Site:
    """The images of a folder, chosen from and written to without touching one file twice.

    Parameters
    ----------
    root
        The folder of the data set.
    places
        Its image files.
    rng
        Decides every choice.
    avoid
        Names of files that must stay as they are.
    """

    def __init__(
        self,
        root: Path,
        places: Collection[Place],
        rng: np.random.Generator,
        avoid: Collection[str],
    ) -> None:
        self.root = root
        self.places = sorted(places)
        self.rng = rng
        self._taken = set(avoid)
        self._names = {place.name for place in places}

    @property
    def splits(self) -> list[str]:
        """Return the names of the splits, the one to learn from first."""
        return sorted({place.split for place in self.places}, key=lambda p: (p != "train", p))

    @property
    def labels(self) -> list[str]:
        """Return the names of the classes, the ill one last."""
        return sorted({place.label for place in self.places}, key=lambda p: (p == _POSITIVE, p))

    def candidates(
        self, keep: Callable[[Place], bool] = lambda place: True, *, raster: bool = False
    ) -> list[Place]:
        """Return the files nobody touched yet for which ``keep`` holds."""
        return [
            place
            for place in self.places
            if place.name not in self._taken
            and (not raster or Path(place.file).suffix.lower() in _RASTER)
            and keep(place)
        ]

    def choose(self, candidates: list[Place], count: int, flaw: str) -> list[Place]:
        """Return ``count`` of the candidates, at random, in the order of their names.

        Raises
        ------
        UsageError
            If there are not so many.
        """
        if count > len(candidates):
            raise UsageError(
                f"the flaw {flaw} cannot be planted {count} times in {self.root}",
                received=f"{len(candidates)} files that would do",
                remedy="ask for fewer, or draw a larger data set",
            )
        picked = self.rng.choice(len(candidates), size=count, replace=False)
        chosen = [candidates[i] for i in sorted(picked.tolist())]
        self._taken.update(place.name for place in chosen)
        return chosen

    def read(self, place: Place) -> bytes:
        """Return the bytes of a file."""
        path = self.root / place.name
        try:
            return path.read_bytes()
        except OSError as error:
            raise SourceError(f"{path} cannot be read", received=error.strerror) from error

    def open(self, place: Place) -> Image.Image:
        """Return the picture in a JPEG or PNG file, as grey or RGB."""
        picture = Image.open(io.BytesIO(self.read(place)))
        return picture.convert("RGB" if picture.mode not in ("L", "I;16", "1") else "L")

    def write(self, place: Place, data: bytes) -> None:
        """Write the bytes of a file, old or new."""
        write_bytes(self.root / place.name, data)
        self._taken.add(place.name)
        if place.name not in self._names:
            self._names.add(place.name)
            self.places = sorted([*self.places, place])

    def show(self, place: Place, picture: Image.Image, *, quality: int = 92) -> None:
        """Write a picture in the format that the file's ending promises."""
        buffer = io.BytesIO()
        if place.file.lower().endswith(".png"):
            picture.save(buffer, "PNG")
        else:
            picture.save(buffer, "JPEG", quality=quality)
        self.write(place, buffer.getvalue())

    def move(self, place: Place, split: str) -> Place:
        """Move a file to another split under its name."""
        target = Place(split, place.label, place.file)
        old, new = self.root / place.name, self.root / target.name
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
            old.rename(new)
        except OSError as error:
            raise explain_oserror(error, new) from error
        self.places = sorted({*self.places, target} - {place})
        self._names = {*self._names, target.name} - {place.name}
        self._taken.add(target.name)
        return target

    def another(self, like: Place, *, split: str, label: str, same_patient: bool) -> Place:
        """Return a free name of the kind that ``label`` has there.

        Parameters
        ----------
        like
            The file whose ending, and patient if asked, the name takes.
        split, label
            Where it is to be.
        same_patient
            A further image of the same patient, or one of a patient not seen so far.
        """
        ending = Path(like.file).suffix
        series = "bacteria" if label == _POSITIVE else ""
        match = _parse(like.file)
        if match and like.label == label:
            series = match.groupdict().get("series") or ""
        used = [m for place in self.places if (m := _parse(place.file))]
        used = [m for m in used if (m.groupdict().get("series") or "") == series]
        number = 1 + max((int(m["number"]) for m in used), default=0)
        if same_patient and match:
            number = int(match["number"])
            own = used if series else [m for m in used if int(m["number"]) == number]
        else:
            own = used if series else []
        image = 1 + max((int(m["image"]) for m in own), default=0)
        if series:
            file = f"person{number}_{series}_{image}{ending}"
        else:
            file = f"IM-{number:04d}-{image:04d}{ending}"
        return Place(split, label, file)


def open_site(root: Path, rng: np.random.Generator, avoid: Collection[str]) -> Site:
    """Find the images of the data set in ``root``.

    Raises
    ------
    SourceError
        If it is not a folder of ``split/class`` folders with images.
    """
    places = [
        Place(path.parent.parent.name, path.parent.name, path.name)
        for path in root.glob("*/*/*")
        if path.suffix.lower() in _ENDINGS and path.is_file()
    ]
    if not places:
        raise SourceError(
            f"there is no data set to plant flaws in at {root}",
            remedy="give a folder with split/class/image files, as write_dataset leaves it",
        )
    return Site(root, places, rng, avoid)
