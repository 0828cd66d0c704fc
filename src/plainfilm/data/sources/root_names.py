"""Names data sets after their folders and tables, so that two of them have different names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from plainfilm.data.sources.tables.files import is_table, table_name


def name_roots(roots: Sequence[str | Path]) -> list[str]:
    """Return a different name for each folder or table.

    It is the name of the folder, or that of the table without its ending. Where several roots have
    the same name, it is that of the nearest folder above that differs for all of them; if there is
    none, the name gets a number.

    Examples
    --------
    >>> name_roots(["hospital_a/labels.csv", "hospital_b/labels.csv", "kermany"])
    ['hospital_a', 'hospital_b', 'kermany']
    >>> name_roots(["kermany", "kermany"])
    ['kermany', 'kermany-2']
    """
    paths = [Path(root).absolute() for root in roots]
    names = [_own_name(path) for path in paths]
    sizes = Counter(names)
    for name in (name for name, size in sizes.items() if size > 1):
        group = [index for index, own in enumerate(names) if own == name]
        others = {own for own in names if own != name}
        above = _folders_above([paths[index] for index in group], others)
        for index, new in zip(group, above or [name] * len(group), strict=True):
            names[index] = new
    return number_names(names)


def number_names(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Return the names, with a number from 2 where one repeats or is ``taken``."""
    numbered: list[str] = []
    for base in names:
        name, number = base, 2
        while name in numbered or name in taken:
            name, number = f"{base}-{number}", number + 1
        numbered.append(name)
    return numbered


def _own_name(path: Path) -> str:
    if path.is_file() or (not path.is_dir() and is_table(path.name)):
        return table_name(path)
    return path.name or "data"


def _folders_above(paths: Sequence[Path], others: set[str]) -> list[str] | None:
    """Return the names of the nearest folders above that all differ, or None."""
    for level in range(min(len(path.parents) for path in paths)):
        found = [path.parents[level].name for path in paths]
        if len({*found}) == len(found) and all(found) and not others & {*found}:
            return found
    return None
