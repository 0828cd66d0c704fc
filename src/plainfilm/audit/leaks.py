"""The same picture twice, the same patient on both sides, keys that are not what they seem."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from plainfilm.audit.clusters import join
from plainfilm.audit.copies import Copies, Pair
from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import found, groups_of, images, listed, share
from plainfilm.records import Finding

__all__ = ["check_copies", "check_likeness", "check_patient_keys", "check_patients"]

_ORDER = {"test": 0, "validation": 1, "train": 2, "": 3}
_MANY_KEYS = 20
_SUSPICIOUS = 0.1
_DOMINANT = 0.05


def _kept_first(evidence: Evidence, group: Sequence[int]) -> list[int]:
    """Order a group so that the copy to keep is first: that in the test, else the first one."""
    return sorted(group, key=lambda row: (_ORDER.get(str(evidence.splits[row]), 3), row))


def _contradicts(evidence: Evidence, group: Sequence[int]) -> bool:
    values = evidence.labels[list(group)]
    with np.errstate(invalid="ignore"):
        return bool(((values == 1).any(axis=0) & (values == 0).any(axis=0)).any())


def check_copies(evidence: Evidence, copies: Copies) -> Iterator[Finding]:
    """Report copies: under two labels, in two splits, or just twice."""
    near = join((pair.first, pair.second) for pair in copies.near)
    for kind, groups, how in (
        ("exact", copies.exact, "with exactly the same pixels"),
        ("near", near, "of one radiograph, changed a little"),
    ):
        yield from _about(evidence, kind, groups, how)
    mirrored = sum(pair.mirrored for pair in copies.near)
    if mirrored:
        yield found(
            "mirrored-copies",
            "note",
            f"{mirrored:,} of the pairs are mirror images: augmented images were saved as new ones",
            count=mirrored,
            consequence="augmentation before splitting puts copies on both sides",
            remedy="go back to the images before augmentation",
        )


def _about(
    evidence: Evidence, kind: str, groups: Sequence[Sequence[int]], how: str
) -> Iterator[Finding]:
    contradicting = [g for g in groups if _contradicts(evidence, g)]
    crossing = [g for g in groups if len({str(evidence.splits[row]) for row in g} - {""}) > 1]
    settled = {tuple(g) for g in (*contradicting, *crossing)}
    if contradicting:
        ids = _names(evidence, contradicting)
        yield found(
            f"{kind}-contradicting-label",
            "serious",
            f"{groups_of(len(contradicting))} {how}, under different labels "
            f"({images(sum(map(len, contradicting)))})",
            [name for group in ids for name in group],
            consequence="at least one of the labels is wrong, and nobody knows which",
            remedy="have them read again; until then leave all of them out",
            groups=ids,
            exclude=[name for group in ids for name in group],
        )
    if crossing:
        yield _crossing(evidence, kind, crossing, how)
    plain = [g for g in groups if tuple(g) not in settled]
    if plain:
        ids = _names(evidence, plain)
        many = sum(map(len, plain)) - len(plain)
        yield found(
            f"{kind}-duplicate",
            "warning",
            f"{groups_of(len(plain))} {how} ({images(sum(map(len, plain)))}, "
            f"{many:,} of them superfluous)",
            [name for group in ids for name in group],
            consequence="a picture that counts twice pretends to be more evidence than it is",
            remedy="keep one of each",
            groups=ids,
            exclude=[name for group in ids for name in group[1:]],
        )


def _crossing(evidence: Evidence, kind: str, groups: Sequence[Sequence[int]], how: str) -> Finding:
    counts: Counter[str] = Counter()
    for group in groups:
        counts.update(str(evidence.splits[row]) for row in group)
    sizes = Counter(evidence.splits.tolist())
    told = listed(
        [
            f"{counts[name]:,} of {images(sizes[name])} of {name}"
            for name in ("test", "validation")
            if counts[name]
        ]
    )
    ids = _names(evidence, groups)
    return found(
        f"{kind}-leak-across-splits",
        "serious",
        f"images {how} lie in several splits: {told} are also in another one",
        [name for group in ids for name in group],
        count=len(groups),
        consequence="what is tested was trained on: the result says how well the model remembers",
        remedy="keep one of each, that in the test split, and train again",
        groups=ids,
        exclude=[name for group in ids for name in group[1:]],
    )


def _names(evidence: Evidence, groups: Sequence[Sequence[int]]) -> list[list[str]]:
    return [[evidence.ids[row] for row in _kept_first(evidence, group)] for group in groups]


def check_likeness(evidence: Evidence, copies: Copies) -> Iterator[Finding]:
    """Report radiographs under different patients that look like the same person."""
    pairs: list[Pair] = [
        pair
        for pair in copies.alike
        if evidence.groups[pair.first] != evidence.groups[pair.second] and not pair.mirrored
    ]
    if not pairs:
        return
    crossing = sum(evidence.splits[pair.first] != evidence.splits[pair.second] for pair in pairs)
    groups = [(evidence.ids[pair.first], evidence.ids[pair.second]) for pair in pairs]
    yield found(
        "same-person-suspected",
        "warning" if crossing else "note",
        f"{len(pairs):,} pair{'' if len(pairs) == 1 else 's'} of images that are not known to be "
        "of one patient look like one person"
        + (f", {crossing:,} of them in different splits" if crossing else ""),
        [name for group in groups for name in group],
        count=len(pairs),
        consequence="a person with two keys can be on both sides of a split",
        remedy="look at the pairs; where they are one person, give them one patient key",
        groups=groups,
    )


def check_patients(evidence: Evidence) -> Iterator[Finding]:
    """Report patients that are in several splits."""
    sides: dict[int, set[str]] = defaultdict(set)
    for patient, name in zip(evidence.groups.tolist(), evidence.splits.tolist(), strict=True):
        if name:
            sides[patient].add(name)
    crossing = {patient for patient, names in sides.items() if len(names) > 1}
    if not crossing:
        return
    rows = [row for row, patient in enumerate(evidence.groups.tolist()) if patient in crossing]
    leaving = []
    for row in rows:
        best = min(_ORDER.get(side, 3) for side in sides[int(evidence.groups[row])])
        if _ORDER.get(str(evidence.splits[row]), 3) > best:
            leaving.append(evidence.ids[row])
    doubtful = _by_numbering_alone(evidence, rows)
    yield found(
        "patient-leak",
        "warning" if doubtful else "serious",
        f"{len(crossing):,} patients are in several splits: {_overlap(evidence, sides)}"
        + (" - but none, if names of different kinds are numbered apart" if doubtful else ""),
        [evidence.ids[row] for row in rows],
        count=len(crossing),
        consequence="a model knows a person again by the bones: the result is too good",
        remedy="see numbering-restarts: make the kind a part of the key, and audit again"
        if doubtful
        else "part by patient (plainfilm does where it parts), or leave their other images out",
        exclude=leaving,
    )


def _by_numbering_alone(evidence: Evidence, rows: Sequence[int]) -> bool:
    """Tell whether patients cross splits only where their names are of different kinds."""
    if not any(_kinds_that_restart(evidence)):
        return False
    sides: dict[tuple[int, str], set[str]] = defaultdict(set)
    for row in rows:
        name = (int(evidence.groups[row]), _kind(evidence.ids[row]))
        sides[name].add(str(evidence.splits[row]))
    return all(len(names - {""}) < 2 for names in sides.values())


def _overlap(evidence: Evidence, sides: Mapping[int, set[str]]) -> str:
    """Say how many images of a split are of patients that others are of as well."""
    names, groups = evidence.splits, evidence.groups.tolist()
    told = []
    for other, tested in (("train", ("test", "validation")), ("validation", ("test",))):
        parts = []
        for name in tested:
            rows = [row for row in np.flatnonzero(names == name) if other in sides[groups[row]]]
            if other == "validation":  # those in train as well are told already
                rows = [row for row in rows if "train" not in sides[groups[row]]]
            if rows:
                parts.append(f"{len(rows):,} of {images(int((names == name).sum()))} of {name}")
        if parts:
            told.append(f"{listed(parts)} are of patients that are also in {other}")
    return "; ".join(told)


def check_patient_keys(evidence: Evidence) -> Iterator[Finding]:
    """Report patient keys that cannot be right."""
    count = len(evidence)
    patients = int(evidence.groups.max(initial=-1)) + 1
    if count < _MANY_KEYS:
        return
    if patients == 1:
        yield found(
            "one-patient-key",
            "serious",
            f"all {images(count)} carry the same patient key",
            count=count,
            consequence="nothing can be split by patient, and every interval is undefined",
            remedy="name the column that holds the patient, or leave it out",
        )
        return
    sizes = np.bincount(evidence.groups)
    if sizes.max() > max(_MANY_KEYS, _DOMINANT * count):
        yield found(
            "dominant-patient",
            "warning",
            f"one patient has {images(int(sizes.max()))}, {share(int(sizes.max()), count)} of all",
            [evidence.ids[row] for row in np.flatnonzero(evidence.groups == sizes.argmax())],
            consequence="perhaps it is no patient but a placeholder for unknown ones",
            remedy="check the key; give unknown patients none",
        )
    own = [evidence.records[row].patient == identity for row, identity in enumerate(evidence.ids)]
    if all(own):
        yield from _names_that_group(evidence)
    yield from _kinds_that_restart(evidence)


def _stem(identity: str) -> str:
    return identity.rpartition("/")[2].split(".")[0]


def _kind(identity: str) -> str:
    """Return a file name with its numbers taken out: what kind of name it is."""
    return re.sub(r"\d+", "#", _stem(identity))


def _names_that_group(evidence: Evidence) -> Iterator[Finding]:
    """Find file names that share all but their last number, where no patient is known."""
    prefixes: dict[str, list[str]] = defaultdict(list)
    for identity in evidence.ids:
        match = re.fullmatch(r"(.*\d.*?)[_\-. ]\D{0,4}\d+", _stem(identity))
        if match:
            prefixes[match[1]].append(identity)
    several = [ids for ids in prefixes.values() if len(ids) > 1]
    joined = sum(map(len, several))
    if len(prefixes) > 1 and joined > _SUSPICIOUS * len(evidence):
        yield found(
            "patients-unknown",
            "warning",
            f"no patient is known, but the names of {images(joined)} are alike up to their last "
            f"number, in {len(several):,} groups: perhaps several images of one patient",
            [name for ids in several for name in ids],
            count=joined,
            consequence="images of one patient on both sides of a split make the result too good",
            remedy=r"name them: --patient 'REGEX' with a group around the patient's part of the name",
            groups=several,
        )


def _kinds_that_restart(evidence: Evidence) -> Iterator[Finding]:
    """Find keys that join images whose names are of different kinds, numbered apart.

    Only keys that an expression has taken out of names: a column or a header says who it is.
    """
    if all(finding.check != "patient-pattern" for finding in evidence.listed.findings):
        return
    kinds: dict[int, set[str]] = defaultdict(set)
    numbers: dict[str, set[int]] = defaultdict(set)
    for row, identity in enumerate(evidence.ids):
        stem = _stem(identity)
        kind = _kind(identity)
        kinds[int(evidence.groups[row])].add(kind)
        if first := re.search(r"\d+", stem):
            numbers[kind].add(int(first[0]))
    several = [group for group, names in kinds.items() if len(names) > 1]
    if not several:
        return
    involved = sorted({kind for group in several for kind in kinds[group]})
    # Numbered apart, both series begin near their start and fill the same range.
    starts = [kind for kind in involved if numbers[kind] and min(numbers[kind]) <= 5]
    if len(several) <= _SUSPICIOUS * len(kinds) or len(starts) < 2:
        return
    chosen = set(several)
    rows = [row for row, group in enumerate(evidence.groups.tolist()) if group in chosen]
    yield found(
        "numbering-restarts",
        "warning",
        f"{len(several):,} patient keys join images whose names are of different kinds "
        f"({listed(starts)}), each numbered from the start: perhaps different people",
        [evidence.ids[row] for row in rows],
        count=len(several),
        consequence="two people under one key look like an overlap between splits that is none",
        remedy="make the kind a part of the key",
    )
