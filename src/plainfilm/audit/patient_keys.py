"""Checks of the patient keys: patients in several splits, and keys that are probably wrong."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from plainfilm._text import plural
from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import SETS, images, join_names, make_finding, share
from plainfilm.audit.leaks import PRECEDENCE
from plainfilm.records import Finding

_MANY_IMAGES = 20
_DOMINANT = 0.05
_SUSPICIOUS = 0.1


def check_patients_across_splits(evidence: Evidence) -> Iterator[Finding]:
    """Report patients who are in several splits."""
    groups, names = evidence.groups.tolist(), evidence.splits.tolist()
    splits: dict[int, set[str]] = defaultdict(set)
    for patient, name in zip(groups, names, strict=True):
        if name:
            splits[patient].add(name)
    crossing = {patient for patient, found in splits.items() if len(found) > 1}
    if not crossing:
        return
    rows = [row for row, patient in enumerate(groups) if patient in crossing]
    kept = {patient: min(splits[patient], key=PRECEDENCE.__getitem__) for patient in crossing}
    doubtful = _only_by_numbering(evidence, rows)
    yield make_finding(
        "patient-in-several-splits",
        "warning" if doubtful else "serious",
        f"{plural(len(crossing), 'patient')} in several splits: {_overlap(evidence, splits)}"
        + ("; or none, if each kind of file name is numbered separately" if doubtful else ""),
        [evidence.ids[row] for row in rows],
        count=len(crossing),
        consequence="a model can recognise a patient by the anatomy, so its results are too good",
        remedy="see numbering-restarts: include the kind of file name in the patient key, and "
        "repeat the audit"
        if doubtful
        else "split by patient (plainfilm does so when it makes the splits), or exclude the other "
        "images of these patients",
        exclude=[
            evidence.ids[row]
            for row in rows
            if PRECEDENCE[names[row]] > PRECEDENCE[kept[groups[row]]]
        ],
    )


def _only_by_numbering(evidence: Evidence, rows: Sequence[int]) -> bool:
    """Return whether patients cross splits only under file names of different kinds."""
    if not any(_kinds_numbered_separately(evidence)):
        return False
    splits: dict[tuple[int, str], set[str]] = defaultdict(set)
    for row in rows:
        name = (int(evidence.groups[row]), _kind(evidence.ids[row]))
        splits[name].add(str(evidence.splits[row]))
    return all(len(names - {""}) < 2 for names in splits.values())


def _overlap(evidence: Evidence, splits: dict[int, set[str]]) -> str:
    """Describe how many images of a split are of patients who are also in another split."""
    groups = evidence.groups.tolist()
    sentences = []
    for other, tested in (("train", ("test", "validation")), ("validation", ("test",))):
        parts = []
        for name in tested:
            in_split = np.flatnonzero(evidence.splits == name)
            rows = [row for row in in_split if other in splits[groups[row]]]
            if other == "validation":  # patients in the training set are counted above
                rows = [row for row in rows if "train" not in splits[groups[row]]]
            if rows:
                parts.append(f"{len(rows):,} of {images(len(in_split))} of the {SETS[name]}")
        if parts:
            sentences.append(f"patients of the {SETS[other]} account for {join_names(parts)}")
    return "; ".join(sentences)


def check_patient_keys(evidence: Evidence) -> Iterator[Finding]:
    """Report patient keys that are probably wrong."""
    count = len(evidence)
    if count < _MANY_IMAGES:
        return
    sizes = np.bincount(evidence.groups)
    if len(sizes) == 1:
        yield make_finding(
            "single-patient-key",
            "serious",
            f"all {images(count)} have the same patient key",
            count=count,
            consequence="the data cannot be split by patient, "
            "and confidence intervals are undefined",
            remedy="name the column that identifies the patient (--patient), or omit the option",
        )
        return
    largest = int(sizes.max())
    if largest > max(_MANY_IMAGES, _DOMINANT * count):
        yield make_finding(
            "dominant-patient-key",
            "warning",
            f"one patient key has {images(largest)}, {share(largest, count)} of all",
            evidence.ids_where(evidence.groups == sizes.argmax()),
            consequence="the key may be a placeholder for unknown patients",
            remedy="check the key, and leave it empty where the patient is unknown",
        )
    if not evidence.records.has_patients:
        yield from _names_that_group(evidence)
    yield from _kinds_numbered_separately(evidence)


def _stem(identity: str) -> str:
    return identity.rpartition("/")[2].split(".")[0]


def _kind(identity: str) -> str:
    """Return a file name with ``#`` for its numbers."""
    return re.sub(r"\d+", "#", _stem(identity))


def _names_that_group(evidence: Evidence) -> Iterator[Finding]:
    """Report file names that differ only in their last number, where no patient is known."""
    prefixes: dict[str, list[str]] = defaultdict(list)
    for identity in evidence.ids:
        match = re.fullmatch(r"(.*\d.*?)[_\-. ]\D{0,4}\d+", _stem(identity))
        if match:
            prefixes[match[1]].append(identity)
    groups = [ids for ids in prefixes.values() if len(ids) > 1]
    count = sum(map(len, groups))
    if len(prefixes) > 1 and count > _SUSPICIOUS * len(evidence):
        yield make_finding(
            "patients-unknown",
            "warning",
            f"no patients are known, but {images(count)} in {plural(len(groups), 'group')} have "
            "file names that differ only in the last number: "
            "possibly several images of one patient",
            chain(*groups),
            count=count,
            consequence="if images of one patient are in several splits, results are too good",
            remedy="name the patient: --patient 'REGEX' with a group for the patient's part of the "
            "file name",
            groups=groups,
        )


def _kinds_numbered_separately(evidence: Evidence) -> Iterator[Finding]:
    """Report keys that join file names of different kinds, each kind numbered from the start.

    Applies only to keys that a pattern extracts from file names, not to a column or a header.
    """
    if all(finding.check != "patient-pattern" for finding in evidence.manifest.findings):
        return
    kinds: dict[int, set[str]] = defaultdict(set)
    first_numbers: dict[str, int] = {}
    for group, identity in zip(evidence.groups.tolist(), evidence.ids, strict=True):
        kind = _kind(identity)
        kinds[group].add(kind)
        if match := re.search(r"\d+", _stem(identity)):
            first_numbers[kind] = min(int(match[0]), first_numbers.get(kind, int(match[0])))
    joined = {group for group, names in kinds.items() if len(names) > 1}
    involved = sorted({kind for group in joined for kind in kinds[group]})
    # Series that are numbered separately all begin near 1.
    restarting = [kind for kind in involved if first_numbers.get(kind, 6) <= 5]
    if len(joined) <= _SUSPICIOUS * len(kinds) or len(restarting) < 2:
        return
    rows = [row for row, group in enumerate(evidence.groups.tolist()) if group in joined]
    yield make_finding(
        "numbering-restarts",
        "warning",
        f"{plural(len(joined), 'patient key')} with file names of different kinds "
        f"({join_names(restarting)}), each numbered from the start: possibly different patients",
        [evidence.ids[row] for row in rows],
        count=len(joined),
        consequence="two patients with one key are reported as one patient in several splits",
        remedy="include the kind of file name in the patient key",
    )


PATIENT_CHECKS = (check_patients_across_splits, check_patient_keys)
