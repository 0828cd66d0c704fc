"""Divides a manifest into the folds of a cross-validation, by patient and stratified by label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

import numpy as np

from plainfilm._text import plural
from plainfilm.data.manifest import Manifest
from plainfilm.data.sources.listing import finding
from plainfilm.data.split import divide_patients, make_splits
from plainfilm.data.stratify import deal
from plainfilm.errors import ConfigError, SplitError
from plainfilm.records import Record

COLUMN = "fold"
"""The column of a table that assigns the folds; upper and lower case are equal."""

_SEED = 0  # splits do not depend on the seed of a training


@dataclass(frozen=True, slots=True)
class Folds:
    """A data set in folds: each is predicted by a model that was trained on the others.

    Attributes
    ----------
    manifest
        The images of all folds, without splits, and without the test set.
    numbers
        Fold of each of its records, 1 to `count`.
    test
        The images of the test set; they are in no fold.
    names
        What the source calls the folds, in their order; empty if the folds were assigned here.
    """

    manifest: Manifest
    numbers: tuple[int, ...]
    test: tuple[Record, ...]
    names: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of folds."""
        return max(self.numbers)

    @property
    def whole(self) -> Manifest:
        """Return all images: those of the folds for training, and the test set."""
        train = [replace(record, split="train") for record in self.manifest.records]
        test = [replace(record, split="test") for record in self.test]
        return replace(self.manifest, records=(*train, *test))

    def split(self, fold: int, validation: float) -> Manifest:
        """Return the manifest with one fold as its test set, to train and evaluate one model.

        A share of the other images, by patient, becomes the validation set.
        """
        pairs = [*zip(self.manifest.records, self.numbers, strict=True)]
        inside = [replace(record, split="test") for record, own in pairs if own == fold]
        others = replace(
            self.manifest, records=tuple(record for record, own in pairs if own != fold)
        )
        divided = make_splits(others, validation=validation, test=0, seed=_SEED).records
        return replace(self.manifest, records=(*divided, *inside))


def make_folds(manifest: Manifest, count: int, seed: int = _SEED) -> Folds:
    """Divide the images outside the test set into folds.

    A column ``fold`` of the source assigns the folds. Otherwise they are assigned by patient and
    stratified by label, independently of the order of the records. Images of an official validation
    set join the others.

    Parameters
    ----------
    manifest
        The data set. Records of its test set, split or official, are in no fold.
    count
        Number of folds, 2 or more; that of the column ``fold`` if there is one.
    seed
        Seed of the random assignment.

    Raises
    ------
    ConfigError
        If the number of folds is less than 2.
    SplitError
        If there are too few patients, the column has another number of folds, an image has none, or
        the images of a patient are in two.
    """
    if count < 2:
        raise ConfigError("a cross-validation needs 2 or more folds", received=count)
    test = tuple(r for r in manifest.records if (r.split or r.official) == "test")
    held = {record.id for record in test}
    pool = [
        replace(record, split=None, official=None)
        for record in sorted(manifest.records, key=attrgetter("id"))
        if record.id not in held
    ]
    if not pool:
        raise SplitError(
            "no image is left for cross-validation",
            received=f"{plural(len(test), 'image')}, all in the test set",
            remedy="add images outside the test set",
        )
    own = replace(manifest, records=tuple(pool))
    if test:
        what = f"{plural(len(test), 'image')} of the test set {'is' if len(test) == 1 else 'are'}"
        own = own.with_findings(
            [finding("test-set-kept", "note", f"{what} in no fold", len(test), held)]
        )
    name = next((n for r in pool for n in r.columns if n.casefold() == COLUMN), None)
    if name is not None:
        return _read_column(own, test, name, count)
    names = [f"fold {number + 1}" for number in range(count)]
    assign = partial(deal, parts=count, rng=np.random.default_rng(seed))
    parts = divide_patients(pool, manifest.task, names, assign, "request fewer folds")
    return Folds(own, tuple((parts + 1).tolist()), test)


def _read_column(manifest: Manifest, test: tuple[Record, ...], column: str, count: int) -> Folds:
    """Return the folds that a column assigns, after checking them."""
    cells = [record.columns.get(column, "") for record in manifest.records]
    names = [f"{cell:g}" if isinstance(cell, float) else str(cell).strip() for cell in cells]
    blank = [r.id for r, name in zip(manifest.records, names, strict=True) if not name]
    if blank:
        raise SplitError(
            f"{plural(len(blank), 'image has', 'images have')} no value in the column {column!r}",
            received=f"such as {', '.join(sorted(blank)[:3])}",
            remedy="give each image outside the test set a fold, or remove the column",
        )
    order = _ordered(names)
    if len(order) != count:
        raise SplitError(
            f"the column {column!r} has another number of folds than requested",
            received=f"{plural(len(order), 'value')} ({', '.join(order[:12])}), folds {count}",
            remedy=f"request {len(order)} folds, or rename the column"
            if len(order) > 1
            else "rename or remove the column",
        )
    numbers = [order.index(name) + 1 for name in names]
    found: dict[str, set[int]] = defaultdict(set)
    for record, number in zip(manifest.records, numbers, strict=True):
        found[record.patient].add(number)
    divided = {patient for patient, own in found.items() if len(own) > 1}
    if divided:
        example = [r.id for r in manifest.records if r.patient in divided]
        raise SplitError(
            f"{plural(len(divided), 'patient has', 'patients have')} images in several folds of "
            f"the column {column!r}",
            received=f"such as {', '.join(example[:3])}",
            remedy="give all images of a patient the same fold, or rename the column to let "
            "plainfilm assign the folds",
        )
    return Folds(manifest, tuple(numbers), test, tuple(order))


def _ordered(names: Sequence[str]) -> list[str]:
    """Return the different names, in the order of their numbers if all are numbers."""
    different = sorted(set(names))
    try:
        return sorted(different, key=float)
    except ValueError:
        return different
