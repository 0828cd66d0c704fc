"""Questions by which recipes are compared: which images they train on and are tested on.

No patient is on both sides of a part. ``folds`` tests on images of other patients of the same
sources; a shift tests on images of one group, such as a site or an acquisition style, with a model
that was trained on the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.styles import cluster_styles, describe_styles
from plainfilm.data import Manifest, fill_cache, make_folds, make_splits
from plainfilm.errors import ConfigError, DataError
from plainfilm.records import PixelSpec

STYLES = "styles"
"""Name of the shift between acquisition styles."""
GROUP = "search group"
"""Column of the group of a shift."""

_STYLE_SIDE = 128
_CHUNK = 1024
_LEAST = 0.005  # of all images; a style with fewer images of a class joins the nearest
_MOST_GROUPS = 20


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a question: images with splits to train on, and images to test on."""

    question: str
    name: str
    training: Manifest
    test: Manifest

    @property
    def pairs(self) -> int:
        """Return the number of pairs of a positive and a negative test image, over all labels."""
        labels = self.test.label_array()
        return int(((labels == 1).sum(axis=0) * (labels == 0).sum(axis=0)).sum())


def part_without(
    manifest: Manifest,
    question: str,
    name: str,
    test: NDArray[np.bool_],
    *,
    validation: float = 0.1,
    seed: int = 0,
) -> Part:
    """Return the part that tests on the records of a mask (n,) and trains on other patients.

    A share of the other patients becomes the validation set.
    """
    records = manifest.records
    others = ~np.isin(records.groups, records.groups[test])
    training = replace(manifest, records=records.where(others))
    split = make_splits(training, validation=validation, test=0, seed=seed)
    return Part(question, name, split, replace(manifest, records=records.where(test)))


def fold_part(
    manifest: Manifest, folds: int, fold: int, division: int, *, validation: float = 0.1
) -> Part:
    """Return the part that tests on a fold, from 1; each ``division`` has other folds."""
    divided = make_folds(manifest, folds, seed=division)
    inside = np.array(divided.numbers) == fold
    own = divided.manifest
    return part_without(own, "folds", f"fold {fold}", inside, validation=validation)


def group_part(manifest: Manifest, group: str, division: int, *, validation: float = 0.1) -> Part:
    """Return the part that tests on a group of a shift; see `with_groups`."""
    inside = np.array(manifest.records.column(GROUP)) == group
    return part_without(manifest, "shift", group, inside, validation=validation, seed=division)


def groups_of(manifest: Manifest) -> list[str]:
    """Return the groups of a shift; see `with_groups`."""
    return sorted({str(name) for name in manifest.records.column(GROUP)})


def with_groups(
    manifest: Manifest,
    shift: str,
    styles: int = 6,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
) -> Manifest:
    """Return the images with their groups of a shift, in the column `GROUP`.

    ``shift`` is a column of the data set, whose blank values are left out, or ``styles``.

    Raises
    ------
    ConfigError
        If there is no such column.
    DataError
        If it has fewer than 2 or more than 20 values, or a group has images of one class only.
    """
    if shift == STYLES:
        manifest, members = group_by_style(manifest, styles, cache=cache, workers=workers)
        names = [f"style {number + 1}" for number in members]
    else:
        names = _read_column(manifest, shift)
    records = manifest.records.with_column(GROUP, names).where(np.array(names) != "")
    grouped = replace(manifest, records=records)
    _check_groups(grouped, shift)
    return grouped


def _read_column(manifest: Manifest, column: str) -> list[str]:
    known = sorted(manifest.records.column_names)
    if column not in known:
        raise ConfigError(
            f"the data set has no column {column!r}",
            received=", ".join(known) or "a data set without further columns",
            remedy=f"name one of its columns, or {STYLES} for acquisition styles",
        )
    values = manifest.records.column(column)
    return [f"{v:g}" if isinstance(v, float) else str(v or "").strip() for v in values]


def _check_groups(manifest: Manifest, shift: str) -> None:
    names = np.array(manifest.records.column(GROUP), np.str_)
    labels, groups = manifest.label_array(), np.unique(names)
    if not 2 <= len(groups) <= _MOST_GROUPS:
        raise DataError(
            f"a shift must have 2 to {_MOST_GROUPS} groups",
            received=f"{shift}: {len(groups)}",
            remedy="name a column such as the site, the device or the view",
        )
    for group in groups:
        own = labels[names == group]
        if not ((own == 1).any(axis=0) & (own == 0).any(axis=0)).any():
            raise DataError(
                f"the group {group!r} of {shift} has images of one class only",
                received=f"{len(own)} images",
                remedy="leave it out with where=, or name another column",
            )


def group_by_style(
    manifest: Manifest,
    count: int,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
) -> tuple[Manifest, NDArray[np.intp]]:
    """Return the readable images and the number of each one's acquisition style.

    No label takes part in the styles, but small ones join the nearest one.
    """
    spec = PixelSpec(_STYLE_SIDE, "squash")
    images = fill_cache(manifest, spec, folder=cache, workers=workers)
    kept = manifest.drop(images.left_out)
    rows = images.positions(kept.records)
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    features = np.concatenate([describe_styles(images.gather(chunk)) for chunk in chunks])
    styles = cluster_styles(features, min(count, len(features)))
    members, centres = styles.members.copy(), styles.centres
    labels = kept.label_array()
    while len(np.unique(members)) > 1:
        numbers = np.unique(members)
        rarest = [_rarest_class(labels[members == n]) for n in numbers]
        if min(rarest) >= _LEAST * len(members):
            break
        small = numbers[np.argmin(rarest)]
        others = numbers[numbers != small]
        distances = ((centres[others] - centres[small]) ** 2).sum(axis=1)
        members[members == small] = others[distances.argmin()]
    return kept, members


def _rarest_class(labels: NDArray[np.float32]) -> int:
    """Return the images of the rarer value of the most balanced label."""
    both = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))
    return int(both.max())
