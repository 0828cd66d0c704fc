"""Describes the patients and images of a data set: age, sex, view, site and labels (Table 1)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median, stdev
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plainfilm.data.manifest import Manifest
from plainfilm.records import SPLITS, Task

Trait = Literal["age", "sex", "view", "site"]
Value = str | float | None
Columns = Mapping[str, Sequence[Value]]

# Names of columns in lower case, without "patient" or "dicom" and without other characters than
# letters; of several columns that of the first name is used. These are the names in public data
# sets and usual ones in English, German, French, Spanish, Portuguese and Italian.
SYNONYMS: Mapping[Trait, tuple[str, ...]] = {
    "age": ("age", "ageyears", "ageinyears", "years", "anchorage", "alter", "edad", "idade", "eta"),
    "sex": ("sex", "gender", "geschlecht", "sexe", "sexo", "sesso", "genere"),
    "view": ("view", "viewposition", "viewpos", "projection", "appa", "position", "frontallateral"),
    "site": ("site", "hospital", "institution", "center", "centre", "clinic", "klinik", "standort"),
}
_SEXES = {"f": "female", "female": "female", "m": "male", "male": "male", "w": "female"}
_AGE = re.compile(r"0*(\d+(?:\.\d+)?) ?([ymwd]?)", re.IGNORECASE)
_YEARS = {"": 1.0, "y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
_MISSING = frozenset(("", "none", "nan", "na", "n/a", "null", "unknown", "?", "-"))
_MOST = 12  # values of a column that are listed; the others are counted together
OTHERS = "other values"


@dataclass(frozen=True, slots=True)
class Numbers:
    """Distribution of a quantity; ``known`` is the number of values, ``sd`` has n - 1."""

    known: int
    missing: int
    mean: float
    sd: float
    median: float
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Groups:
    """Number of patients or images of each value, the most frequent first."""

    counts: Mapping[str, int]
    missing: int


@dataclass(frozen=True, slots=True)
class LabelSizes:
    """Number of positive images, and of images whose label is unknown."""

    positive: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Characteristics:
    """Patients and images of one split or data set.

    Attributes
    ----------
    age, sex
        Lowest age and first known sex of each patient. None without such a column.
    view, site
        View and site of each image. None without such a column.
    labels
        By label, or by class if the classes exclude each other.
    """

    name: str
    images: int
    patients: int
    age: Numbers | None = None
    sex: Groups | None = None
    view: Groups | None = None
    site: Groups | None = None
    labels: Mapping[str, LabelSizes] = field(default_factory=dict)

    @property
    def has_traits(self) -> bool:
        """Return whether more is known than labels and patients."""
        return any(own is not None for own in (self.age, self.sex, self.view, self.site))


def characterise(
    name: str,
    task: Task,
    patients: Sequence[str],
    labels: NDArray[np.float32],
    columns: Columns,
) -> Characteristics:
    """Describe images (n,) of ``patients``, with ``labels`` (n, labels) and ``columns`` (n,) each.

    A column is recognised by its name, see `SYNONYMS`.
    """
    found = find_traits(_known_columns(columns))
    by_trait = {trait: columns[column] for trait, column in found.items()}
    age, sex = by_trait.get("age"), by_trait.get("sex")
    return Characteristics(
        name=name,
        images=len(patients),
        patients=len(set(patients)),
        age=None if age is None else _numbers(_lowest(patients, map(read_age, age))),
        sex=None if sex is None else _groups(_first(patients, map(_read_sex, sex))),
        view=_groups(map(_text, by_trait["view"])) if "view" in by_trait else None,
        site=_groups(map(_text, by_trait["site"])) if "site" in by_trait else None,
        labels=_count_labels(task, labels),
    )


def characterise_splits(manifest: Manifest) -> list[Characteristics]:
    """Describe each split of a manifest; a manifest without splits is described as ``all``."""
    columns = _known_columns(manifest_columns(manifest))
    splits = manifest.records.known_splits
    patients, labels = manifest.patients, manifest.label_array()
    described = []
    for split in (*SPLITS, ""):
        rows: list[int] = np.flatnonzero(splits == split).tolist()
        if rows:
            some = {name: [cells[row] for row in rows] for name, cells in columns.items()}
            keys = [str(key) for key in patients[rows]]
            described.append(characterise(split or "all", manifest.task, keys, labels[rows], some))
    return described


def manifest_columns(manifest: Manifest) -> dict[str, list[Value]]:
    """Return the further columns (n,) of a manifest by name."""
    return {name: manifest.records.column(name) for name in manifest.records.column_names}


def _known_columns(columns: Columns) -> Columns:
    """Return the columns that have a value."""
    return {name: cells for name, cells in columns.items() if any(map(_text, cells))}


def find_traits(names: Iterable[str]) -> dict[Trait, str]:
    """Return the column of each trait.

    Examples
    --------
    >>> find_traits(["Patient Gender", "ViewPosition_DICOM", "AP/PA", "Follow-up #"])
    {'sex': 'Patient Gender', 'view': 'ViewPosition_DICOM'}
    """
    plain = {re.sub(r"patient|dicom|[\W\d_]", "", name.casefold()): name for name in names}
    return {
        trait: plain[word]
        for trait, words in SYNONYMS.items()
        if (word := next((own for own in words if own in plain), None)) is not None
    }


def read_age(value: Value) -> float | None:
    """Return an age in years, or None.

    Examples
    --------
    >>> [read_age(age) for age in (61.0, "058Y", "6M", "", "adult", None)]
    [61.0, 58.0, 0.5, None, None, None]
    """
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) and value >= 0 else None
    found = _AGE.fullmatch((value or "").strip())
    return float(found[1]) * _YEARS[found[2].lower()] if found else None


def _read_sex(value: Value) -> str | None:
    text = _text(value)
    return text and _SEXES.get(text.casefold(), text)


def _text(value: Value) -> str | None:
    """Return a value as text, or None if it is missing."""
    if isinstance(value, float):
        return None if math.isnan(value) else f"{value:g}"
    text = str(value).strip()
    return None if text.casefold() in _MISSING else text


def _first(patients: Sequence[str], values: Iterable[str | None]) -> list[str | None]:
    """Return the first known value of each patient."""
    found: dict[str, str | None] = {}
    for patient, value in zip(patients, values, strict=True):
        if found.get(patient) is None:
            found[patient] = value
    return [*found.values()]


def _lowest(patients: Sequence[str], values: Iterable[float | None]) -> list[float | None]:
    """Return the lowest known value of each patient."""
    found: dict[str, float | None] = {}
    for patient, value in zip(patients, values, strict=True):
        before = found.setdefault(patient, value)
        if value is not None and (before is None or value < before):
            found[patient] = value
    return [*found.values()]


def _numbers(values: Sequence[float | None]) -> Numbers:
    known = [value for value in values if value is not None]
    missing = len(values) - len(known)
    if not known:
        return Numbers(0, missing, *(math.nan,) * 5)
    sd = stdev(known) if len(known) > 1 else math.nan
    return Numbers(len(known), missing, fmean(known), sd, median(known), min(known), max(known))


def _groups(values: Iterable[str | None]) -> Groups:
    counts = Counter(values)
    missing = counts.pop(None, 0)
    ranked = sorted(
        ((str(value), size) for value, size in counts.items()), key=lambda one: (-one[1], one[0])
    )
    shown = dict(ranked[:_MOST])
    if rest := ranked[_MOST:]:
        shown[OTHERS] = sum(size for _, size in rest)
    return Groups(shown, missing)


def _count_labels(task: Task, labels: NDArray[np.float32]) -> dict[str, LabelSizes]:
    positive = (labels == 1).sum(axis=0).tolist()
    unknown = np.isnan(labels).sum(axis=0).tolist()
    return {
        label: LabelSizes(*sizes)
        for label, *sizes in zip(task.labels, positive, unknown, strict=True)
    }
