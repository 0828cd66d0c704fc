"""Sets aside masks and heat maps, which belong to radiographs and are none themselves."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.folders.tree import Branch, ImageFile
from plainfilm.data.sources.listing import Listing
from plainfilm.errors import ImageError

_WORDS = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_DRAWN = r"heat[\s_-]?map|overlay|overlaid|grad[\s_-]?cam|saliency"
_MASK = re.compile(rf"(?:\w*[a-z])?masks?|(?:{_DRAWN})s?")
_DRAWN_FOLDER = re.compile(rf"(?<![a-z])(?:{_DRAWN})s?(?![a-z])", re.IGNORECASE)
# Names that may be masks; the images decide.
_PERHAPS = frozenset(
    {"annotation", "annotations", "contour", "contours", "groundtruth", "gt", "label", "labels"}
    | {"seg", "segs", "segmentation", "segmentations", "annots", "annot", "truth"}
)
_BEFORE = re.compile(
    r"(.+?)[\s_.-]*(?:(?<![a-z])(?:seg|segmentation|label|gt|annotation)|mask|"
    + _DRAWN
    + r")s?(?:[\s_.-]?\d+)?",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"(?:seg|segmentation|label|gt|annotation|mask|" + _DRAWN + r")s?[\s_.-]+(.+)", re.IGNORECASE
)
_ALONE = re.compile(
    r"(?:(?:lung|left|right)[\s_.-]*)?(?:mask|segmentation|seg)s?\d*", re.IGNORECASE
)
_LAST_WORD = re.compile(r"[\s_.-]+[a-z]+$", re.IGNORECASE)
_HINTS = ("mask", "seg", "label", "gt", "annot", "heat", "overla", "cam", "salien")
_MAX_SIBLINGS = 12
_MIN_IMAGES = 5  # in a folder whose name gives no reason
_MAX_OPENED = 60  # images of a tree
_PROBLEM = "the image is a mask or heat map of another image"


@dataclass(slots=True)
class Masks:
    """The masks of a tree: path below its root, and path of the file."""

    files: list[tuple[str, str]] = field(default_factory=list)
    opened: int = 0
    decided: dict[tuple[str, ...], bool] = field(default_factory=dict)  # by names of folders

    def report(self, start: str, listing: Listing) -> None:
        """Add the masks to the listing; ``start`` is the part of the paths that ids do not have."""
        if not self.files:
            return
        for name, path in self.files:
            listing.left_out.append(LeftOut(name.removeprefix(start), path, "mask", _PROBLEM))
        count = len(self.files)
        listing.report(
            "masks",
            "warning",
            f"{plural(count, 'image is a mask', 'images are masks')} or "
            f"{'a heat map' if count == 1 else 'heat maps'} by name or content and not used",
            count,
            [item.id for item in listing.left_out if item.reason == "mask"],
            consequence="a model would learn from outlines instead of radiographs",
            remedy="rename folders or files if they are radiographs",
        )


def set_masks_aside(tree: Branch) -> Masks:
    """Remove folders and files of masks from a tree, and return them.

    A folder is removed if its name says mask, or if its images have few grey values and its name
    or the equal names of images in a folder next to it give reason to open some. A file such as
    ``a_mask.png`` is removed if ``a.png`` is next to it.
    """
    masks = Masks()
    _visit(tree, "", masks)
    return masks


def _visit(branch: Branch, prefix: str, masks: Masks) -> None:
    if own := _mask_files(branch.files):
        masks.files += [(prefix + file.name, str(Path(branch.path, file.name))) for file in own]
        branch.files = [file for file in branch.files if file not in own]
    full = [one for one in branch.folders if one.images and not is_mask_folder(one.name)]
    full = full if 2 <= len(full) <= _MAX_SIBLINGS else []
    kept = []
    for folder in branch.folders:
        if folder.images and (is_mask_folder(folder.name) or _is_mask_folder(folder, full, masks)):
            names = (f"{folder.name}/{file.name}" for file in folder.walk())
            masks.files += [(prefix + name, str(Path(branch.path, name))) for name in names]
        else:
            kept.append(folder)
            _visit(folder, f"{prefix}{folder.name}/", masks)
    branch.folders = kept
    branch.images = len(branch.files) + sum(folder.images for folder in kept)


def _is_mask_folder(folder: Branch, siblings: Sequence[Branch], masks: Masks) -> bool:
    """Return whether a folder whose name does not say so contains masks of its siblings."""
    if not siblings:
        return False
    sample = _sample(folder)
    if all(_says_mask(name) for name, _ in sample):
        return all(_says_mask(file.name) for file in folder.walk())
    key = (folder.name, *sorted(one.name for one in siblings))
    if key not in masks.decided:
        if not _PERHAPS.isdisjoint(_words(folder.name)):
            masks.decided[key] = _look_like_masks(sample, masks)
        elif folder.images >= _MIN_IMAGES:
            others = [one for one in siblings if one is not folder and _has_any(one, sample)]
            masks.decided[key] = all(any(_has(o, name) for o in others) for name, _ in sample) and (
                _look_like_masks(sample, masks)
                and not any(_look_like_masks(_sample(one), masks) for one in others)
            )
    return masks.decided.get(key, False)


@lru_cache(maxsize=4096)
def is_mask_folder(path: str, *, perhaps: bool = False) -> bool:
    """Return whether a folder or one above it is for masks by its name.

    With ``perhaps``, names such as ``labels`` count, too.

    Examples
    --------
    >>> is_mask_folder("ManualMask/left"), is_mask_folder("labels")
    (True, False)
    """
    if _DRAWN_FOLDER.search(path):
        return True
    if not perhaps and "mask" not in path.casefold():
        return False
    words = _words(path)
    return any(map(_MASK.fullmatch, words)) or (perhaps and not _PERHAPS.isdisjoint(words))


def _words(name: str) -> list[str]:
    return _WORDS.findall(_CAMEL.sub(" ", name).casefold())


def _sample(folder: Branch) -> list[tuple[str, str]]:
    """Return relative name and path of the first, middle and last images of a first folder."""
    prefix = ""
    while not folder.files:
        folder = next(one for one in folder.folders if one.images)
        prefix += f"{folder.name}/"
    files = folder.files
    chosen = sorted({0, len(files) // 2, len(files) - 1})
    return [(prefix + files[n].name, str(Path(folder.path, files[n].name))) for n in chosen]


def _has_any(folder: Branch, sample: Sequence[tuple[str, str]]) -> bool:
    """Return whether a folder has an image of one of the names, with any ending."""
    return any(_has(folder, name) for name, _ in sample)


def _has(folder: Branch, name: str) -> bool:
    first, slash, rest = name.partition("/")
    if slash:
        return any(_has(one, rest) for one in folder.folders if one.name == first)
    start = f"{Path(name).stem}."
    at = bisect_left(folder.files, start, key=lambda file: file.name)
    return at < len(folder.files) and folder.files[at].name.startswith(start)


def _look_like_masks(sample: Sequence[tuple[str, str]], masks: Masks) -> bool:
    """Return whether the images that can be read have few grey values."""
    readable = 0
    for _, path in sample:
        if masks.opened >= _MAX_OPENED:
            return False
        masks.opened += 1
        few = _has_few_grey_values(path)
        if few is False:
            return False
        readable += few is True
    return readable > 0


def _has_few_grey_values(path: str) -> bool | None:
    import numpy as np

    from plainfilm.pixels import read_full_image

    try:
        pixels = read_full_image(path).pixels
    except (ImageError, OSError):
        return None
    values, counts = np.unique(pixels, return_counts=True)
    if len(values) <= 8:
        return True
    ends = (values <= int(values[0]) + 24) | (values >= int(values[-1]) - 24)  # after JPEG
    return bool(counts[ends].sum() >= 0.95 * pixels.size)


def _mask_files(files: Sequence[ImageFile]) -> set[ImageFile]:
    """Return the files that are named after another one in the same folder, and its mask."""
    joined = "\n".join(file.name for file in files).lower()
    if not any(hint in joined for hint in _HINTS):
        return set()
    stems = {Path(file.name).stem.casefold() for file in files}
    found = {file for file in files if not stems.isdisjoint(_bases(file.name))}
    if not found:  # image.png and mask.png of one patient
        alone = {file for file in files if _ALONE.fullmatch(Path(file.name).stem)}
        return alone if len(alone) < len(files) else set()
    # Other files that are named mask are then masks of missing images.
    return found | {file for file in files if found and _says_mask(file.name)}


def _says_mask(name: str) -> bool:
    return any(map(_MASK.fullmatch, _WORDS.findall(Path(name).stem.casefold())))


def _bases(name: str) -> list[str]:
    """Return the names, without ending, that the image of a mask may have.

    Examples
    --------
    >>> _bases("a_left_mask.png"), _bases("mask_a.png"), _bases("a.png")
    (['a_left', 'a'], ['a', 'a'], [])
    """
    stem = Path(name).stem.casefold()
    match = _BEFORE.fullmatch(stem) or _AFTER.fullmatch(stem)
    return [match[1], _LAST_WORD.sub("", match[1])] if match else []
