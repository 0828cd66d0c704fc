"""Renames classes and label columns as the user asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from plainfilm._text import plural
from plainfilm.data.sources.classes.names import fold_class
from plainfilm.data.sources.listing import MAX_CLASSES, Listing, finding
from plainfilm.data.sources.tables.label_values import meaning_of
from plainfilm.errors import UsageError
from plainfilm.records import Finding

OTHERS = "*"
"""Old name that stands for all classes that are not named."""


def parse_class_map(texts: Sequence[str]) -> dict[str, str]:
    """Return the class map of texts such as ``0=NORMAL,1=PNEUMONIA``.

    Examples
    --------
    >>> parse_class_map(["0=NORMAL,1=PNEUMONIA", "2=PNEUMONIA"])
    {'0': 'NORMAL', '1': 'PNEUMONIA', '2': 'PNEUMONIA'}
    """
    found: dict[str, str] = {}
    for pair in ",".join(texts).split(","):
        old, equals, new = (part.strip() for part in pair.rpartition("="))
        if not (old and equals and new) or found.get(old, new) != new:
            raise UsageError(
                "--map needs pairs of an old and a new class name, each old name once",
                received=repr(",".join(texts)),
                remedy="give for example --map 0=NORMAL,1=PNEUMONIA",
            )
        found[old] = new
    return found


def map_cells(cells: Sequence[str], class_map: Mapping[str, str]) -> list[str]:
    """Return the classes of cells by a map with ``*`` for all other cells; blank cells stay blank.

    Examples
    --------
    >>> map_cells(["-1", "387 23 996 33", ""], {"-1": "normal", "*": "mask"})
    ['normal', 'mask', '']
    """
    return [cell and class_map.get(cell, class_map[OTHERS]) for cell in cells]


def rename_classes(listings: Sequence[Listing], class_map: Mapping[str, str]) -> list[Finding]:
    """Rename the classes of all listings, or their label columns, in place.

    Old names are found in any spelling, and ``*`` stands for all other classes. A column of 1 and 0
    that is named after its positive class has the old names 1 and 0 as well.
    """
    new_names = {fold_class(str(old)): str(new).strip() for old, new in class_map.items()}
    if nameless := [old for old, new in class_map.items() if not str(new).strip()]:
        raise UsageError(
            "class_map= gives a class no name",
            received=", ".join(map(repr, nameless)),
            remedy="give a new name; rows of a table are left out with where=",
        )
    # Cells of tables may have been renamed already, see map_cells.
    done = {fold_class(name) for name in new_names.values()} if OTHERS in new_names else set()
    early = {  # see map_unknown
        fold_class(str(old)): fold_class(str(new))
        for old, new in class_map.items()
        if meaning_of(str(old)) in ("blank", "uncertain")
    }
    done |= {*early.values()}
    counts: Counter[str] = Counter()
    images: set[str] = set()
    shown: set[str] = set()
    for listing in listings:
        if listing.labels is not None:
            shown |= set(listing.labels)
            listing.labels = _rename_columns(listing.labels, new_names, counts)
            continue
        shown |= {str(item.label).strip() for item in listing.items}
        aliases = _aliases(listing)
        for item in listing.items:
            key = fold_class(str(item.label))
            key = key if key in new_names else aliases.get(key, key)
            if key not in new_names and key in done:
                counts[key] += 1
                images.add(item.id)
                continue
            key = key if key in new_names else OTHERS
            if key in new_names:
                counts[key] += 1
                images.add(item.id)
                listing.positive = None  # the new names show it
                item.label = new_names[key]
    keys = {old: fold_class(str(old)) for old in class_map}
    unknown = [old for old, key in keys.items() if not {key, early.get(key)} & counts.keys()]
    if not counts and {fold_class(name) for name in shown} <= set(
        map(fold_class, new_names.values())
    ):
        return []  # of several data sets, this one has the new names already
    if unknown and OTHERS not in new_names:
        named = ", ".join(sorted(shown)) if len(shown) <= MAX_CLASSES else f"{len(shown)} names"
        raise UsageError(
            "class_map= names classes that do not exist",
            received=", ".join(map(repr, unknown)),
            remedy=f"the classes are: {named}",
        )
    named = ", ".join(f"{old} to {new}" for old, new in class_map.items())
    problem = f"classes were renamed: {named} ({plural(len(images), 'image')})"
    if all(listing.labels is not None for listing in listings):
        problem = f"label columns were renamed: {named}"
    return [finding("classes-renamed", "note", problem, len(images) or counts.total())]


def _rename_columns(
    labels: tuple[str, ...], new_names: Mapping[str, str], counts: Counter[str]
) -> tuple[str, ...]:
    """Return the new names of label columns; all must stay different."""
    keys = [fold_class(label) for label in labels]
    counts.update(key for key in keys if key in new_names)
    renamed = tuple(new_names.get(key, label) for key, label in zip(keys, labels, strict=True))
    if len(set(renamed)) < len(renamed):
        raise UsageError(
            "class_map= gives one name to several label columns",
            received=", ".join(sorted({name for name in renamed if renamed.count(name) > 1})),
            remedy="give each label column its own name",
        )
    return renamed


def _aliases(listing: Listing) -> dict[str, str]:
    """Return the values 0 and 1 of classes that were named after a column of 1 and 0."""
    if listing.positive is None:
        return {}
    classes = {str(item.label) for item in listing.items}
    return {fold_class(name): "01"[name == listing.positive] for name in classes}
