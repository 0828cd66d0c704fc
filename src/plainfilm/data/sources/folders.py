"""Class folders, with or without train, validation and test above them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.listing import SPLIT_NAMES, Item, Listing, finding
from plainfilm.errors import SourceError
from plainfilm.pixels import IMAGE_SUFFIXES
from plainfilm.records import Split

__all__ = ["Branch", "list_folder", "looks_like_image", "read_tree", "told_endings"]

MAX_CLASSES = 100
"""More class folders than this are patients or studies, not classes."""

_MISSING = -1
_ENDINGS = 8  # as many are named in one message
_USUAL = re.compile(r"\.[a-z0-9]{1,5}")
_TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})


@dataclass(slots=True)
class Branch:
    """One folder of the tree: its images, its folders, and how much it holds altogether.

    ``others`` counts the files that are not worth opening by their endings.
    """

    name: str
    path: str
    real: str
    files: list[tuple[str, int, str]] = field(default_factory=list)  # name, bytes, real path
    folders: list[Branch] = field(default_factory=list)
    images: int = 0
    others: Counter[str] = field(default_factory=Counter)  # ".txt": how many
    unreadable: list[str] = field(default_factory=list)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, int, str]]:
        """Yield (path below this branch, bytes, real path) of every image, sorted."""
        for name, size, real in self.files:
            yield prefix + name, size, real
        for folder in self.folders:
            yield from folder.walk(f"{prefix}{folder.name}/")


def looks_like_image(name: str) -> bool:
    """Tell whether a file of this name is worth opening.

    A known image ending, none at all, or one of digits (a DICOM UID as a file name) is.
    """
    stem, dot, ending = name.rpartition(".")
    if not dot or not stem or ending.isdigit():
        return True
    return f".{ending.lower()}" in IMAGE_SUFFIXES


def _ignored(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def read_tree(root: Path) -> Branch:
    """List the images below ``root``; links are followed, a loop of links once.

    Raises
    ------
    SourceError
        If ``root`` itself cannot be listed.
    """
    real = os.path.realpath(root)
    try:
        return _grow(root.name, str(root), real, frozenset())
    except OSError as error:
        raise SourceError(
            "the folder cannot be listed", received=f"{root}: {error.strerror}"
        ) from error


def _grow(name: str, path: str, real: str, above: frozenset[str]) -> Branch:
    branch = Branch(name, path, real)
    above = above | {real}
    with os.scandir(path) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        if _ignored(entry.name):
            continue
        linked = entry.is_symlink()
        below = os.path.realpath(entry.path) if linked else f"{real}{os.sep}{entry.name}"
        if entry.is_dir():
            if below not in above:  # a link to a folder above would never end
                _grow_into(branch, entry.name, entry.path, below, above)
        elif looks_like_image(entry.name) and (entry.is_file() or linked):
            try:
                size = entry.stat().st_size
            except OSError:
                size = _MISSING
            branch.files.append((entry.name, size, below))
            branch.images += 1
        else:
            branch.others[Path(entry.name).suffix.lower()] += 1
    return branch


def _grow_into(parent: Branch, name: str, path: str, real: str, above: frozenset[str]) -> None:
    try:
        child = _grow(name, path, real, above)
    except OSError:
        parent.unreadable.append(path)
        return
    parent.folders.append(child)
    parent.images += child.images
    parent.others += child.others
    parent.unreadable += child.unreadable


def list_folder(root: Path) -> Listing:
    """List a folder of class folders.

    Folders that hold nothing but one folder are stepped through, as archives unpack them; ids are
    paths below the folder where the splits or classes lie.

    Raises
    ------
    SourceError
        If there is no image, or a class folder is empty.
    """
    tree = read_tree(root)
    if tree.images == 0:
        raise SourceError(
            "no image in the folder",
            received=f"{root} ({_told_others(tree.others)})",
            remedy=f"give a folder with files ending in {', '.join(sorted(IMAGE_SUFFIXES))}",
        )
    top = _unwrap(tree)
    listing = Listing(name=_name_of(root))
    if parts := _splits(top):
        _note_neighbours(top, parts, listing)
        layers = [(SPLIT_NAMES[part.name.casefold()], part) for part in parts]
        _list_layers([(o, p, f"{p.name}/") for o, p in layers], listing)
    else:
        _list_layers([(None, top, "")], listing)
    _note_rest(root, tree, top, listing)
    return listing


def told_endings(others: Counter[str]) -> str:
    """Name the endings that most files have, and how many files have others.

    What is no usual ending is not named: it is the rest of a name with a dot in it, maybe of a
    person.

    Examples
    --------
    >>> told_endings(Counter({".pdf": 1, ".txt": 2, ". hildegard": 1}))
    '2 .txt, 1 .pdf, 1 with another ending'
    """
    usual = [(-number, ending) for ending, number in others.items() if _USUAL.fullmatch(ending)]
    named = sorted(usual)[:_ENDINGS]
    parts = [f"{-number} {ending}" for number, ending in named]
    if rest := others.total() + sum(number for number, _ in named):
        parts.append(f"{rest} with {'another ending' if rest == 1 else 'other endings'}")
    return ", ".join(parts)


def _told_others(others: Counter[str]) -> str:
    number = others.total()
    return f"{number} files that are no images" + (f": {told_endings(others)}" if number else "")


def _name_of(root: Path) -> str:
    return root.name or root.resolve().name or "data"


def _unwrap(branch: Branch) -> Branch:
    while not branch.files and not _splits(branch):
        full = [folder for folder in branch.folders if folder.images]
        if len(full) != 1 or full[0].files:
            break
        branch = full[0]
    return branch


def _splits(branch: Branch) -> list[Branch]:
    return [f for f in branch.folders if f.images and f.name.casefold() in SPLIT_NAMES]


def _list_layers(layers: list[tuple[Split | None, Branch, str]], listing: Listing) -> None:
    """List every class folder of every split, after a look that none is empty."""
    known = {c.name.casefold() for _, layer, _ in layers for c in layer.folders if c.images}
    if len(known) > MAX_CLASSES:
        raise SourceError(
            f"{len(known)} class folders are too many to be classes",
            received=", ".join(sorted(known)[:5]) + ", ...",
            remedy="give a folder whose folders are the classes, or a table of labels",
        )
    loose = [layer for _, layer, _ in layers if layer.files]
    if not known and loose:
        here = Path(loose[0].path)
        raise SourceError(
            f"{here} holds images and no class folders: that is one class at most",
            received=f"{sum(len(layer.files) for layer in loose)} images, none in a class folder",
            remedy=f"give the folder above it ({here.absolute().parent}) if its folders are the "
            "classes, or a table that says the class of each image",
        )
    empty: list[str] = []
    aside: list[str] = []
    for _, layer, prefix in layers:
        for folder in layer.folders:
            if not folder.images and folder.name.casefold() not in SPLIT_NAMES:
                bare = not folder.others or folder.name.casefold() in known
                (empty if bare else aside).append(prefix + folder.name)
    if empty:
        raise SourceError(
            "a class folder holds no image",
            received=", ".join(empty),
            remedy="fill it, or remove it if it is not a class",
        )
    if aside:
        listing.findings.append(
            finding(
                "ignored-folders",
                "note",
                f"folders without images were not taken for classes: {', '.join(aside[:5])}",
                len(aside),
            )
        )
    for official, layer, prefix in layers:
        for folder in layer.folders:
            _list_class(folder, official, f"{prefix}{folder.name}/", listing)
    _note_loose(layers, listing)


def _list_class(folder: Branch, official: Split | None, prefix: str, listing: Listing) -> None:
    for below, size, real in folder.walk():
        first, slash, _ = below.partition("/")
        # Some data sets put the splits below the classes.
        inner = SPLIT_NAMES.get(first.casefold()) if slash and official is None else None
        identity, path = prefix + below, str(Path(folder.path, below))
        if not _is_text(path):
            what = "the name is no text, so that it cannot be written down"
            shown = _escaped(identity), _escaped(path)
            listing.left_out.append(LeftOut(shown[0], shown[1], "strange-name", what))
        elif size > 0:
            listing.items.append(Item(identity, path, real, folder.name, official or inner))
        else:
            listing.left_out.append(leave_out(identity, path, size))


def _is_text(path: str) -> bool:
    """Tell whether a path can be written as UTF-8; what was no UTF-8 has surrogates in it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(path: str) -> str:
    return path.encode(errors="backslashreplace").decode()


def leave_out(identity: str, path: str, size: int) -> LeftOut:
    """Say why a file of no bytes, or of a negative size = missing, is not used."""
    if size == 0:
        return LeftOut(identity, path, "empty", "the file is empty (0 bytes)")
    return LeftOut(identity, path, "missing", "there is no such file")


def _note_loose(layers: list[tuple[Split | None, Branch, str]], listing: Listing) -> None:
    loose = [prefix + name for _, layer, prefix in layers for name, _, _ in layer.files]
    if loose:
        listing.findings.append(
            finding(
                "loose-images",
                "warning",
                f"{len(loose)} images lie beside the class folders, not in one; they are not used",
                len(loose),
                loose,
                consequence="without a class folder their label is not known",
                remedy="move them into a class folder, or remove them",
            )
        )


def _signature(parts: list[Branch]) -> set[tuple[str, int]]:
    return {(f"{p.name}/{below}".casefold(), size) for p in parts for below, size, _ in p.walk()}


def _note_neighbours(top: Branch, parts: list[Branch], listing: Listing) -> None:
    """Look at what lies beside train and test: the archive of Kermany's set holds itself twice."""
    mine: set[tuple[str, int]] | None = None
    for folder in top.folders:
        if not folder.images or folder in parts:
            continue
        inner = _splits(_unwrap(folder))
        if inner:
            mine = _signature(parts) if mine is None else mine
            theirs = _signature(inner)
            if shared := len(theirs & mine):
                extra = len(theirs) - shared
                listing.findings.append(
                    finding(
                        "doubled-tree",
                        "warning" if extra else "note",
                        f"{folder.name}/ repeats {shared} of the images beside it"
                        + (f" and holds {extra} others" if extra else "")
                        + "; it is not loaded again",
                        len(theirs),
                        consequence="loading both would put every image in twice",
                        remedy="compare the two folders, and keep one" if extra else "",
                    )
                )
                continue
        listing.findings.append(
            finding(
                "ignored-folders",
                "warning",
                f"{folder.name}/ lies beside the splits and is not used: {folder.images} images",
                folder.images,
                remedy="name it train, validation or test if it is one",
            )
        )


def _note_rest(root: Path, tree: Branch, top: Branch, listing: Listing) -> None:
    if tree.others:
        listing.findings.append(
            finding(
                "other-files",
                "note",
                "not opened, for their ending is of no known image format: "
                f"{tree.others.total()} ({told_endings(tree.others)})",
                tree.others.total(),
            )
        )
    if tree.unreadable:
        listing.findings.append(
            finding(
                "unreadable-folders",
                "warning",
                f"{len(tree.unreadable)} folders cannot be listed",
                len(tree.unreadable),
                (os.path.relpath(path, root) for path in tree.unreadable),
                remedy="check their permissions",
            )
        )
    tables = sorted(p.name for p in Path(top.path).iterdir() if p.suffix.lower() in _TABLE_SUFFIXES)
    if tables:
        listing.findings.append(
            finding(
                "table-beside",
                "note",
                f"beside the images lies {', '.join(tables)}; labels are the names of the folders",
                len(tables),
                remedy="give the table instead of the folder to use its columns",
            )
        )
