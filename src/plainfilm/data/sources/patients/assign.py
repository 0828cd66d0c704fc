"""Assigns a patient key to each image.

The patient comes from the strongest evidence there is: an option, a column, DICOM headers, folders
or file names, in this order. Weaker evidence decides for the images without a stronger one.
Identifiers are compared in a normal form, become keyed hashes here and are not stored. An image of
unknown patient has its own id as key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

from plainfilm.data.pseudonyms import Pseudonyms
from plainfilm.data.sources.listing import Item, Listing
from plainfilm.data.sources.patients.dicom import STUDY, patients_of_headers
from plainfilm.data.sources.patients.findings import (
    COLUMN,
    FOLDERS,
    HEADERS,
    LEVEL,
    PATTERN,
    PERSONS,
    STUDIES,
    Statistics,
    report_disagreement,
    report_patients,
)
from plainfilm.data.sources.patients.folders import (
    check_level,
    find_patient_folders,
    folders_at,
    paths_below_classes,
)
from plainfilm.data.sources.patients.identifiers import (
    Node,
    is_rounded,
    normal_form,
    placeholders,
    shared_identifier,
)
from plainfilm.data.sources.patients.names import (
    CONVENTIONS,
    Pattern,
    convention_patients,
    subgroup_of,
)
from plainfilm.data.sources.patients.scopes import name_scopes
from plainfilm.data.sources.repeats import rows_to_keep
from plainfilm.errors import UsageError
from plainfilm.pixels.identity import read_identities
from plainfilm.records import Finding

_GIVEN = (PATTERN, LEVEL, COLUMN, HEADERS)
"""Sources that are no guess."""
_MANY_PATIENTS = 10
"""Weaker evidence that joins more patients than these is a placeholder or a folder of a site."""


@dataclass(slots=True)
class _Evidence:
    """Patients of the images by one kind of evidence, in their order."""

    source: str  # empty if the scopes of the nodes are the sources
    nodes: list[Node | None]

    def source_of(self, row: int) -> str:
        node = self.nodes[row]
        return self.source or (node.scope if node is not None else "")


def assign_patients(
    listings: Sequence[Listing], pattern: Pattern | None, level: int | None = None
) -> list[Finding]:
    """Assign a patient key to every item and, if its name contains one, a subgroup.

    ``pattern`` reads the patient from a file name; ``level`` is that of the folders of patients, 0
    if no folder is a patient. Equal identifiers of a column, a header or one convention mean one
    patient in all roots; conventions are those of published data sets, and a user may give several
    copies of one. Equal matches of a pattern and equal names of folders mean one patient only
    within one data set.
    """
    items = [item for listing in listings for item in listing.items]
    rows = rows_to_keep(items)
    statistics = Statistics(len(rows))
    findings: list[Finding] = []
    evidence = [*_collect(listings, pattern, level, statistics, findings)]
    final, sources = _decide(evidence, items, findings)
    pseudonyms = Pseudonyms()
    keys: dict[Node, str] = {}
    for item, node in zip(items, final, strict=True):
        if subgroup := subgroup_of(item.id):
            item.columns.setdefault("subgroup", subgroup)
        if node is None:
            item.patient = item.id
            continue
        if node not in keys:
            keys[node] = pseudonyms.key(node.identifier, node.scope)
        item.patient = keys[node]
    _count(statistics, rows, items, final, sources)
    return [*report_patients(statistics, pseudonyms.kept), *findings]


def _count(
    statistics: Statistics,
    rows: Sequence[int],
    items: Sequence[Item],
    final: Sequence[Node | None],
    sources: Sequence[str],
) -> None:
    """Count the images in these rows; other mentions of a file may have its patient."""
    known: dict[str, int] = {}
    if len(rows) < len(items):
        for row, node in enumerate(final):
            if node is not None:
                known.setdefault(items[row].real, row)
    for kept in rows:
        row = kept if final[kept] is not None else known.get(items[kept].real, kept)
        identity, node, source = items[row].id, final[row], sources[row]
        if node is None:
            statistics.unknown.append(identity)
            continue
        if node.scope == STUDY:
            source = STUDIES
            statistics.only_study.append(identity)
        elif source == HEADERS and identity in statistics.by_name:
            source = PERSONS
            statistics.only_name.append(identity)
        statistics.images[source] += 1
        statistics.patients[source].add(node)


def _collect(
    listings: Sequence[Listing],
    pattern: Pattern | None,
    level: int | None,
    statistics: Statistics,
    findings: list[Finding],
) -> Iterator[_Evidence]:
    """Yield all evidence, the strongest first."""
    items = [item for listing in listings for item in listing.items]
    scopes = name_scopes(listings)
    columns: _Evidence | None = None
    if pattern is not None:
        names = _search(pattern, listings)
        yield _Evidence(PATTERN, _named(names, listings, scopes))
    elif level:
        names = [folders_at(one, level, _prefix(one, listings)) for one in listings]
        check_level(level, [*chain.from_iterable(names)])
        yield _Evidence(LEVEL, _named(names, listings, scopes))
    else:
        columns = _read_column(items, statistics)
        yield columns
    roots = [read_identities([(item.path, item.id) for item in one.items]) for one in listings]
    statistics.named = sum(one is not None and one.in_name for root in roots for one in root)
    known = {node.identifier for node in columns.nodes if node} if columns else set()
    headers = patients_of_headers(roots, [item.id for item in items], known)
    statistics.placeholders = headers.placeholders
    statistics.spellings |= headers.spellings
    statistics.shared += headers.shared
    statistics.by_name = headers.by_name
    findings += headers.findings
    yield _Evidence(HEADERS, headers.nodes)
    if columns is not None:
        yield from _guess(listings, scopes, level, statistics)


def _search(pattern: Pattern, listings: Sequence[Listing]) -> list[list[str | None]]:
    """Search in the file names or, if none matches, in the paths below the class folders."""
    found = [[pattern(item.id) for item in listing.items] for listing in listings]
    if not any(map(any, found)):
        paths = (paths_below_classes(one, _prefix(one, listings)) for one in listings)
        found = [[pattern.search(path) for path in of_root] for of_root in paths]
    first = next((item.id for listing in listings for item in listing.items), None)
    if first is not None and not any(map(any, found)):
        raise UsageError(
            "patient= matches no file name and no folder below the classes",
            received=first.rpartition("/")[2],
            remedy="give an expression that matches such names, or leave patient= out",
        )
    return found


def _guess(
    listings: Sequence[Listing],
    scopes: dict[str, str],
    level: int | None,
    statistics: Statistics,
) -> Iterator[_Evidence]:
    """Yield the evidence of folders and names."""
    nodes = list(chain.from_iterable(convention_patients(one.items) for one in listings))
    of_folders = {convention.name for convention in CONVENTIONS if convention.in_folders}
    yield _Evidence("", [n if n is not None and n.scope in of_folders else None for n in nodes])
    if level is None:
        names: list[list[str | None]] = []
        for one in listings:
            found = find_patient_folders(one, _prefix(one, listings))
            names.append(found.names if found else [None] * len(one.items))
            statistics.folders += found.folders if found else 0
        yield _Evidence(FOLDERS, _named(names, listings, scopes))
    yield _Evidence("", [None if n is None or n.scope in of_folders else n for n in nodes])


def _prefix(listing: Listing, listings: Sequence[Listing]) -> int:
    """Return the length of the prefix of the ids of a root."""
    return len(listing.name) + 1 if len(listings) > 1 else 0


def _named(
    names: Sequence[Sequence[str | None]], listings: Sequence[Listing], scopes: dict[str, str]
) -> list[Node | None]:
    """Return the nodes of the names of each root, within its data set."""
    form = cache(normal_form)
    nodes: list[Node | None] = []
    for listing, of_root in zip(listings, names, strict=True):
        scope = scopes[listing.scope]
        forms = (None if name is None else form(name) for name in of_root)
        nodes += [None if one is None else Node(scope, one) for one in forms]
    return nodes


def _read_column(items: Sequence[Item], statistics: Statistics) -> _Evidence:
    """Return the patients of columns, and count identifiers that are unknown or rounded."""
    nodes: dict[str, Node | None] = {"": None}
    found: list[Node | None] = []
    for item in items:
        cell = item.patient or ""
        if cell not in nodes:
            form = normal_form(cell)
            nodes[cell] = None if form is None else Node("", form)
        found.append(nodes[cell])
    statistics.spellings |= {cell: node for cell, node in nodes.items() if node is not None}
    bad = {cell for cell, node in nodes.items() if cell and (node is None or is_rounded(cell))}
    for item in items if bad else ():
        if item.patient in bad:
            statistics.words += nodes[item.patient] is None
            statistics.rounded += nodes[item.patient] is not None
    unknown = placeholders(node.identifier for node in found if node is not None)
    if unknown:
        statistics.words += sum(node is not None and node.identifier in unknown for node in found)
        found = [None if node is None or node.identifier in unknown else node for node in found]
    once = {item.real: node for item, node in zip(items, found, strict=True) if node is not None}
    shared = shared_identifier(node.identifier for node in once.values())
    rows = (item.id for item, node in zip(items, found, strict=True) if node == ("", shared))
    statistics.shared += rows
    return _Evidence(COLUMN, found)


def _decide(
    evidence: Sequence[_Evidence], items: Sequence[Item], findings: list[Finding]
) -> tuple[list[Node | None], list[str]]:
    """Return the patient of each image and its source.

    An image without stronger evidence is of the patient whom the others of its group have, if that
    is one.
    """
    final: list[Node | None] = [None] * len(items)
    sources = [""] * len(items)
    for one in evidence:
        if not any(one.nodes):
            continue
        stronger, divided = _compare(one.nodes, final)
        findings += _disagreements(one, final, sources, divided, items)
        if None not in final:
            continue
        for row, node in enumerate(one.nodes):
            if node is None or final[row] is not None:
                continue
            final[row] = node if node in divided else stronger.get(node, node)
            sources[row] = one.source_of(row)
    return final, sources


def _compare(
    nodes: Sequence[Node | None], final: Sequence[Node | None]
) -> tuple[dict[Node, Node], dict[Node, set[Node]]]:
    """Return one patient of stronger evidence for each node, and all if there are several."""
    stronger: dict[Node, Node] = {}
    divided: dict[Node, set[Node]] = {}
    for node, decided in zip(nodes, final, strict=True):
        if node is None or decided is None:
            continue
        first = stronger.setdefault(node, decided)
        if first is not decided and first != decided:
            divided.setdefault(node, {first}).add(decided)
    return stronger, divided


def _disagreements(
    weaker: _Evidence,
    final: Sequence[Node | None],
    sources: Sequence[str],
    divided: dict[Node, set[Node]],
    items: Sequence[Item],
) -> Iterator[Finding]:
    """Report groups of weaker evidence to whom stronger evidence gives several patients."""
    plausible = {node for node, found in divided.items() if len(found) <= _MANY_PATIENTS}
    if not plausible:
        return
    rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, node in enumerate(weaker.nodes):
        if node in plausible and final[row] is not None and sources[row] in _GIVEN:
            rows[weaker.source_of(row), sources[row]].append(row)
    for (weak, strong), found in rows.items():
        patients = len({weaker.nodes[row] for row in found})
        yield report_disagreement(weak, strong, patients, [items[row].id for row in found])
