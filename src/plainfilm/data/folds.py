"""Divides a manifest into the folds of a cross-validation, by patient and stratified by label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from plainfilm._text import plural
from plainfilm.data.manifest import Manifest
from plainfilm.data.record_table import Records
from plainfilm.data.sources.listing import finding
from plainfilm.data.split import divide_patients, make_splits
from plainfilm.data.stratify import deal
from plainfilm.errors import ConfigError, SplitError

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
    test: Records
    names: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of folds."""
        return max(self.numbers)

    @property
    def whole(self) -> Manifest:
        """Return all images: those of the folds for training, and the test set."""
        train = self.manifest.records.replace(split="train")
        return replace(self.manifest, records=train + self.test.replace(split="test"))

    def split(self, fold: int, validation: float) -> Manifest:
        """Return the manifest with one fold as its test set, to train and evaluate one model.

        A share of the other images, by patient, becomes the validation set.
        """
        records, inside = self.manifest.records, np.array(self.numbers) == fold
        others = replace(self.manifest, records=records.where(~inside))
        divided = make_splits(others, validation=validation, test=0, seed=_SEED).records
        held = records.where(inside).replace(split="test")
        return replace(self.manifest, records=divided + held)


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
    held = manifest.records.known_splits == "test"
    test, order = manifest.records.where(held), manifest.records.order()
    pool = manifest.records.take(order[~held[order]]).replace(split="", official="")
    if not pool:
        raise SplitError(
            "no image is left for cross-validation",
            received=f"{plural(len(test), 'image')}, all in the test set",
            remedy="add images outside the test set",
        )
    own = replace(manifest, records=pool)
    if test:
        what = f"{plural(len(test), 'image')} of the test set {'is' if len(test) == 1 else 'are'}"
        own = own.with_findings(
            [finding("test-set-kept", "note", f"{what} in no fold", len(test), test.ids.tolist())]
        )
    name = next((name for name in pool.column_names if name.casefold() == COLUMN), None)
    if name is not None:
        return _read_column(own, test, name, count)
    names = [f"fold {number + 1}" for number in range(count)]
    assign = partial(deal, parts=count, rng=np.random.default_rng(seed))
    parts = divide_patients(pool, manifest.task, names, assign, "request fewer folds")
    return Folds(own, tuple((parts + 1).tolist()), test)


def _read_column(manifest: Manifest, test: Records, column: str, count: int) -> Folds:
    """Return the folds that a column assigns, after checking them."""
    records = manifest.records
    cells = records.column(column)
    names = [f"{c:g}" if isinstance(c, float) else str(c or "").strip() for c in cells]
    if blank := records.ids_where(np.array(names) == ""):
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
    groups = records.groups
    pairs = np.unique(np.column_stack([groups, numbers]), axis=0)
    divided = np.bincount(pairs[:, 0]) > 1
    if count := int(divided.sum()):
        example = records.ids_where(divided[groups])
        raise SplitError(
            f"{plural(count, 'patient has', 'patients have')} images in several folds of "
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
