"""Train, validation and test: by patient, stratified, and with the official test left alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from plainfilm.data.manifest import Manifest
from plainfilm.data.sources.listing import finding
from plainfilm.data.sources.names import patient_of
from plainfilm.data.stratify import apportion, group_images, quotas, strata_counts
from plainfilm.errors import ConfigError, SplitError
from plainfilm.records import SPLITS, Finding, Record, Split, Task

__all__ = ["limit", "make_splits"]

_CHECKS = frozenset({"validation-too-small", "patient-overlap", "unassigned-images", "limited"})


def make_splits(
    manifest: Manifest,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    minimum_validation: int = 50,
    minimum_per_class: int = 20,
) -> Manifest:
    """Put every record into train, validation or test.

    An official test split is the test split, unchanged. An official validation split
    is kept if it is large enough to choose anything on; otherwise its images join the training
    images, a share of which becomes the new one. Shares are taken by patient, stratified by
    label. The result depends on the records and the seed, not on their order; of patient keys it
    depends on which images share one, not on how they are written.

    Parameters
    ----------
    validation
        Share of the images outside of test that become validation, above 0 and below 1.
    test
        Share of all images that become test where there is no official one; 0 for no test.
    seed
        Seed of the choice.
    minimum_validation, minimum_per_class
        Images in all, and of the rarest class, below which an official validation split is
        too small. (For several labels: of the label that has most.)

    Returns
    -------
    manifest
        The same records in the same order, each in a split, and findings:
        ``validation-too-small``, ``unassigned-images``, and ``patient-overlap`` where official
        splits share patients. Nothing is moved or dropped for it: the audit decides.

    Raises
    ------
    SplitError
        If a class has too few patients to be in every split.
    ConfigError
        If a share is out of range.
    """
    if not 0 < validation < 1:
        raise ConfigError("validation must be above 0 and below 1", received=validation)
    if not 0 <= test < 1:
        raise ConfigError("test must be at least 0 and below 1", received=test)
    manifest = replace(
        manifest, findings=tuple(f for f in manifest.findings if f.check not in _CHECKS)
    )
    officials = {record.official for record in manifest.records}
    findings: list[Finding] = []
    fixed: set[Split] = {"test"} if "test" in officials else set()
    if "validation" in officials:
        too_small = _judge_validation(manifest, minimum_validation, minimum_per_class)
        if too_small is None:
            fixed.add("validation")
        else:
            findings.append(too_small)
    if officials != {None} and (unassigned := [r.id for r in manifest.records if not r.official]):
        what = f"{len(unassigned)} images are in no official split; they join train"
        findings.append(finding("unassigned-images", "note", what, len(unassigned), unassigned))
    shares: dict[Split, float] = {}
    if "test" not in fixed and test > 0:
        shares["test"] = test
    if "validation" not in fixed:
        shares["validation"] = (1 - shares.get("test", 0.0)) * validation
    shares = {"train": 1 - sum(shares.values()), **shares}
    assigned = _assign(manifest, fixed, shares, seed)
    records = tuple(replace(r, split=assigned[r.id]) for r in manifest.records)
    findings += _find_overlaps(records)
    return replace(manifest, records=records).with_findings(findings)


def _judge_validation(manifest: Manifest, minimum: int, per_class: int) -> Finding | None:
    chosen = [record for record in manifest.records if record.official == "validation"]
    labels = np.array([record.labels for record in chosen], dtype=np.float32)
    positive, negative = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
    if manifest.task.kind == "binary":
        rarest = int(min(positive[0], negative[0]))
    elif manifest.task.kind == "multiclass":
        rarest = int(positive.min())
    else:
        rarest = int(np.minimum(positive, negative).max())
    if len(chosen) >= minimum and rarest >= per_class:
        return None
    return finding(
        "validation-too-small",
        "warning",
        f"the official validation split has {len(chosen)} images, {rarest} of its rarest "
        "class; it joins train, and a share of train takes its place",
        len(chosen),
        (record.id for record in chosen),
        consequence="stopping, temperature and thresholds chosen on so few images are chance",
    )


def _assign(
    manifest: Manifest, fixed: set[Split], shares: Mapping[Split, float], seed: int
) -> dict[str, Split]:
    assigned: dict[str, Split] = {}
    pool: list[Record] = []
    for record in sorted(manifest.records, key=lambda record: record.id):
        if record.official in fixed:
            assigned[record.id] = record.official
        else:
            pool.append(record)
    if not pool:
        raise SplitError(
            "no image is left to train on",
            received=f"{len(assigned)} images, all in {' and '.join(sorted(fixed))}",
            remedy="give images without a split, or in train",
        )
    names = tuple(shares)
    labels = np.array([record.labels for record in pool], dtype=np.float32)
    strata = strata_counts(labels, manifest.task)
    order = _patient_order(pool)
    keys = np.array([order[record.patient] for record in pool], dtype=np.intp)
    index, counts = group_images(keys, strata)
    _check_patients(manifest.task, counts, names)
    rng = np.random.default_rng(seed)
    parts = apportion(counts, np.array([shares[name] for name in names]), rng)[index]
    for number, name in enumerate(names):
        held = strata[parts == number].sum(axis=0)
        # A rare label of many may be absent; a class of a few may not.
        if not held.any() or (manifest.task.kind != "multilabel" and not held.all()):
            raise SplitError(
                f"there are too few patients for the split {name!r}",
                received=f"{len(counts)} patients with {len(pool)} images",
                remedy="give more data, or a larger share",
            )
    assigned.update({r.id: names[p] for r, p in zip(pool, parts.tolist(), strict=True)})
    return assigned


def _patient_order(pool: Sequence[Record]) -> dict[str, int]:
    """Number the patients by what the names of their files tell.

    Patient keys are hashes, and their order changes with the salt: splits must not. So patients
    are ordered by what a habit of naming tells of their first image, or else by its id.

    Parameters
    ----------
    pool
        Records, sorted by id.
    """
    first: dict[str, tuple[str, str]] = {}
    for record in pool:
        if record.patient not in first:
            told = patient_of(record.id)
            first[record.patient] = (told[0] if told else record.id, record.id)
    return {patient: number for number, patient in enumerate(sorted(first, key=first.__getitem__))}


def _check_patients(task: Task, counts: NDArray[np.float64], names: Sequence[Split]) -> None:
    """Refuse a class that cannot be in every part; a rare label of many is not refused."""
    patients = (counts > 0).sum(axis=0)
    if task.kind == "multilabel":
        patients = (counts.sum(axis=1) > 0).sum(keepdims=True)
    for name, number in zip(task.classes, patients.tolist(), strict=False):
        if number < len(names):
            of = "" if task.kind == "multilabel" else f" of {name!r}"
            raise SplitError(
                f"there are too few patients{of} to part into {', '.join(names)}",
                received=f"{number} patients for {len(names)} splits",
                remedy="give more data, or ask for no test split if there is another",
            )


def _find_overlaps(records: Sequence[Record]) -> list[Finding]:
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        splits[record.patient].add(str(record.split))
    findings = []
    for number, first in enumerate(SPLITS):
        for second in SPLITS[number + 1 :]:
            both = {key for key, found in splits.items() if {first, second} <= found}
            if not both:
                continue
            here = [r.id for r in records if r.patient in both and r.split == first]
            there = [r.id for r in records if r.patient in both and r.split == second]
            findings.append(
                finding(
                    "patient-overlap",
                    "serious",
                    f"{len(both)} patients are in {first} ({len(here)} images) and in {second} "
                    f"({len(there)} images), as the official splits have it",
                    len(both),
                    here + there,
                    consequence="recognising a patient is taken for recognising a disease",
                    remedy="leave the images of these patients out of "
                    f"{first}, or part the data set anew",
                )
            )
    return findings


def limit(manifest: Manifest, n: int, seed: int = 0, *, balanced: bool = False) -> Manifest:
    """Keep ``n`` of the training images, and every other split whole.

    Parameters
    ----------
    n
        How many; where there are not more, all stay.
    seed
        Seed of the choice, which does not depend on the order of the records.
    balanced
        Take equally many of every class, at most as many as the rarest has; otherwise the
        classes keep their proportions.

    Raises
    ------
    SplitError
        If there is no training image, or ``balanced`` is asked of a multi-label task.
    ConfigError
        If ``n`` is less than the number of classes.
    """
    task = manifest.task
    if n < max(1, len(task.classes)):
        raise ConfigError(
            "the number of training images must be at least the number of classes",
            received=f"{n} for {len(task.classes)} classes",
        )
    train = sorted(manifest.select("train").records, key=lambda record: record.id)
    if n >= len(train) and not balanced:
        return manifest
    if balanced and task.kind == "multilabel":
        raise SplitError("a multi-label task has no classes to balance", received=task.labels)
    rng = np.random.default_rng(seed)
    labels = np.array([record.labels for record in train], dtype=np.float32)
    strata = strata_counts(labels, task)
    if task.kind == "multilabel":
        chosen = _choose_by_labels(strata, n, rng)
    else:
        chosen = _choose_by_class(strata, n, rng, balanced)
    keep = {train[i].id for i in chosen}
    records = tuple(r for r in manifest.records if r.split != "train" or r.id in keep)
    how = ", equally many of every class" if balanced else ""
    what = f"{len(keep)} of {len(train)} training images are used{how}, as asked"
    note = finding("limited", "note", what, len(train) - len(keep))
    return replace(manifest, records=records).with_findings([note])


def _choose_by_class(
    strata: NDArray[np.float64], n: int, rng: np.random.Generator, balanced: bool
) -> list[int]:
    sizes = strata.sum(axis=0).astype(np.intp)
    if sizes.min() == 0:
        raise SplitError("a class has no training image", received=sizes.tolist())
    if balanced:
        wanted = np.full(len(sizes), min(n // len(sizes), int(sizes.min())))
    else:
        # Every class keeps an image, however few are taken.
        wanted = np.maximum(quotas(sizes, n), 1)
        wanted[np.argmax(wanted)] -= wanted.sum() - n
    chosen: list[int] = []
    for column, number in enumerate(wanted.tolist()):
        members = np.flatnonzero(strata[:, column])
        chosen += rng.permutation(members)[:number].tolist()
    return chosen


def _choose_by_labels(strata: NDArray[np.float64], n: int, rng: np.random.Generator) -> list[int]:
    share = n / len(strata)
    parts = apportion(strata, np.array([share, 1 - share]), rng)
    inside = rng.permutation(np.flatnonzero(parts == 0))
    outside = rng.permutation(np.flatnonzero(parts == 1))
    spare = max(0, n - len(inside))  # stratification is exact in proportions, not in number
    return [*inside[:n].tolist(), *outside[:spare].tolist()]
