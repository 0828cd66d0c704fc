"""Assigns a patient key to each image.

The patient comes from a column, a pattern, a naming convention or a DICOM header. Identifiers
become keyed hashes here and are not stored. An image of unknown patient has its own id as key.
Published data sets without a patient column often have the patient in the file name; a split that
ignores it can put images of one patient into both training and test set.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.pseudonyms import Pseudonyms, salt_file
from plainfilm.data.sources.listing import Item, Listing, finding, split_of_name
from plainfilm.errors import UsageError
from plainfilm.pixels.identity import Identity, read_identity
from plainfilm.records import Finding

_COLUMN, _HEADERS, _PATTERN = "a column", "DICOM headers", "the given pattern"
_PLACEHOLDER_FILES = 20
"""An identifier that this many DICOM files share, without any other, is a placeholder."""

Pattern = Callable[[str], str | None]

# The kind of pneumonia is part of the key: the numbers of bacteria and virus are separate, so
# person 23 with bacteria and person 23 with a virus may be different patients.
_CONVENTIONS = {
    name: re.compile(rf"(?:^|/){pattern}$", re.IGNORECASE)
    for name, pattern in {
        "personN_bacteria_M / personN_virus_M (Kermany 2018)": (
            r"person(?P<b>\d+)_(?P<a>bacteria|virus)_[^/]*"
        ),
        "IM-N-M / NORMAL2-IM-N-M (Kermany 2018)": r"(?P<a>(?:NORMAL\d*-)?IM-\d+)-\d+[^/]*",
        "NNNNNNNN_MMM (NIH ChestX-ray14)": r"(?P<a>\d{8})_\d{3}(?:\.[a-z]+)*",
        "patientN/studyM/... (CheXpert)": r"(?P<a>patient\d+)/study\d+/[^/]+",
        "pN/sM/... (MIMIC-CXR)": r"(?P<a>p\d{8})/s\d{8}(?:/[^/]+|\.[a-z]+)",
    }.items()
}
"""Known ways of naming files: name and pattern of the path below the root."""

_SUBGROUP = re.compile(r"(?:^|[_\-/ ])(bacteria|virus)(?:l|[_\-/ .]|$)", re.IGNORECASE)


@dataclass(slots=True)
class _Statistics:
    """Counts for the findings."""

    images: Counter[str] = field(default_factory=Counter)  # by source of the key
    patients: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    unknown: list[str] = field(default_factory=list)
    named: int = 0
    placeholders: int = 0
    scopes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def scope_of(root: Path) -> str:
    """Return the data set of a root, within which equal names mean one patient.

    ``train`` and ``test`` in one folder belong to one data set, and so do tables in one folder.
    """
    folder = root.resolve() if root.is_dir() else root.resolve().parent
    return str(folder.parent if split_of_name(folder.name) else folder)


def assign_patients(listings: Sequence[Listing], pattern: Pattern | None) -> list[Finding]:
    """Assign a patient key to every item and, if its name contains one, a subgroup.

    In order of priority, the patient comes from the pattern, a column, a naming convention or a
    DICOM header. Equal identifiers of a column, a header or one convention mean one patient in all
    roots; conventions are those of published data sets, and a user may give several copies of one.
    Equal matches of a pattern mean one patient only within one data set.
    """
    statistics = _Statistics()
    pseudonyms = Pseudonyms()
    scopes = _name_scopes(listings)
    for listing in listings:
        headers = {item.id: read_identity(item.path, item.id) for item in listing.items}
        placeholder = _placeholder(headers)
        for item in listing.items:
            if subgroup := subgroup_of(item.id):
                item.columns.setdefault("subgroup", subgroup)
            header = headers[item.id]
            statistics.named += header is not None and header.in_name
            known = _identify(item, pattern, header, placeholder)
            if known is None:
                statistics.unknown.append(item.id)
                statistics.placeholders += header is not None and header.patient is not None
                item.patient = item.id
                continue
            identifier, source, convention = known
            scope = scopes[listing.scope] if source == _PATTERN else convention
            item.patient = pseudonyms.key(identifier, scope)
            statistics.images[source] += 1
            statistics.patients[source].add(item.patient)
            if source == _PATTERN:
                statistics.scopes[identifier].add(scope)
    total = sum(len(listing.items) for listing in listings)
    if pattern is not None and total and not statistics.images[_PATTERN]:
        raise UsageError(
            "patient= matches no file name",
            received=next(item.id for one in listings for item in one.items).rsplit("/", 1)[-1],
            remedy="give an expression that matches such names, or leave patient= out",
        )
    return [*_report(statistics, total, pseudonyms.kept)]


def _identify(
    item: Item, pattern: Pattern | None, header: Identity | None, placeholder: str | None
) -> tuple[str, str, str] | None:
    """Return the identifier, its source, and its naming convention or an empty string."""
    if pattern is not None and (matched := pattern(item.id)):
        return matched, _PATTERN, ""
    if pattern is None:
        if item.patient:
            return item.patient, _COLUMN, ""
        if known := patient_of(item.id):
            return known[0], known[1], known[1]
    if header is not None and header.patient and header.patient != placeholder:
        return header.patient, _HEADERS, ""
    return None


def _placeholder(headers: dict[str, Identity | None]) -> str | None:
    """Return the identifier that all DICOM files of a root share, if there are many files."""
    found = [one.patient for one in headers.values() if one is not None and one.patient]
    return found[0] if len(found) >= _PLACEHOLDER_FILES and len(set(found)) == 1 else None


def _name_scopes(listings: Sequence[Listing]) -> dict[str, str]:
    """Name scopes independently of their path; a scope inside another belongs to it."""
    scopes = {listing.scope for listing in listings}
    widest = {
        scope: min((s for s in scopes if f"{scope}{os.sep}".startswith(f"{s}{os.sep}")), key=len)
        for scope in scopes
    }
    first = {widest[listing.scope]: listing.name for listing in reversed(listings)}
    names = {scope: f"pattern/{name if len(first) > 1 else ''}" for scope, name in first.items()}
    return {scope: names[widest[scope]] for scope in scopes}


def _report(statistics: _Statistics, total: int, kept: bool) -> Iterator[Finding]:
    if statistics.images:
        sources = "; ".join(
            f"{source}: {plural(count, 'image')} of "
            f"{plural(len(statistics.patients[source]), 'patient')}"
            for source, count in sorted(statistics.images.items())
        )
        # A separate check, since a pattern may join files that do not belong together.
        check = "patient-pattern" if _PATTERN in statistics.images else "patient-keys"
        problem = f"patients were read from {sources}"
        yield finding(check, "note", problem, statistics.images.total())
    if shared := sum(len(scopes) > 1 for scopes in statistics.scopes.values()):
        yield finding(
            "patient-names-shared",
            "warning",
            f"the pattern finds {plural(shared, 'patient name')} in several data sets; they "
            "count as different patients",
            shared,
            consequence="if they are the same, images of one patient may be in several splits",
            remedy="if they are the same, name a patient column with patient=",
        )
    if statistics.unknown:
        yield _unknown(statistics, total)
    if statistics.named:
        yield finding(
            "identity-in-names",
            "warning",
            f"the names of {plural(statistics.named, 'DICOM file')} or their folders contain a "
            "patient name or number, an accession number or a UID",
            statistics.named,
            consequence="results and reports show file names",
            remedy="copy the files under neutral names before you pass on results",
        )
    if not kept:
        yield finding(
            "salt-not-kept",
            "note",
            f"{salt_file()} cannot be written; the next call gives other patient keys",
            1,
            remedy="set the variable PLAINFILM_SALT to compare keys between calls",
        )


def _unknown(statistics: _Statistics, total: int) -> Finding:
    count = len(statistics.unknown)
    problem = f"the patient of {count:,} of {plural(total, 'image')} is unknown; each image counts "
    problem += "as its own patient"
    if statistics.placeholders:
        files = plural(statistics.placeholders, "DICOM file has", "DICOM files have")
        problem += f" ({files} the same identifier)"
    return finding(
        "patient-unknown",
        "warning",
        problem,
        count,
        statistics.unknown,
        consequence="images of one patient may be in several splits, which makes scores too high",
        remedy="name a column or give a regular expression with patient=",
    )


def _join(match: re.Match[str]) -> str | None:
    named = match.groupdict()
    parts = [named[name] for name in sorted(named)] if named else list(match.groups())
    return "-".join(part for part in parts if part) or None


def patient_of(path: str) -> tuple[str, str] | None:
    """Return the patient and the naming convention of a path below the root, or None.

    Examples
    --------
    >>> patient_of("train/PNEUMONIA/person23_virus_7.jpeg")[0]
    'virus-23'
    >>> patient_of("NORMAL/scan.png") is None
    True
    """
    for name, pattern in _CONVENTIONS.items():
        if (match := pattern.search(path)) and (patient := _join(match)):
            return patient, name
    return None


def subgroup_of(path: str) -> str | None:
    """Return ``bacteria`` or ``virus`` if the file name contains the kind of pneumonia."""
    match = _SUBGROUP.search(path.rsplit("/", 1)[-1])
    return match[1].lower() if match else None


def compile_patient_pattern(pattern: str) -> Callable[[str], str | None]:
    """Return a function that reads the patient from a path with a regular expression.

    The expression is searched in the file name; its groups, joined with ``-``, are the patient.
    An invalid expression or one without a group raises `UsageError`.
    """
    remedy = r"give an expression with a group for the patient, such as r'^(\d+)_'"
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"patient= is not a valid regular expression: {error}",
            received=repr(pattern),
            remedy=remedy,
        ) from error
    if compiled.groups == 0:
        raise UsageError(
            "patient= is neither a column nor a regular expression with a group",
            received=repr(pattern),
            remedy=remedy,
        )

    def key(path: str) -> str | None:
        match = compiled.search(path.rsplit("/", 1)[-1])
        return None if match is None else _join(match)

    return key
