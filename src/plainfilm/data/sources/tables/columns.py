"""Chooses the columns of a table of images."""

from __future__ import annotations

from dataclasses import dataclass

from plainfilm.data.sources.options import SourceOptions
from plainfilm.data.sources.tables.label_columns import check_label_column
from plainfilm.data.sources.tables.split_columns import find_split_columns
from plainfilm.data.sources.tables.table import Table, remedy_of_columns
from plainfilm.errors import SourceError, UsageError

_USUAL_NAMES = {
    "path": ("file", "path", "image", "filename", "filepath", "imagepath", "imagefile"),
    "label": ("label", "class", "target"),
    "patient": ("patient", "patientid", "patientkey", "subject", "subjectid"),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns by role; ``labels`` is one class column or several label columns."""

    path: str
    labels: tuple[str, ...]
    patient: str | None
    split: str | None
    guessed: tuple[str, ...]


def choose_columns(table: Table, options: SourceOptions) -> Columns:
    """Choose the columns for path, labels, patient and split, by option or by usual name."""
    labels, patient = options.get("labels"), options.get("patient")
    split_column, separator = options.get("split_column"), options.get("separator")
    guessed: list[str] = []

    def find(role: str, argument: str, name: str | None, required: bool) -> str | None:
        if name is not None:
            return _existing(table, argument, name)
        found = [n for n in table.columns if _plain(n) in _USUAL_NAMES[role]]
        return only(role, argument, found, required)

    def only(role: str, argument: str, found: list[str], required: bool = False) -> str | None:
        if len(found) > 1 or (required and not found):
            raise SourceError(
                f"{'several columns' if found else 'no column'} could be the {role}"
                + (f": {', '.join(found)}" if found else ""),
                received=f"{table.path} with the columns {table.names}",
                remedy=remedy_of_columns(table.columns, f"name the column with {argument}="),
            )
        if found:
            guessed.append(f"{role} from {found[0]!r}")
        return found[0] if found else None

    path = find("path", "path_column", options.get("path_column"), True)
    assert path is not None
    if labels is None or isinstance(labels, str):
        label = find("label", "labels", labels, True)
        chosen: tuple[str, ...] = (label,) if label else ()
    else:
        chosen = tuple(_existing(table, "labels", label) for label in labels)
        if not chosen or len(set(chosen)) != len(chosen):
            raise UsageError("labels= needs different columns", received=list(labels))
    for name in chosen:
        check_label_column(table, name, separator=separator, guessed=labels is None)
    # A patient= that is not a column is a pattern for file names, which replaces a usual column.
    owner = patient if patient in table.columns else None
    if patient is None:
        owner = find("patient", "patient", None, False)
    if split_column is not None:
        split: str | None = _existing(table, "split_column", split_column)
    else:
        used = {path, owner, *chosen} - {None}
        split = only("split", "split_column", find_split_columns(table, used))
    return Columns(path, chosen, owner, split, tuple(guessed))


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _existing(table: Table, argument: str, name: str) -> str:
    if name not in table.columns:
        raise UsageError(
            f"{argument}= names a column that does not exist",
            received=f"{name!r}; {table.path} has {table.names}",
            remedy=remedy_of_columns(table.columns, f"name an existing column with {argument}="),
        )
    return name
