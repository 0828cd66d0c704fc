"""Judges one human reader, and compares the model with the reader."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm import metrics
from plainfilm.evaluation.curves import thin
from plainfilm.evaluation.document.label import RocCurve
from plainfilm.evaluation.document.readers import AgainstReader, ReaderResults
from plainfilm.evaluation.view import Bools, Floats
from plainfilm.metrics import Interval, PairedTest


@dataclass(frozen=True, slots=True, eq=False)
class ReadImages:
    """Images of known label that a reader read, and the model's scores of them.

    ``patients`` is None where each patient has one image; ``calls`` are those of the model, (n,),
    None without a threshold; ``threshold`` is that of the model, None if there is none or the
    calls are its most probable class.
    """

    y_true: Floats
    y_score: Floats
    patients: NDArray[np.str_] | None
    threshold: float | None
    calls: Floats | None
    n_bootstrap: int

    @property
    def count(self) -> int:
        """Return the number of patients."""
        return len(self.y_true) if self.patients is None else len(np.unique(self.patients))

    def keys(self, rows: Bools) -> NDArray[np.str_] | None:
        """Return the patients of some of the images."""
        return None if self.patients is None else self.patients[rows]

    def rate(self, name: str, calls: Floats, rows: Bools) -> Interval:
        """Return the sensitivity or specificity of calls on some of the images."""
        return metrics.clustered_bootstrap(
            name, self.y_true[rows], calls[rows], self.keys(rows),
            threshold=0.5, n_bootstrap=self.n_bootstrap,
        )  # fmt: skip

    def area(self, scores: Floats, rows: Bools) -> Interval:
        """Return the AUROC of scores or ratings on some of the images."""
        keys = self.keys(rows)
        if keys is None:
            return metrics.delong(self.y_true[rows], scores[rows])
        return metrics.clustered_delong(self.y_true[rows], scores[rows], keys)

    def curve(self, scores: Floats, rows: Bools) -> RocCurve:
        """Return the ROC curve of scores or ratings on some of the images."""
        fpr, tpr, threshold = thin(*metrics.roc_curve(self.y_true[rows], scores[rows]))
        return RocCurve(fpr, tpr, threshold)


def judge_reader(
    images: ReadImages, reader: str, modality: str, calls: Floats | None, ratings: Floats | None
) -> ReaderResults:
    """Return the results of a reader from calls (n,) or ratings (n,), NaN where not read."""
    given = ratings if calls is None else calls
    assert given is not None
    rows = ~np.isnan(given)
    values: dict[str, Interval] = {}
    against: dict[str, AgainstReader] = {}
    if calls is not None:
        for name in ("sensitivity", "specificity"):
            values[name] = images.rate(name, calls, rows)
            if images.calls is not None:
                against[name] = _compare(images, name, calls, images.calls, rows)
    if ratings is not None:
        values["auroc"] = images.area(ratings, rows)
        against["auroc"] = _compare(images, "auroc", ratings, images.y_score, rows)
    at_specificity = kappa = ac1 = None
    if calls is not None:
        at_specificity = metrics.difference_at_specificity(
            images.y_true[rows], calls[rows], images.y_score[rows], images.keys(rows),
            n_bootstrap=images.n_bootstrap,
        )  # fmt: skip
    if calls is not None and images.calls is not None:
        both = calls[rows], images.calls[rows]
        kappa = metrics.cohens_kappa(*both, images.keys(rows))
        ac1 = metrics.gwet_ac1(both, images.keys(rows), n_classes=2)
    keys = images.keys(rows)
    return ReaderResults(
        reader=reader,
        modality=modality,
        images=int(rows.sum()),
        patients=int(rows.sum()) if keys is None else len(np.unique(keys)),
        positives=int((images.y_true[rows] == 1).sum()),
        metrics=values,
        against=against,
        at_specificity=at_specificity,
        kappa=kappa,
        ac1=ac1,
        roc=None if ratings is None else images.curve(ratings, rows),
    )


def _compare(
    images: ReadImages, name: str, reader: Floats, model: Floats, rows: Bools
) -> AgainstReader:
    """Return the model less the reader in a metric on the images that the reader read."""
    own = images.area(model, rows) if name == "auroc" else images.rate(name, model, rows)
    test = _test(images, name, reader, model, rows)
    if test is None:
        missing = metrics.undefined("none", "a class is missing")
        return AgainstReader(own, missing, None, None, "none")
    p = test.p if math.isfinite(test.p) else None
    return AgainstReader(own, test.difference, p, None, test.method)


def _test(
    images: ReadImages, name: str, reader: Floats, model: Floats, rows: Bools
) -> PairedTest | None:
    """Return the paired test, or None where a class is missing."""
    classes = np.unique(images.y_true[rows])
    if name == "auroc":
        if len(classes) < 2:
            return None
        y_true, keys = images.y_true[rows], images.keys(rows)
        return metrics.delong_test(y_true, reader[rows], model[rows], keys)
    truth = 1.0 if name == "sensitivity" else 0.0
    used = rows & (images.y_true == truth)
    if not used.any():
        return None
    return metrics.mcnemar_test(reader[used] == truth, model[used] == truth, images.keys(used))
