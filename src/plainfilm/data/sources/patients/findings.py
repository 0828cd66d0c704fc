"""Reports how patients were recognised, and what is doubtful about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from plainfilm._text import plural
from plainfilm.data.pseudonyms import salt_file
from plainfilm.data.sources.listing import finding
from plainfilm.data.sources.patients.identifiers import Node
from plainfilm.records import Finding, Severity

COLUMN, HEADERS, PATTERN = "a column", "DICOM headers", "the given pattern"
LEVEL, FOLDERS = "the given level of folders", "folders"
PERSONS, STUDIES = "PatientName in DICOM headers", "StudyInstanceUID in DICOM headers"
_OPTIONS = (PATTERN, LEVEL)


@dataclass(slots=True)
class Statistics:
    """Counts for the findings."""

    total: int
    images: Counter[str] = field(default_factory=Counter)  # by source of the key
    patients: dict[str, set[Node]] = field(default_factory=lambda: defaultdict(set))
    unknown: list[str] = field(default_factory=list)
    only_study: list[str] = field(default_factory=list)  # images with a study but no identifier
    only_name: list[str] = field(default_factory=list)  # images with a name but no identifier
    by_name: set[str] = field(default_factory=set)  # images whose headers have only a name
    named: int = 0
    placeholders: int = 0  # DICOM files with the identifier of all files
    folders: int = 0  # that probably stand for patients
    words: int = 0  # images of unknown patient with a word such as NA as identifier
    rounded: int = 0
    shared: list[str] = field(default_factory=list)  # images with one identifier of very many
    spellings: dict[str, Node] = field(default_factory=dict)  # by written form


def report_patients(statistics: Statistics, kept: bool) -> Iterator[Finding]:
    """Yield the findings; ``kept`` is whether the salt was kept."""
    if statistics.images:
        yield _sources(statistics)
    if count := statistics.images[FOLDERS]:
        yield _folders(statistics, count)
    yield from _spellings(statistics)
    yield from _shared_names(statistics)
    if count := len(statistics.only_study):
        yield finding(
            "patient-only-study",
            "warning",
            f"{plural(count, 'DICOM file has', 'DICOM files have')} a StudyInstanceUID but neither "
            "a PatientID nor a PatientName that can be used; each study counts as a patient",
            count,
            statistics.only_study,
            consequence="images of a patient with several studies may be in several splits",
            remedy="name a column or give a regular expression with patient=",
        )
    if count := len(statistics.only_name):
        yield finding(
            "patient-only-name",
            "warning",
            f"{plural(count, 'DICOM file has', 'DICOM files have')} no PatientID that can be used; "
            "files of one PatientName count as one patient",
            count,
            statistics.only_name,
            consequence="different patients of one name count as one, and a patient whose name is "
            "written differently may be in several splits",
            remedy="name a column or give a regular expression with patient=",
        )
    if count := len(statistics.shared):
        yield finding(
            "patient-id-shared",
            "warning",
            f"{plural(count, 'image has', 'images have')} one identifier, far more than have any "
            "other: it is perhaps no patient but a placeholder",
            count,
            statistics.shared,
            consequence="if it is a placeholder, different patients count as one",
            remedy="replace it by an empty cell, or name another patient column with patient=",
        )
    if statistics.unknown:
        yield _unknown(statistics)
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


def _sources(statistics: Statistics) -> Finding:
    sources = "; ".join(
        f"{source}: {plural(count, 'image')} of "
        f"{plural(len(statistics.patients[source]), 'patient')}"
        for source, count in sorted(statistics.images.items())
    )
    # A separate check, since a pattern may join files that do not belong together.
    check = "patient-pattern" if PATTERN in statistics.images else "patient-keys"
    problem = f"patients were read from {sources}"
    return finding(check, "note", problem, statistics.images.total())


def _folders(statistics: Statistics, count: int) -> Finding:
    folders, patients = statistics.folders, len(statistics.patients[FOLDERS])
    equal = "; folders of one name count as one patient in all classes" * (folders > patients)
    return finding(
        "patient-folders",
        "note",
        f"folders probably stand for patients: {plural(count, 'image')} of "
        f"{plural(patients, 'patient')} in {plural(folders, 'folder')}{equal}",
        count,
        consequence="images of one folder stay together; if a patient has several folders, they "
        "may be in several splits",
        remedy="name the level of the folders of patients with patient_folder=, or 0 if there is "
        "none",
    )


def _spellings(statistics: Statistics) -> Iterator[Finding]:
    counts = Counter(statistics.spellings.values())
    if merged := [count for count in counts.values() if count > 1]:
        count = sum(merged)
        yield finding(
            "patient-ids-merged",
            "note",
            f"{count:,} identifiers that differ only in their spelling (case, leading zeros, "
            f"separators, .0, issuer) were merged into {plural(len(merged), 'patient')}",
            count,
            consequence="images of these patients stay together in one split",
        )
    if statistics.rounded:
        yield finding(
            "patient-ids-rounded",
            "warning",
            f"{plural(statistics.rounded, 'image has', 'images have')} an identifier with an "
            "exponent, such as 1.2E+11: a spreadsheet probably removed its last digits",
            statistics.rounded,
            consequence="different patients count as one",
            remedy="export the table again with the identifiers as text",
        )


def _shared_names(statistics: Statistics) -> Iterator[Finding]:
    """Report names of a pattern or of folders that occur in several data sets."""
    scopes: dict[str, set[str]] = defaultdict(set)
    for source in (*_OPTIONS, FOLDERS):
        for scope, identifier in statistics.patients.get(source, ()):
            scopes[identifier].add(scope)
    if shared := sum(len(found) > 1 for found in scopes.values()):
        by = "the pattern finds" if statistics.images[PATTERN] else "folders have"
        yield finding(
            "patient-names-shared",
            "warning",
            f"{by} {plural(shared, 'patient name')} in several data sets; they "
            "count as different patients",
            shared,
            consequence="if they are the same, images of one patient may be in several splits",
            remedy="if they are the same, name a patient column with patient=",
        )


def _unknown(statistics: Statistics) -> Finding:
    count = len(statistics.unknown)
    problem = f"the patient of {count:,} of {plural(statistics.total, 'image')} is unknown; each "
    problem += "image counts as its own patient"
    details = []
    if statistics.placeholders:
        files = plural(statistics.placeholders, "DICOM file has", "DICOM files have")
        details.append(f"{files} the same identifier")
    if statistics.words:
        rows = plural(statistics.words, "image has", "images have")
        details.append(f"{rows} a word for unknown, such as NA, instead of an identifier")
    if details:
        problem += f" ({'; '.join(details)})"
    return finding(
        "patient-unknown",
        "warning",
        problem,
        count,
        statistics.unknown,
        consequence="images of one patient may be in several splits, which makes scores too high",
        remedy="name a column or give a regular expression with patient=, or the level of the "
        "folders of patients with patient_folder=",
    )


def report_disagreement(weaker: str, stronger: str, patients: int, files: list[str]) -> Finding:
    """Return a finding on patients of weaker evidence to whom stronger evidence gives several."""
    severity: Severity = "warning" if stronger in _OPTIONS else "serious"
    return finding(
        "patient-evidence-disagrees",
        severity,
        f"by {weaker}, {plural(len(files), 'image is', 'images are')} of "
        f"{plural(patients, 'patient')} whom {stronger} "
        f"{'divides' if stronger not in (HEADERS, FOLDERS) else 'divide'} into several; "
        f"{stronger} {'decides' if stronger not in (HEADERS, FOLDERS) else 'decide'}",
        len(files),
        files,
        consequence=f"if {weaker} {'are' if weaker in (HEADERS, FOLDERS) else 'is'} right, images "
        "of one patient may be in several splits",
        remedy="compare both for some of these images, and name the right one with patient= or "
        "patient_folder=",
    )
