"""Decides which DICOM files are of one patient, from PatientID, its issuer, study and PatientName.

Files of one study belong to one patient even where PatientID differs, because systems pad it,
change its case or add an issuer. The name counts only for files without an identifier.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from plainfilm._text import plural
from plainfilm.data.sources.listing import finding
from plainfilm.data.sources.patients.identifiers import (
    Node,
    normal_form,
    placeholders,
    shared_identifier,
)
from plainfilm.pixels.identity import Identity
from plainfilm.records import Finding

_PLACEHOLDER_FILES = 20
"""A value that this many DICOM files of a root share, without any other, is a placeholder."""
_PLACEHOLDER_PATIENTS = 4
"""A study of more different identifiers is a placeholder."""

_NAME_STUDIES = 20
"""A name of more studies without an identifier is a placeholder."""

PERSON = "person"
"""Scope of patients who are known by a name only."""
STUDY = "study"
"""Scope of patients who are known by a study only."""


@dataclass(slots=True)
class HeaderPatients:
    """Patients of files by their headers, or None; for each file, in order.

    ``spellings`` has the patient of each identifier in its written form; ``placeholders`` counts
    the files whose identifier is that of all files, or stands for no patient for another reason;
    ``shared`` are the ids of the files with one identifier that far more have than any other,
    ``by_name`` those of files without an identifier whose name decides.
    """

    nodes: list[Node | None]
    placeholders: int = 0
    shared: list[str] = field(default_factory=list)
    by_name: set[str] = field(default_factory=set)
    spellings: dict[str, Node] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def patients_of_headers(
    roots: Sequence[Sequence[Identity | None]], ids: Sequence[str], columns: Collection[str]
) -> HeaderPatients:
    """Return the patients; ``columns`` are identifiers of tables, which may be equal to these.

    An issuer distinguishes equal identifiers unless the identifier also occurs without one.
    """
    headers = [header for root in roots for header in root]
    numbers: list[str | None] = []
    studies: list[str | None] = []
    without = 0
    for root in roots:
        found = [normal_identifier(header) for header in root]
        if _is_placeholder(found):
            without += sum(number is not None for number in found)
            found = [None] * len(root)
        numbers += found
        found = [header.study or None if header is not None else None for header in root]
        studies += [None] * len(root) if _is_placeholder(found) else found
    unknown = placeholders(number for number in numbers if number is not None)
    without += sum(number in unknown for number in numbers)
    numbers = [None if number in unknown else number for number in numbers]
    names = [_normal_name(header) for header in headers]
    result = HeaderPatients([None] * len(headers), without)
    if not any(numbers) and not any(studies) and not any(names):
        return result
    shared = shared_identifier(number for number in numbers if number is not None)
    if shared is not None:
        result.shared = [one for one, number in zip(ids, numbers, strict=True) if number == shared]
    result.findings += _drop_shared_studies(numbers, studies, ids)
    plain = {*columns}
    plain |= {n for n, one in zip(numbers, headers, strict=True) if n and one and not one.issuer}
    nodes: list[Node | None] = []
    patients = _Patients()
    for header, number in zip(headers, numbers, strict=True):
        node = None
        if header is not None and number is not None:
            issuer = normal_form(header.issuer) if number not in plain else None
            node = Node("", f"{issuer}\0{number}" if issuer else number)
            written = f"{header.issuer}\0{header.patient}" if header.issuer else header.patient
            result.spellings[written] = node
        nodes.append(node)
    by_name = _nodes_of_names(nodes, studies, names)
    result.by_name = {one for one, node in zip(ids, by_name, strict=True) if node is not None}
    nodes = [number or name for number, name in zip(nodes, by_name, strict=True)]
    for row, study in enumerate(studies):
        if study is not None:
            nodes[row] = patients.join(nodes[row], Node(STUDY, study))
    result.nodes = [None if node is None else patients.first(node) for node in nodes]
    result.findings += _unlike(result.nodes, numbers, ids)
    return result


def normal_identifier(header: Identity | None) -> str | None:
    """Return the normal form of PatientID; None if it is a placeholder, such as 0000."""
    number = normal_form(header.patient) if header is not None else None
    return None if number in ("0", "x") else number


def _normal_name(header: Identity | None) -> str | None:
    """Return the parts of PatientName in any order and spelling; None if it means unknown."""
    name = normal_form(header.person) if header is not None else None
    if name is None or sum(map(str.isalpha, name)) < 2:
        return None
    return "-".join(sorted(name.split("-")))


def _nodes_of_names(
    numbers: Sequence[Node | None], studies: Sequence[str | None], names: Sequence[str | None]
) -> list[Node | None]:
    """Return the patients of files without an identifier by their names, or None.

    A name is not used if it is that of all files, of many studies or of several identifiers, since
    it would join different patients.
    """
    result: list[Node | None] = [None] * len(names)
    alone = [name for number, name in zip(numbers, names, strict=True) if number is None]
    if not any(alone) or _is_placeholder(alone):
        return result
    of_study: dict[str, set[Node]] = defaultdict(set)
    for number, study in zip(numbers, studies, strict=True):
        if number is not None and study is not None:
            of_study[study].add(number)
    known: dict[str, set[Node]] = defaultdict(set)
    examined: dict[str, set[object]] = defaultdict(set)
    for row, (number, study, name) in enumerate(zip(numbers, studies, names, strict=True)):
        if name is None:
            continue
        if number is not None:
            known[name].add(number)
        else:
            known[name] |= of_study.get(study or "", set())
            examined[name].add(study or row)
    for row, (number, name) in enumerate(zip(numbers, names, strict=True)):
        if number is not None or name is None or len(examined[name]) > _NAME_STUDIES:
            continue
        if len(known[name]) < 2:
            result[row] = next(iter(known[name]), Node(PERSON, name))
    return result


class _Patients:
    """Nodes of one patient; the first of them, an identifier before a study, stands for all."""

    def __init__(self) -> None:
        self._parent: dict[Node, Node] = {}

    def first(self, node: Node) -> Node:
        parent = self._parent
        while (above := parent.get(node, node)) != node:
            parent[node] = parent.get(above, above)
            node = above
        return node

    def join(self, one: Node | None, other: Node) -> Node:
        """Join two nodes and return the first of them."""
        low, high = sorted((self.first(one or other), self.first(other)))
        if low != high:
            self._parent[high] = low
        return low


def _is_placeholder(values: Sequence[str | None]) -> bool:
    known = [value for value in values if value is not None]
    return len(known) >= _PLACEHOLDER_FILES and len(set(known)) == 1


def _drop_shared_studies(
    numbers: Sequence[str | None], studies: list[str | None], ids: Sequence[str]
) -> Iterator[Finding]:
    """Set the studies to None that so many patients share that they are placeholders."""
    owners: dict[str, set[str]] = defaultdict(set)
    for number, study in zip(numbers, studies, strict=True):
        if number is not None and study is not None:
            owners[study].add(number)
    shared = {study for study, found in owners.items() if len(found) > _PLACEHOLDER_PATIENTS}
    if not shared:
        return
    rows = [row for row, study in enumerate(studies) if study in shared]
    for row in rows:
        studies[row] = None
    yield finding(
        "study-of-many-patients",
        "warning",
        f"{plural(len(shared), 'StudyInstanceUID is', 'StudyInstanceUIDs are')} the same for more "
        f"than {_PLACEHOLDER_PATIENTS} patients ({plural(len(rows), 'image')}) and "
        f"{'was' if len(shared) == 1 else 'were'} not used to recognise patients",
        len(rows),
        (ids[row] for row in rows),
        consequence="if PatientID is wrong, images of one patient may be in several splits",
        remedy="check PatientID of these files, or name a patient column with patient=",
    )


def _unlike(
    nodes: Sequence[Node | None], numbers: Sequence[str | None], ids: Sequence[str]
) -> Iterator[Finding]:
    """Report patients of one study with identifiers that differ in more than their spelling."""
    found: dict[Node, set[str]] = defaultdict(set)
    for node, number in zip(nodes, numbers, strict=True):
        if node is not None and number is not None:
            found[node].add(number)
    joined = {node for node, different in found.items() if len(different) > 1}
    if not joined:
        return
    different = sum(len(found[node]) for node in joined)
    rows = [row for row, node in enumerate(nodes) if node in joined]
    yield finding(
        "study-of-several-patients",
        "warning",
        f"{different:,} different PatientIDs are joined by common studies to "
        f"{plural(len(joined), 'patient')} ({plural(len(rows), 'image')})",
        len(joined),
        (ids[row] for row in rows),
        consequence="if the studies are of different patients, fewer patients are counted than "
        "there are; no patient is in several splits",
        remedy="check PatientID of these files, or name a patient column with patient=",
    )
