"""Splits a manifest by patient into training, validation and test sets, stratified by label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from plainfilm._text import plural
from plainfilm.data.manifest import Manifest
from plainfilm.data.record_table import Records
from plainfilm.data.sources.listing import finding
from plainfilm.data.sources.patients.names import patient_of
from plainfilm.data.stratify import apportion, group_images, quotas, strata_counts
from plainfilm.errors import ConfigError, SplitError
from plainfilm.records import SPLITS, Finding, Split, Task

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
    """Assign every record to the training, validation or test set.

    An official test set is kept unchanged. An official validation set is kept if it is large
    enough; otherwise its images join the training images, and a share of those becomes the
    validation set. The assignment is by patient and stratified by label. It depends on the records
    and the seed, not on the order of the records or the spelling of patient keys.

    Parameters
    ----------
    validation
        Share of the images outside the test set for validation, above 0 and below 1.
    test
        Share of all images for the test set if there is no official one; 0 for no test set.
    seed
        Seed of the random assignment.
    minimum_validation, minimum_per_class
        Minimum number of images in an official validation set, and in its rarest class (for a
        multi-label task: of the rarer value of the most balanced label).

    Returns
    -------
    manifest
        The same records in the same order, each with a split, and the findings
        ``validation-too-small``, ``unassigned-images`` and ``patient-overlap`` (official splits
        share patients; no record is moved or removed for it).

    Raises
    ------
    SplitError
        If a class has too few patients for all splits.
    ConfigError
        If a share is out of range.
    """
    if not 0 < validation < 1:
        raise ConfigError("validation= must be above 0 and below 1", received=validation)
    if not 0 <= test < 1:
        raise ConfigError("test= must be at least 0 and below 1", received=test)
    findings = [f for f in manifest.findings if f.check not in _CHECKS]
    officials = manifest.records.officials
    fixed: set[Split] = {"test"} if "test" in officials else set()
    if "validation" in officials:
        too_small = _judge_validation(manifest, minimum_validation, minimum_per_class)
        if too_small is None:
            fixed.add("validation")
        else:
            findings.append(too_small)
    open_rows = officials == ""
    if open_rows.any() and not open_rows.all():
        unassigned = manifest.records.ids_where(open_rows)
        count = plural(len(unassigned), "image has", "images have")
        what = f"{count} no official split and joined the training set"
        findings.append(finding("unassigned-images", "note", what, len(unassigned), unassigned))
    shares: dict[Split, float] = {}
    if "test" not in fixed and test > 0:
        shares["test"] = test
    if "validation" not in fixed:
        shares["validation"] = (1 - shares.get("test", 0.0)) * validation
    shares = {"train": 1 - sum(shares.values()), **shares}
    records = manifest.records.replace(split=_assign(manifest, fixed, shares, seed))
    findings += _find_overlaps(records)
    return replace(manifest, records=records, findings=tuple(findings))


def _judge_validation(manifest: Manifest, minimum: int, per_class: int) -> Finding | None:
    chosen = manifest.records.where(manifest.records.officials == "validation")
    labels = chosen.labels
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
        f"the official validation set has {plural(len(chosen), 'image')}, {rarest} in its rarest "
        "class; it joined the training set, and a share of that is the validation set instead",
        len(chosen),
        chosen.ids.tolist(),
        consequence="early stopping, temperature and thresholds would depend on chance",
    )


def _assign(
    manifest: Manifest, fixed: set[Split], shares: Mapping[Split, float], seed: int
) -> NDArray[np.str_]:
    """Return the split of each record, (n,)."""
    assigned = manifest.records.officials.astype(object)
    order = manifest.records.order()
    free = order[~np.isin(assigned[order].astype(str), sorted(fixed))]
    if not len(free):
        raise SplitError(
            "no image is left for training",
            received=f"{plural(len(assigned), 'image')}, all in {' and '.join(sorted(fixed))}",
            remedy="add images without a split or in train",
        )
    names = tuple(shares)
    rng, sizes = np.random.default_rng(seed), np.array([*shares.values()])
    pool = manifest.records.take(free)
    parts = divide_patients(
        pool, manifest.task, names, lambda counts: apportion(counts, sizes, rng)
    )
    assigned[free] = np.array(names)[parts]
    return assigned


def divide_patients(
    pool: Records,
    task: Task,
    names: Sequence[str],
    assign: Callable[[NDArray[np.float64]], NDArray[np.intp]],
    remedy: str = "request a larger share",
) -> NDArray[np.intp]:
    """Divide records, sorted by id, by patient and stratified; return the part of each, (n,).

    ``assign`` returns the part of each patient from the strata counts (patients, k). ``names`` of
    the parts and the remedy are for the `SplitError` that is raised if a part would lack a class.
    """
    strata = strata_counts(pool.labels, task)
    index, counts = group_images(_patient_numbers(pool), strata)
    _check_patients(task, counts, names)
    parts = assign(counts)[index]
    for number, name in enumerate(names):
        held = strata[parts == number].sum(axis=0)
        # A label of a multi-label task may be absent from a split; a class may not.
        if not held.any() or (task.kind != "multilabel" and not held.all()):
            raise SplitError(
                f"there are too few patients for the split {name!r}",
                received=f"{plural(len(counts), 'patient')} with {plural(len(pool), 'image')}",
                remedy=f"add data, or {remedy}",
            )
    return parts


def _patient_numbers(pool: Records) -> NDArray[np.intp]:
    """Number the patients, (n,), in an order that does not depend on the salt of their keys.

    The order is that of the patient in the name of the first file, or else of its id. Records must
    be sorted by id.
    """
    groups = pool.groups
    first = pool.ids[np.unique(groups, return_index=True)[1]].tolist()
    keys = [(named[0] if (named := patient_of(name)) else name, name) for name in first]
    numbers = np.empty(len(keys), np.intp)
    numbers[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return numbers[groups]


def _check_patients(task: Task, counts: NDArray[np.float64], names: Sequence[str]) -> None:
    """Reject a class with fewer patients than splits (not a rare label of a multi-label task)."""
    patients = (counts > 0).sum(axis=0)
    if task.kind == "multilabel":
        patients = (counts.sum(axis=1) > 0).sum(keepdims=True)
    for name, number in zip(task.classes, patients.tolist(), strict=False):
        if number < len(names):
            of = "" if task.kind == "multilabel" else f" of {name!r}"
            raise SplitError(
                f"there are too few patients{of} to split into {', '.join(names)}",
                received=f"{plural(number, 'patient')} for {len(names)} splits",
                remedy="add data" + (" or request no test set: test=0" if "test" in names else ""),
            )


def _find_overlaps(records: Records) -> Iterator[Finding]:
    splits, groups = records.splits, records.groups
    present = np.stack([np.bincount(groups, splits == name) > 0 for name in SPLITS])
    for first, second in combinations(SPLITS, 2):
        both = present[SPLITS.index(first)] & present[SPLITS.index(second)]
        count = int(both.sum())
        if not count:
            continue
        here, there = (
            records.ids_where(both[groups] & (splits == split)) for split in (first, second)
        )
        yield finding(
            "patient-overlap",
            "serious",
            f"{plural(count, 'patient is', 'patients are')} in the official splits {first} "
            f"({plural(len(here), 'image')}) and {second} ({plural(len(there), 'image')})",
            count,
            here + there,
            consequence="a model can recognise the patient instead of the disease",
            remedy=f"remove the images of these patients from {first}, or split the data set again",
        )


def limit(manifest: Manifest, n: int, seed: int = 0, *, balanced: bool = False) -> Manifest:
    """Keep ``n`` training images; the other splits are unchanged.

    Parameters
    ----------
    n
        Number of training images; if there are fewer, all are kept.
    seed
        Seed of the random choice, which does not depend on the order of the records.
    balanced
        Keep the same number of every class, limited by the rarest class. Otherwise the classes
        keep their proportions.

    Raises
    ------
    SplitError
        If there is no training image, or a multi-label task is to be balanced.
    ConfigError
        If ``n`` is less than the number of classes.
    """
    task = manifest.task
    if n < max(1, len(task.classes)):
        raise ConfigError(
            "the number of training images must be at least the number of classes",
            received=f"{n} for {len(task.classes)} classes",
        )
    train = manifest.select("train").records
    train = train.take(train.order())
    if n >= len(train) and not balanced:
        return manifest
    if balanced and task.kind == "multilabel":
        raise SplitError(
            "a multi-label task has no classes to balance",
            received=", ".join(task.labels),
            remedy="leave balanced= out",
        )
    rng = np.random.default_rng(seed)
    strata = strata_counts(train.labels, task)
    if task.kind == "multilabel":
        chosen = _choose_by_labels(strata, n, rng)
    else:
        chosen = _choose_by_class(strata, n, rng, balanced)
    kept = manifest.records.contains_ids(train.take(chosen).ids)
    records = manifest.records.where((manifest.splits != "train") | kept)
    how = ", the same number of every class" if balanced else ""
    what = f"{len(chosen):,} of {plural(len(train), 'training image')} are used as requested{how}"
    note = finding("limited", "note", what, len(train) - len(chosen))
    return replace(manifest, records=records).with_findings([note])


def _choose_by_class(
    strata: NDArray[np.float64], n: int, rng: np.random.Generator, balanced: bool
) -> list[int]:
    sizes = strata.sum(axis=0).astype(np.intp)
    if sizes.min() == 0:
        raise SplitError(
            "a class has no training image", received=f"images in each class: {sizes.tolist()}"
        )
    if balanced:
        targets = np.full(len(sizes), min(n // len(sizes), int(sizes.min())))
    else:
        # Every class keeps at least one image.
        targets = np.maximum(quotas(sizes, n), 1)
        targets[np.argmax(targets)] -= targets.sum() - n
    chosen: list[int] = []
    for column, number in enumerate(targets.tolist()):
        members = np.flatnonzero(strata[:, column])
        chosen += rng.permutation(members)[:number].tolist()
    return chosen


def _choose_by_labels(strata: NDArray[np.float64], n: int, rng: np.random.Generator) -> list[int]:
    share = n / len(strata)
    parts = apportion(strata, np.array([share, 1 - share]), rng)
    inside = rng.permutation(np.flatnonzero(parts == 0))
    outside = rng.permutation(np.flatnonzero(parts == 1))
    spare = max(0, n - len(inside))  # stratification may give fewer than n
    return [*inside[:n].tolist(), *outside[:spare].tolist()]
