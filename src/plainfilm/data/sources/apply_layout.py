"""Finds the tables of a published data set and fills in the options of its layout."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple, cast

from plainfilm.data.sources.layouts import LAYOUTS, Layout, recognise
from plainfilm.data.sources.listing import finding
from plainfilm.data.sources.options import SourceOptions
from plainfilm.data.sources.tables.files import is_table
from plainfilm.data.sources.tables.open_table import as_paths
from plainfilm.data.sources.tables.table import Table
from plainfilm.errors import PlainfilmError, SourceError, UsageError
from plainfilm.records import Finding

_REPLACED = {"patient": "patient_folder", "patient_folder": "patient", "labels": "class_map"}
"""Options that replace another option of a layout."""
_LONGEST_HEADER = 100_000  # bytes


class Applied(NamedTuple):
    """Tables or folders to read, with the options of a layout, and findings about it."""

    roots: list[Path]
    options: SourceOptions
    findings: list[Finding]


def apply_layout(name: str, roots: Sequence[Path], options: SourceOptions) -> Applied:
    """Find the tables of a set and fill in the options that were not given.

    Parameters
    ----------
    name
        Name of the layout.
    roots
        The folder of the set, or its tables.
    options
        Options that were given; they have priority. Both expressions of ``where`` apply, and all
        tables of ``join`` are joined.

    Raises
    ------
    UsageError
        If there is no such layout.
    SourceError
        If a table of the layout is missing.
    """
    forms = [layout for layout in LAYOUTS if layout.name == name]
    if not forms:
        raise UsageError(
            "layout= is not a known data set",
            received=repr(name),
            remedy=f"choose one of {', '.join(dict.fromkeys(one.name for one in LAYOUTS))}",
        )
    layout, found = _find_tables(forms, roots)
    given = {key: value for key, value in options.items() if value is not None}
    filled, findings = _below(layout, _folder_of(found[0], layout))
    if "where" in filled and "where" in given:
        given["where"] = f"({filled['where']}) and ({given['where']})"
    if "join" in given:
        given["join"] = [*filled.get("join", ()), *as_paths(options.get("join"))]
    for option, replaced in _REPLACED.items():
        if option in given:
            filled.pop(replaced, None)
    used = cast("SourceOptions", {**filled, **given})
    findings = [*_describe(layout, found, knows_patients="patient" in given), *findings]
    return Applied(found, used, findings)


def fit_labels(table: Table, options: SourceOptions, given: SourceOptions) -> SourceOptions:
    """Return the options with those label columns of a layout that the table has."""
    labels = options.get("labels")
    if given.get("labels") is not None or labels is None or isinstance(labels, str):
        return options
    return {**options, "labels": [name for name in labels if name in table.columns] or labels}


@contextmanager
def propose_layout(table: Table, findings: list[Finding]) -> Iterator[None]:
    """Propose the layout of a table in a finding, or in the error that its reading raises."""
    layout = recognise(table.columns)
    if layout is None:
        yield
        return
    proposal = f"layout= {layout.name} reads its labels, patients and splits"
    try:
        yield
    except PlainfilmError as error:
        looks = f"the table looks like {layout.title}: {proposal}"
        error.remedy = f"{error.remedy}; {looks}" if error.remedy else looks
        raise
    problem = f"{table.path.name} looks like {layout.title}"
    findings.append(finding("layout-known", "note", problem, 1, remedy=proposal))


def _describe(layout: Layout, found: Sequence[Path], *, knows_patients: bool) -> list[Finding]:
    names = ", ".join(path.name for path in found)
    problem = f"{names} {'was' if len(found) == 1 else 'were'} read as {layout.title}"
    remedy = f"to use frontal images only, add where= '{layout.frontal}'" if layout.frontal else ""
    findings = [finding("layout", "note", problem, len(found), remedy=remedy)]
    if layout.caution and not knows_patients:
        findings.append(
            finding(
                "layout-patients",
                "warning",
                f"{layout.title}: {layout.caution}",
                len(found),
                consequence="images of one person may be in several splits, and the set is not "
                "external to ChestX-ray14",
                remedy="join a table of the persons with join= and name its column with patient=",
            )
        )
    return findings


def _find_tables(forms: Sequence[Layout], roots: Sequence[Path]) -> tuple[Layout, list[Path]]:
    """Return the layout that fits, and its tables, or the folders if it has no table."""
    if not forms[0].tables:
        return forms[0], [*roots]
    found: list[Path] = []
    for root in roots:
        if not root.is_dir():
            forms = [one for one in forms if _matches(root, one)] or forms
            found.append(root)
            continue
        hits = ((one, tables) for one in forms if (tables := _search(root, one)))
        layout, tables = next(hits, (None, []))
        if layout is None:
            raise SourceError(
                f"the folder has no table of {forms[0].title}",
                received=root,
                remedy=f"give the folder that contains {' or '.join(forms[0].tables)}, "
                "or the table itself",
            )
        forms = [layout]
        found += tables
    return forms[0], found


def _matches(path: Path, layout: Layout) -> bool:
    """Return whether a table is of a layout by its name or its columns."""
    named = any(fnmatch(path.name, Path(pattern).name) for pattern in layout.tables)
    return named or _has_columns(path, layout)


def _has_columns(path: Path, layout: Layout) -> bool:
    if not layout.columns:
        return False
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            head = file.readline(_LONGEST_HEADER).decode("utf-8-sig", "replace")
    except OSError:
        return False
    names = {name.strip() for name in next(csv.reader([head]), [])}
    return names.issuperset(layout.columns)


def _search(root: Path, layout: Layout) -> list[Path]:
    """Return the tables of a layout in a folder or one folder below it."""
    for depth in ("", "*/"):
        hits = [sorted(root.glob(depth + pattern)) for pattern in layout.tables]
        if any(hits):
            return [paths[-1] for paths in hits if paths]
    tables = (path for path in sorted(root.iterdir()) if is_table(path.name) and path.is_file())
    return [path for path in tables if "submission" not in path.name and _has_columns(path, layout)]


def _folder_of(table: Path, layout: Layout) -> Path:
    """Return the folder of the set: that of the table, or above it as the layout says."""
    if table.is_dir():
        return table
    for pattern in map(Path, layout.tables):
        if fnmatch(table.name, pattern.name) and table.parent.name == pattern.parent.name:
            return table.parents[len(pattern.parts) - 1]
    return table.parent


def _below(layout: Layout, folder: Path) -> tuple[dict[str, Any], list[Finding]]:
    """Return the options with paths that start from a folder, and findings of missing lists."""
    options: dict[str, Any] = dict(layout.options)
    findings = []
    if "images" in options:
        begins = layout.prefix and fnmatch(folder.resolve().name, layout.prefix)
        options["images"] = folder.resolve().parent if begins else folder / options["images"]
    further = [path for pattern in layout.further for path in sorted(folder.glob(pattern))[-1:]]
    if joined := [*(_one(folder, one, layout) for one in options.get("join", ())), *further]:
        options["join"] = joined
    if "split_lists" in options:
        lists = [folder / name for name in options["split_lists"]]
        options["split_lists"] = [path for path in lists if path.exists()]
        if missing := [path.name for path in lists if not path.exists()]:
            findings.append(
                finding(
                    "split-lists-missing",
                    "warning",
                    f"the official lists of {layout.title} are not in the folder of its table: "
                    + ", ".join(missing),
                    len(missing),
                    consequence="results cannot be compared with published ones",
                    remedy="copy the lists into the folder of the table",
                )
            )
    return options, findings


def _one(folder: Path, pattern: str, layout: Layout) -> Path:
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise SourceError(
            f"a table of {layout.title} is missing",
            received=f"no {pattern} in {folder}",
            remedy="copy all tables of the set into one folder",
        )
    return paths[-1]
