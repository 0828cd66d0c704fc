"""Corrects probabilities and predictive values for another prevalence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Floats, as_scores

PREVALENCES: tuple[float, ...] = tuple(
    float(f"{share:.4g}") for share in 1 / (1 + np.exp(-np.linspace(-np.log(999), np.log(9), 50)))
)
"""Fifty prevalences from 0.001 to 0.9, evenly spaced in log odds."""

ENOUGH_PATIENTS = 20
"""Number of patients of each class that results at another prevalence require."""


def _share(value: float, name: str) -> float:
    if not 0 < value < 1:
        raise MetricError(f"{name} must be between 0 and 1", received=value)
    return float(value)


def shift_prevalence(probabilities: ArrayLike, *, from_: float, to: float) -> Floats:
    """Return probabilities corrected for another prevalence.

    The odds are multiplied by the ratio of the prior odds. This is right if only the prevalence
    differs, and the images within each class are alike (label shift).

    Parameters
    ----------
    probabilities
        Probabilities of any shape, 0 to 1.
    from_
        Prevalence that the probabilities assume, between 0 and 1 (0.5 for a bundle whose
        ``assumed_prevalence`` is ``balanced``).
    to
        Target prevalence, between 0 and 1.

    References
    ----------
    C. Elkan, IJCAI 2001, theorem 2; M. Saerens, P. Latinne & C. Decaestecker, Neural Comput. 14
    (2002) 21-41.

    Examples
    --------
    >>> float(shift_prevalence(0.8, from_=0.5, to=0.05).round(3))
    0.174
    """
    old, new = _share(from_, "the assumed prevalence"), _share(to, "the target prevalence")
    values = np.asarray(probabilities, np.float64)
    values = as_scores(values, values.shape, name="probabilities", low=0, high=1)
    up, down = values * (new / old), (1 - values) * ((1 - new) / (1 - old))
    shifted: Floats = up / (up + down)
    return shifted


@dataclass(frozen=True, slots=True)
class PredictiveValues:
    """PPV and NPV by prevalence.

    Attributes
    ----------
    prevalence, ppv, npv
        Arrays (k,), 0 to 1; NaN where no image would have the predicted class.
    """

    prevalence: Floats
    ppv: Floats
    npv: Floats


def predictive_values(
    sensitivity: ArrayLike, specificity: ArrayLike, prevalence: ArrayLike = PREVALENCES
) -> PredictiveValues:
    """Return PPV and NPV at each prevalence by Bayes' theorem.

    The rates have any shape S, such as () for one pair or (R,) for replicates, and the result is
    ``(*S, k)`` for k prevalences, all 0 to 1. Sensitivity and specificity are assumed not to depend
    on the prevalence, which requires the same spectrum of disease.

    References
    ----------
    N. D. Mercaldo, K. F. Lau & X. H. Zhou, Stat. Med. 26 (2007) 2170-2183.
    """
    hit, clear = (np.asarray(rate, np.float64)[..., None] for rate in (sensitivity, specificity))
    share = np.asarray(prevalence, np.float64)
    for values, name in ((hit, "sensitivity"), (clear, "specificity"), (share, "prevalence")):
        defined = values[~np.isnan(values)]
        if np.any((defined < 0) | (defined > 1)):
            raise MetricError(f"{name} must be between 0 and 1", received=defined.tolist()[:5])
    with np.errstate(invalid="ignore", divide="ignore"):
        ppv = hit * share / (hit * share + (1 - clear) * (1 - share))
        npv = clear * (1 - share) / (clear * (1 - share) + (1 - hit) * share)
    return PredictiveValues(share, ppv, npv)
