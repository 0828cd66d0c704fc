"""Whether the labels and the numbers of images can carry what will be claimed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import found, images, share
from plainfilm.metrics.intervals import newcombe, wilson
from plainfilm.records import SPLITS, Finding

__all__ = ["check_balance", "check_precision", "check_prevalence", "check_unknown"]

_RARE = 0.1
_WIDE, _TOO_WIDE = 0.15, 0.3
_FEW = 10


def check_unknown(evidence: Evidence) -> Iterator[Finding]:
    """Report labels that nobody knows."""
    unknown = np.isnan(evidence.labels)
    for column, label in enumerate(evidence.listed.task.labels):
        count = int(unknown[:, column].sum())
        if count:
            yield found(
                "unknown-label",
                "note",
                f"{label} is unknown for {images(count)} ({share(count, len(evidence))})",
                [evidence.ids[row] for row in np.flatnonzero(unknown[:, column])],
                count=count,
                consequence="they are left out of the loss and of every metric of that label",
                remedy="if unknown means absent in this set, say 0 in its table",
            )


def check_balance(evidence: Evidence) -> Iterator[Finding]:
    """Report a class that is rare."""
    for column, label in enumerate(evidence.listed.task.labels):
        values = evidence.labels[:, column]
        positive, negative = int((values == 1).sum()), int((values == 0).sum())
        total = positive + negative
        if not total or min(positive, negative) >= _RARE * total:
            continue
        rare = f"{images(positive)} with" if positive < negative else f"{images(negative)} without"
        yield found(
            "imbalance",
            "warning" if min(positive, negative) < _FEW else "note",
            f"{rare} {label} among {total:,} ({share(min(positive, negative), total)})",
            count=min(positive, negative),
            consequence="accuracy says little then: always answering the common class is right as often",
            remedy="look at sensitivity and specificity, and at average precision",
        )


def check_prevalence(evidence: Evidence) -> Iterator[Finding]:
    """Report splits whose share of a label differs by more than chance."""
    names = [name for name in SPLITS if (evidence.splits == name).any()]
    tests = len(evidence.listed.task.labels) * max(1, len(names) - 1)
    if "train" not in names:
        return
    for column, label in enumerate(evidence.listed.task.labels):
        values = evidence.labels[:, column]
        counts = {
            name: [int(((evidence.splits == name) & (values == v)).sum()) for v in (1, 0)]
            for name in names
        }
        for name in names:
            table = np.array([counts["train"], counts[name]])
            if name == "train" or (table.sum(axis=1) == 0).any() or (table.sum(axis=0) == 0).any():
                continue
            chance = _chance(table.tolist())
            apart = [row[0] / sum(row) for row in table.tolist()]
            if chance * tests >= 0.01 or abs(apart[0] - apart[1]) < 0.02:
                continue
            yield found(
                "prevalence-differs",
                "warning",
                f"{label} is {100 * apart[0]:.0f} % of train but {100 * apart[1]:.0f} % of {name} "
                f"({table[0, 0]:,} of {table[0].sum():,} and {table[1, 0]:,} of "
                f"{table[1].sum():,})",
                count=int(table[1].sum()),
                consequence="predictive values, calibration and a threshold tuned on one share do not "
                "hold at another; and a different share hints at a different source",
                remedy="weigh the classes in training, and say for which prevalence a value holds",
            )


def _chance(table: list[list[int]]) -> float:
    """Return how likely chance alone sets two shares so far apart (pooled two-sided z test)."""
    (first, _), (second, _) = table
    sizes = [sum(row) for row in table]
    pooled = (first + second) / sum(sizes)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1]))
    return math.erfc(abs(first / sizes[0] - second / sizes[1]) / spread / math.sqrt(2))


def check_precision(evidence: Evidence) -> Iterator[Finding]:
    """Report splits too small for what will be claimed of them.

    Reckoned as if 90 % were right, patients counted, not images.
    """
    for name in ("test", "validation"):
        rows = evidence.splits == name
        if not rows.any():
            continue
        for column, label in enumerate(evidence.listed.task.labels):
            values = evidence.labels[:, column]
            sides = [len(np.unique(evidence.groups[rows & (values == v)])) for v in (1, 0)]
            if min(sides) == 0:
                yield found(
                    "one-class-only",
                    "serious",
                    f"{name} has no image {'with' if sides[0] == 0 else 'without'} {label}",
                    count=int(rows.sum()),
                    consequence="nothing can be said about telling two classes apart",
                    remedy=f"put images of both classes into {name}, or let plainfilm part the set",
                )
                continue
            rates = [wilson(0.9 * side, side) for side in sides]
            area = newcombe(0.95, float(sides[0]), float(sides[1]))
            worst = max(interval.high - interval.low for interval in rates)
            if worst <= _WIDE or not math.isfinite(worst):
                continue
            what = "validation" if name == "validation" else "test"
            low, high = max(rates, key=lambda i: i.high - i.low).low, 0.0
            high = max(rates, key=lambda i: i.high - i.low).high
            which = "sensitivity" if sides[0] <= sides[1] else "specificity"
            yield found(
                f"{name}-too-small",
                "serious" if worst > _TOO_WIDE and name == "test" else "warning",
                f"{what} has {sides[0]:,} patients with and {sides[1]:,} without {label}: a "
                f"{which} of 0.90 will be known as {low:.2f} to {high:.2f}, an AUROC of 0.95 as "
                f"{area.low:.2f} to {area.high:.2f}",
                count=int(rows.sum()),
                consequence="differences between models smaller than that cannot be seen",
                remedy="gather more, or claim less",
            )
