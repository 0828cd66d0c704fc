"""Checks of the labels: missing values, class balance, prevalence and precision."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import SETS, images, make_finding, share
from plainfilm.metrics.intervals import newcombe, wilson
from plainfilm.records import SPLITS, Finding

_RARE = 0.1
_VERY_FEW = 10  # images
_P_VALUE, _MIN_DIFFERENCE = 0.01, 0.02
_WIDE, _VERY_WIDE = 0.15, 0.3  # intervals


def check_unknown(evidence: Evidence) -> Iterator[Finding]:
    """Report missing labels."""
    for label, values in evidence.label_columns():
        if ids := evidence.ids_where(np.isnan(values)):
            yield make_finding(
                "unknown-label",
                "note",
                f"{label} is unknown for {images(len(ids))} ({share(len(ids), len(evidence))})",
                ids,
                consequence="the loss and all metrics of this label ignore these images",
                remedy="if a missing value means that the finding is absent, write 0 in the table",
            )


def check_balance(evidence: Evidence) -> Iterator[Finding]:
    """Report a class that is rare."""
    for label, values in evidence.label_columns():
        positive, negative = int((values == 1).sum()), int((values == 0).sum())
        rare, total = min(positive, negative), positive + negative
        if not total or rare >= _RARE * total:
            continue
        sign = "positive" if positive < negative else "negative"
        yield make_finding(
            "class-imbalance",
            "warning" if rare < _VERY_FEW else "note",
            f"only {share(rare, total)} of the images are {sign} for {label} "
            f"({rare:,} of {total:,})",
            count=rare,
            consequence="accuracy is misleading: it is high for a model that always predicts the "
            "frequent class",
            remedy="report sensitivity, specificity and average precision",
        )


def check_prevalence(evidence: Evidence) -> Iterator[Finding]:
    """Report splits whose prevalence differs from that of the training set beyond chance."""
    names = [name for name in SPLITS if (evidence.splits == name).any()]
    if "train" not in names:
        return
    tests = len(evidence.manifest.task.labels) * max(1, len(names) - 1)  # Bonferroni
    for label, values in evidence.label_columns():
        known = {name: values[(evidence.splits == name) & ~np.isnan(values)] for name in names}
        (k, n), *others = ((int((own == 1).sum()), len(own)) for own in known.values())
        for name, (k2, n2) in zip(names[1:], others, strict=True):
            if not n or not n2 or k + k2 in (0, n + n2):
                continue
            if _p_value(k, n, k2, n2) * tests >= _P_VALUE or abs(k / n - k2 / n2) < _MIN_DIFFERENCE:
                continue
            yield make_finding(
                "prevalence-differs",
                "warning",
                f"the prevalence of {label} is {100 * k / n:.0f} % in the training set but "
                f"{100 * k2 / n2:.0f} % in the {SETS[name]} ({k:,} of {n:,} and {k2:,} of {n2:,})",
                count=n2,
                consequence="predictive values, calibration and thresholds depend on prevalence "
                "and do not transfer; the splits may also come from different sources",
                remedy="weight the classes in training, and state the prevalence with each result "
                "that depends on it",
            )


def _p_value(k: int, n: int, k2: int, n2: int) -> float:
    """Return the two-sided p-value of a z test of two proportions with pooled variance."""
    pooled = (k + k2) / (n + n2)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / n2))
    return math.erfc(abs(k / n - k2 / n2) / error / math.sqrt(2))


def check_precision(evidence: Evidence) -> Iterator[Finding]:
    """Report test and validation sets with too few patients for precise results.

    The expected intervals assume a sensitivity and specificity of 0.90 and an AUROC of 0.95, and
    count patients, not images.
    """
    for name in ("test", "validation"):
        rows = evidence.splits == name
        if not rows.any():
            continue
        for label, values in evidence.label_columns():
            positive, negative = (
                len(np.unique(evidence.groups[rows & (values == value)])) for value in (1, 0)
            )
            if not (positive and negative):
                yield make_finding(
                    "one-class-only",
                    "serious",
                    f"the {SETS[name]} has no image that is "
                    f"{'negative' if positive else 'positive'} for {label}",
                    count=int(rows.sum()),
                    consequence="neither AUROC nor both sensitivity and specificity can be "
                    "estimated",
                    remedy=f"add images of both classes to the {SETS[name]}, or let plainfilm "
                    "split the data",
                )
                continue
            patients, rate = min(
                (positive, "sensitivity"), (negative, "specificity"), key=lambda p: p[0]
            )
            proportion = wilson(0.9 * patients, patients)
            auroc = newcombe(0.95, float(positive), float(negative))
            width = proportion.high - proportion.low
            if width <= _WIDE:
                continue
            yield make_finding(
                f"{name}-too-small",
                "serious" if width > _VERY_WIDE and name == "test" else "warning",
                f"the {SETS[name]} has too few patients ({positive:,} positive and {negative:,} "
                f"negative for {label}): the 95 % interval would be {proportion.low:.2f} to "
                f"{proportion.high:.2f} for a {rate} of 0.90, and {auroc.low:.2f} to "
                f"{auroc.high:.2f} for an AUROC of 0.95",
                count=int(rows.sum()),
                consequence="smaller differences between models cannot be detected",
                remedy="collect data of more patients, or limit the conclusions accordingly",
            )


LABEL_CHECKS = (check_unknown, check_balance, check_prevalence, check_precision)
