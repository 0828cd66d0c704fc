"""Defines the listing of one root (a folder or a table), before classes become labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from plainfilm.data.manifest import LeftOut
from plainfilm.records import Finding, Severity, Split

MAX_CLASSES = 100
"""More class names than this are probably patients or studies."""

_MAX_FILES = 200  # in a finding

_ROLES: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training", "trn", "derivation", "development"), "train"),
    **dict.fromkeys(("trainval", "traindev"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validating", "validation"), "validation"),
    **dict.fromkeys(("dev", "devel", "tune", "tuning"), "validation"),
    **dict.fromkeys(("test", "testing", "tests", "tst", "holdout", "heldout"), "test"),
    **dict.fromkeys(("eval", "evaluate", "evaluation"), "test"),
}
# Words that do not change the role of a folder or table: "train_images", "stage_2_test_labels".
_FILLERS = """
all annotation annotations chest classes clean cohort csv cxr cxrs data dataset datasets dcm dicom
dicoms df entries file files final folder full image images img imgs info jpeg jpg label labels
large list master metadata new official only original part partition png radiograph radiographs raw
ray rays samples scan scans set sets small split stage subset table the tif tiff txt version xray
xrays
"""
_FILLER_WORDS = frozenset(_FILLERS.split())
_HINT = re.compile("train|trn|deriv|dev|val|tun|test|tst|hold|held", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d_]+")
_JOINED = re.compile(
    rf"({'|'.join(sorted(_ROLES, key=len, reverse=True))})"
    r"(?:data|dataset|files|folder|images|image|imgs|img|list|sets|set|split"
    r"|s?(?:daten|datensatz|bilder|menge|satz))"
)


@lru_cache(maxsize=4096)
def split_of_name(name: str) -> Split | None:
    """Return the split that a folder, a table or a cell is named after, or None.

    The name must consist of one role, such as ``train``, ``dev`` or ``holdout``, and of words
    without meaning, such as ``set`` or numbers. Training and validation together are training.

    Examples
    --------
    >>> [split_of_name(name) for name in ("Training_Set", "valid-images2", "train_val_list")]
    ['train', 'validation', 'train']
    >>> [split_of_name(name) for name in ("train_test", "test_positive", "fold 1")]
    [None, None, None]
    """
    if not _HINT.search(name):  # a shortcut, since there may be thousands of folders
        return None
    roles: set[Split] = set()
    text = re.sub(r"hold[\W_]*out|held[\W_]*out", "holdout", name.casefold())
    for word in _WORDS.findall(text):
        joined = _JOINED.fullmatch(word)
        role = _ROLES.get(joined[1] if joined else word)
        if role is not None:
            roles.add(role)
        elif len(word) > 1 and word not in _FILLER_WORDS:
            return None
    if roles == {"train", "validation"}:
        return "train"
    return roles.pop() if len(roles) == 1 else None


@lru_cache(maxsize=4096)
def split_and_rest(name: str) -> tuple[Split, str] | None:
    """Return the split that one word of a name says, and the words with another meaning.

    Examples
    --------
    >>> [split_and_rest(name) for name in ("nih_train", "test-images", "TB", "train_test")]
    [('train', 'nih'), ('test', ''), None, None]
    """
    if not _HINT.search(name):
        return None
    if split := split_of_name(name):
        return split, ""
    words = [word for word in re.split(r"[\W_]+", name) if word]
    roles = {role for word in words if (role := split_of_name(word))}
    rest = [w for w in words if not split_of_name(w) and w.casefold() not in _FILLER_WORDS]
    return (roles.pop(), " ".join(rest)) if len(roles) == 1 else None


def named_splits(names: Iterable[str]) -> dict[str, tuple[Split, str]]:
    """Return split and other words of folders next to each other, if every name says a split.

    It is empty if they say only one split.
    """
    known = {name: split_and_rest(name) for name in names}
    found = {name: one for name, one in known.items() if one is not None}
    several = len({split for split, _ in found.values()}) > 1
    return found if several and len(found) == len(known) else {}


@dataclass(slots=True)
class Item:
    """One image of a root."""

    id: str  # path below the root
    path: str
    real: str  # path without symbolic links; equal for two items that are one file
    label: str | tuple[float, ...]  # class, or 1.0, 0.0, NaN for each of several label columns
    official: Split | None = None  # split that the root assigns
    patient: str | None = None  # identifier from a column; after `assign_patients` the key
    columns: dict[str, str | float] = field(default_factory=dict)  # further columns
    readers: dict[str, str] = field(default_factory=dict)  # for reduce= only; not kept


@dataclass(slots=True)
class Listing:
    """The images of one root."""

    name: str  # the prefix of ids if there are several roots
    items: list[Item] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    labels: tuple[str, ...] | None = None  # names of the label columns, if there are several
    open_labels: bool = False  # other roots may have further labels
    positive: str | None = None  # the class that a table shows to be positive
    absent_positive: str = ""  # labels that a table has instead of the one of positive=
    is_table: bool = False
    class_folders: frozenset[str] = frozenset()  # starts of the ids, such as train/NORMAL/
    patient_folders: dict[str, str] = field(default_factory=dict)  # names above class folders
    scope: str = ""  # data set of the root; equal patient names mean one patient within it

    def report(
        self,
        check: str,
        severity: Severity,
        problem: str,
        count: int,
        files: Iterable[str] = (),
        **texts: str,
    ) -> None:
        """Add a finding; the arguments are those of :func:`finding`."""
        self.findings.append(finding(check, severity, problem, count, files, **texts))


def finding(
    check: str,
    severity: Severity,
    problem: str,
    count: int,
    files: Iterable[str] = (),
    *,
    consequence: str = "",
    remedy: str = "",
) -> Finding:
    """Return a finding with at most 200 files; its count is exact."""
    return Finding(
        check=check,
        severity=severity,
        problem=problem,
        count=count,
        files=tuple(sorted(files)[:_MAX_FILES]),
        consequence=consequence,
        remedy=remedy,
    )


def describe_unusable(identity: str, path: str, size: int) -> LeftOut:
    """Return the reason to leave out a file that is empty or, with a negative size, missing."""
    if size == 0:
        return LeftOut(identity, path, "empty", "the file is empty (0 bytes)")
    return LeftOut(identity, path, "missing", "the file does not exist")
