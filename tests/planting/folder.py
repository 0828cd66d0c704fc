"""A data set as ``split/class/file`` in which flaws are planted, each file at most once."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

_RASTER = frozenset({".jpeg", ".jpg", ".png"})
_ENDINGS = _RASTER | {".dcm"}
_POSITIVE = "PNEUMONIA"
_NAMES = (
    re.compile(r"(?P<patient>IM-(?P<number>\d+))-(?P<image>\d+)"),
    re.compile(r"(?P<patient>person(?P<number>\d+)_(?P<series>bacteria|virus))_(?P<image>\d+)"),
)


@dataclass(frozen=True, slots=True, order=True)
class ImageFile:
    """One image file."""

    split: str
    label: str
    file: str

    @property
    def name(self) -> str:
        """The path below the folder, with forward slashes."""
        return f"{self.split}/{self.label}/{self.file}"

    @property
    def patient(self) -> str:
        """The patient in the name of the file, or else the whole name."""
        match = _parse(self.file)
        return match["patient"] if match else self.file


def _parse(file: str) -> re.Match[str] | None:
    for pattern in _NAMES:
        if match := pattern.match(file):
            return match
    return None


class ImageFolder:
    """The images of a folder; chooses, reads and writes them without touching a file twice."""

    def __init__(
        self,
        root: Path,
        images: Collection[ImageFile],
        rng: np.random.Generator,
        avoid: Collection[str],
    ) -> None:
        self.root = root
        self.images = sorted(images)
        self.rng = rng
        self._taken = set(avoid)
        self._names = {image.name for image in images}

    @property
    def splits(self) -> list[str]:
        """The names of the splits, the training split first."""
        return sorted({image.split for image in self.images}, key=lambda p: (p != "train", p))

    @property
    def labels(self) -> list[str]:
        """The names of the classes, the positive class last."""
        return sorted({image.label for image in self.images}, key=lambda p: (p == _POSITIVE, p))

    def candidates(
        self, keep: Callable[[ImageFile], bool] = lambda image: True, *, raster: bool = False
    ) -> list[ImageFile]:
        """Return the unchanged files for which ``keep`` is true."""
        return [
            image
            for image in self.images
            if image.name not in self._taken
            and (not raster or Path(image.file).suffix.lower() in _RASTER)
            and keep(image)
        ]

    def choose(self, candidates: list[ImageFile], count: int, flaw: str) -> list[ImageFile]:
        """Choose ``count`` candidates at random, sorted by name."""
        if count > len(candidates):
            raise ValueError(
                f"the flaw {flaw} cannot be planted {count} times in {self.root}: "
                f"{len(candidates)} files are available"
            )
        picked = self.rng.choice(len(candidates), size=count, replace=False)
        chosen = [candidates[i] for i in sorted(picked.tolist())]
        self._taken.update(image.name for image in chosen)
        return chosen

    def read(self, image: ImageFile) -> bytes:
        """Return the bytes of a file."""
        return (self.root / image.name).read_bytes()

    def open(self, image: ImageFile) -> Image.Image:
        """Decode a JPEG or PNG file to grey or RGB."""
        picture = Image.open(io.BytesIO(self.read(image)))
        return picture.convert("RGB" if picture.mode not in ("L", "I;16", "1") else "L")

    def write(self, image: ImageFile, data: bytes) -> None:
        """Write a file, existing or new."""
        (self.root / image.name).write_bytes(data)
        self._taken.add(image.name)
        if image.name not in self._names:
            self._names.add(image.name)
            self.images = sorted([*self.images, image])

    def save(self, image: ImageFile, picture: Image.Image, *, quality: int = 92) -> None:
        """Encode an image in the format that the suffix of the file names."""
        buffer = io.BytesIO()
        if image.file.lower().endswith(".png"):
            picture.save(buffer, "PNG")
        else:
            picture.save(buffer, "JPEG", quality=quality)
        self.write(image, buffer.getvalue())

    def move(self, image: ImageFile, split: str) -> ImageFile:
        """Move a file to another split and keep its name."""
        target = ImageFile(split, image.label, image.file)
        old, new = self.root / image.name, self.root / target.name
        new.parent.mkdir(parents=True, exist_ok=True)
        old.rename(new)
        self.images = sorted({*self.images, target} - {image})
        self._names = {*self._names, target.name} - {image.name}
        self._taken.add(target.name)
        return target

    def new_file(self, like: ImageFile, *, split: str, label: str, same_patient: bool) -> ImageFile:
        """Return an unused name in a split and class, of the same patient or a new one."""
        ending = Path(like.file).suffix
        series = "bacteria" if label == _POSITIVE else ""
        match = _parse(like.file)
        if match and like.label == label:
            series = match.groupdict().get("series") or ""
        used = [m for image in self.images if (m := _parse(image.file))]
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
        return ImageFile(split, label, file)


def open_folder(root: Path, rng: np.random.Generator, avoid: Collection[str]) -> ImageFolder:
    """Find the images of the data set in ``root``."""
    images = [
        ImageFile(path.parent.parent.name, path.parent.name, path.name)
        for path in root.glob("*/*/*")
        if path.suffix.lower() in _ENDINGS and path.is_file()
    ]
    if not images:
        raise FileNotFoundError(f"no split/class/image files in {root}")
    return ImageFolder(root, images, rng, avoid)
