"""Whose each image is: from a column, a pattern, a habit of naming or a DICOM header, as a key.

Identifiers become keyed hashes here and go no further. An image of which nothing is known keeps its
own id as its key.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plainfilm.data.pseudonyms import Pseudonyms, salt_file
from plainfilm.data.sources.listing import SPLIT_NAMES, Item, Listing, finding
from plainfilm.data.sources.names import patient_of, subgroup_of
from plainfilm.errors import UsageError
from plainfilm.pixels.identity import Identity, read_identity
from plainfilm.records import Finding

__all__ = ["assign_patients", "scope_of"]

_COLUMN, _HEADERS, _PATTERN = "a column", "DICOM headers", "the given pattern"
_ONE_FOR_ALL = 20
"""Where as many DICOM files as this carry one identifier and no other, it is a placeholder."""

Pattern = Callable[[str], str | None]


@dataclass(slots=True)
class _Found:
    """What was found on the way."""

    images: Counter[str] = field(default_factory=Counter)  # by where the key came from
    patients: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    unknown: list[str] = field(default_factory=list)
    named: int = 0
    placeholders: int = 0
    apart: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def scope_of(root: Path) -> str:
    """Return within what equal names mean one patient: the data set that a root is (part) of.

    ``train`` and ``test`` beside each other are of one set, and so are tables in one folder.
    """
    folder = root.resolve() if root.is_dir() else root.resolve().parent
    return str(folder.parent if folder.name.casefold() in SPLIT_NAMES else folder)


def assign_patients(listings: Sequence[Listing], pattern: Pattern | None) -> list[Finding]:
    """Give every item a patient key and, where its name tells it, a subgroup.

    A column goes before a habit of naming, and that before a DICOM header; a pattern goes before
    all of them. Equal identifiers mean one patient everywhere where they come from a column or a
    header, or from names of a habit: those are the habits of published sets, copies of which may
    be given together. What a pattern finds means one patient within one data set only.

    Raises
    ------
    UsageError
        If the pattern matches no name.
    """
    found = _Found()
    pseudonyms = Pseudonyms()
    scopes = _name_scopes(listings)
    for listing in listings:
        headers = {item.id: read_identity(item.path, item.id) for item in listing.items}
        placeholder = _placeholder(headers)
        for item in listing.items:
            subgroup = subgroup_of(item.id)
            if subgroup is not None:
                item.columns.setdefault("subgroup", subgroup)
            header = headers[item.id]
            found.named += header is not None and header.in_name
            known = _identify(item, pattern, header, placeholder)
            if known is None:
                found.unknown.append(item.id)
                found.placeholders += header is not None and header.patient is not None
                item.patient = item.id
                continue
            identifier, source, habit = known
            scope = scopes[listing.scope] if source == _PATTERN else habit
            item.patient = pseudonyms.key(identifier, scope)
            found.images[source] += 1
            found.patients[source].add(item.patient)
            if source == _PATTERN:
                found.apart[identifier].add(scope)
    total = sum(len(listing.items) for listing in listings)
    if pattern is not None and total and not found.images[_PATTERN]:
        raise UsageError(
            "patient= matches no file name",
            received=next(item.id for one in listings for item in one.items).rsplit("/", 1)[-1],
            remedy="give an expression that matches such names, or leave patient= out",
        )
    return _tell(found, total, pseudonyms.kept)


def _identify(
    item: Item, pattern: Pattern | None, header: Identity | None, placeholder: str | None
) -> tuple[str, str, str] | None:
    """Return identifier, where it came from, and within which habit it means one patient."""
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
    """Return the identifier that all DICOM files of a root share, if it cannot be a person's."""
    given = Counter(one.patient for one in headers.values() if one is not None and one.patient)
    if len(given) == 1 and given.total() >= _ONE_FOR_ALL:
        return next(iter(given))
    return None


def _name_scopes(listings: Sequence[Listing]) -> dict[str, str]:
    """Name scopes so that keys do not depend on where the data lie; what lies in one is of it."""
    scopes = {listing.scope for listing in listings}
    widest = {
        scope: min((s for s in scopes if f"{scope}{os.sep}".startswith(f"{s}{os.sep}")), key=len)
        for scope in scopes
    }
    first: dict[str, str] = {}
    for listing in listings:
        first.setdefault(widest[listing.scope], listing.name)
    names = {scope: f"pattern/{name if len(first) > 1 else ''}" for scope, name in first.items()}
    return {scope: names[widest[scope]] for scope in scopes}


def _tell(found: _Found, total: int, kept: bool) -> list[Finding]:
    findings = []
    if found.images:
        what = "patients were read from " + "; ".join(
            f"{source}: {count} images of {len(found.patients[source])}"
            for source, count in sorted(found.images.items())
        )
        # By another name, for what an expression finds in names may join what does not belong.
        check = "patient-pattern" if _PATTERN in found.images else "patient-keys"
        findings.append(finding(check, "note", what, found.images.total()))
    if apart := sum(len(scopes) > 1 for scopes in found.apart.values()):
        findings.append(
            finding(
                "patient-names-shared",
                "warning",
                f"the pattern finds {apart} patients of the same name in several data sets; they "
                "are taken for different people",
                apart,
                consequence="if they are the same, images of one patient may cross splits",
                remedy="if they are the same, give a column that tells the patient with patient=",
            )
        )
    if found.unknown:
        findings.append(_unknown(found, total))
    if found.named:
        findings.append(
            finding(
                "identity-in-names",
                "warning",
                f"the names of {found.named} DICOM files, or of their folders, repeat a patient's "
                "name or number, an accession number or a UID of the file",
                found.named,
                consequence="names of files are shown in results and reports",
                remedy="copy the files under neutral names before results are passed on",
            )
        )
    if not kept:
        findings.append(
            finding(
                "salt-not-kept",
                "note",
                f"{salt_file()} cannot be written: the patient keys of another call are others",
                1,
                remedy="set the variable PLAINFILM_SALT, if keys are to be compared",
            )
        )
    return findings


def _unknown(found: _Found, total: int) -> Finding:
    what = f"{len(found.unknown)} of {total} images tell no patient; each counts as its own"
    if found.placeholders:
        what += f" ({found.placeholders} DICOM files all carry the same identifier)"
    return finding(
        "patient-unknown",
        "warning",
        what,
        len(found.unknown),
        found.unknown,
        consequence="images of one patient may cross splits, and scores look too good",
        remedy="give the column or a regular expression with patient=",
    )
