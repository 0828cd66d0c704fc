"""The results of subgroups, and of the AUROC within them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plainfilm.metrics import Interval


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The results of the images that share one value of a column.

    Attributes
    ----------
    n, patients, positives
        Number of images, of patients and of positive images.
    metrics
        AUROC, and sensitivity and specificity at the balanced operating point.
    difference, p, p_adjusted
        By metric: the subgroup less the other images, the two-sided p-value, and the same
        adjusted for all tests of the evaluation after Holm.
    operating_points
        Sensitivity and specificity at the other operating points, by their names; only in columns
        with ``within``.
    """

    value: str
    n: int
    patients: int
    positives: int
    metrics: Mapping[str, Interval]
    difference: Mapping[str, Interval]
    p: Mapping[str, float]
    p_adjusted: Mapping[str, float]
    operating_points: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SmallSubgroup:
    """A subgroup that is too small for results, and the reason."""

    value: str
    n: int
    positives: int
    reason: str


@dataclass(frozen=True, slots=True)
class WithinStrata:
    """The AUROC within the values of a column, over pairs of images that share one.

    Attributes
    ----------
    related
        p-value of the relation of the column with the label.
    pairs
        Share of all pairs of a positive and a negative image that share a value, 0 to 1.
    pooled
        AUROC over all pairs of images with a value.
    auroc, difference, p, p_adjusted
        AUROC within the values, the same less ``pooled``, the two-sided p-value of the difference,
        and the same adjusted for all such tests of the evaluation after Holm.
    """

    related: float
    pairs: float
    pooled: float
    auroc: Interval
    difference: Interval
    p: float
    p_adjusted: float

    @property
    def differs(self) -> bool:
        """Return whether the two AUROCs differ significantly and by 0.02 or more."""
        return self.p_adjusted < 0.05 and abs(self.difference.value) >= 0.02


@dataclass(frozen=True, slots=True)
class SubgroupColumn:
    """The subgroups of one column.

    Attributes
    ----------
    compared_with
        The images on both sides of each comparison, in words: all of the other class where every
        value of the column occurs in one class only, otherwise None.
    subgroups, too_small, missing
        Subgroups with and without results, and number of images without a value.
    within
        The AUROC within the values, for the view, the site, and columns that are related to the
        label; None for others, and where no value has images of both classes.
    """

    column: str
    compared_with: str | None
    subgroups: tuple[Subgroup, ...]
    too_small: tuple[SmallSubgroup, ...]
    missing: int
    within: WithinStrata | None = None

    def mixing(self, label: str) -> str | None:
        """Return why the AUROC over all pairs of images misleads, as a sentence, or None."""
        own = self.within
        if own is None or not own.differs:
            return None
        sizes = [(one.value, one.positives, one.n) for one in self.subgroups]
        sizes += [(one.value, one.positives, one.n) for one in self.too_small]
        rates = sorted((positives / n, value) for value, positives, n in sizes if n)
        (least, first), (most, last) = rates[0], rates[-1]
        return (
            f"within {self.column} the AUROC of {label} is {own.auroc.value:.3f} "
            f"({own.auroc.low:.3f} to {own.auroc.high:.3f}), but {own.pooled:.3f} over all pairs "
            f"of images, which also depends on how the model ranks the values of {self.column} "
            f"({least:.0%} positive where it is {first}, {most:.0%} where it is {last})"
        )


@dataclass(frozen=True, slots=True)
class Subgroups:
    """Results by subgroup, for the columns of each label.

    Attributes
    ----------
    minimum_patients
        Number of patients of a class that results for the class require.
    tests
        Number of tests that the p-values are adjusted for.
    """

    minimum_patients: int
    method: str
    tests: int
    labels: Mapping[str, tuple[SubgroupColumn, ...]]
