"""Sets aside folders whose names say that their images are not for use."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.classes.names import fold_class
from plainfilm.data.sources.folders.tree import Branch
from plainfilm.data.sources.listing import Listing

_EXCLUDED = re.compile(
    r"(?:unlabell?ed|excluded?|exclusions?|discard(?:ed)?|trash|ignored?|deleted|unusable)"
    r"(?:cases|data|files|folder|images?|imgs?|scans?)?\d*"
)


def is_excluded_name(name: str) -> bool:
    """Return whether a folder of this name has images that are not for use.

    Examples
    --------
    >>> [is_excluded_name(name) for name in ("_trash", "Unlabeled images", "unknown")]
    [True, True, False]
    """
    return _EXCLUDED.fullmatch(fold_class(name).strip("_-. ")) is not None


def leave_out_excluded(top: Branch, kept: Collection[str], listing: Listing) -> None:
    """Remove folders such as ``unlabelled`` next to at least two others or to images.

    ``kept`` are names of folders that the user gives another name.
    """
    removed = [*_remove(top, {fold_class(name) for name in kept})]
    count = 0
    for folder in removed:
        for file in folder.walk():
            path = str(Path(folder.path, file.name))
            identity = Path(path).relative_to(top.path).as_posix()
            problem = f"the folder {folder.name} is not a class by its name"
            listing.left_out.append(LeftOut(identity, path, "ignored-folder", problem))
            count += 1
    if removed:
        names = sorted({folder.name for folder in removed})
        listing.report(
            "ignored-folders",
            "warning",
            f"{plural(count, 'image')} in folders named {', '.join(names[:5])} "
            f"{'is' if count == 1 else 'are'} not used",
            count,
            [item.id for item in listing.left_out if item.reason == "ignored-folder"],
            consequence="as a class they would be trained and evaluated like the others",
            remedy="rename the folder if it is a class",
        )


def _remove(branch: Branch, kept: Collection[str]) -> list[Branch]:
    """Remove the excluded folders below a folder, and return them."""
    full = [folder for folder in branch.folders if folder.images]
    found = [one for one in full if is_excluded_name(one.name) and fold_class(one.name) not in kept]
    rest = len(full) - len(found)
    if rest < 2 and not (branch.files and not rest):
        found = []
    branch.folders = [
        folder for folder in branch.folders if not any(folder is one for one in found)
    ]
    for folder in branch.folders:
        found = [*found, *_remove(folder, kept)]
    branch.images = len(branch.files) + sum(folder.images for folder in branch.folders)
    return found
