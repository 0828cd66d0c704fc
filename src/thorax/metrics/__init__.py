"""Metrics, intervals, calibration and thresholds: pure functions on arrays.

Labels are 1, 0 or NaN (unknown, left out) and come first, scores second, in scikit-learn's names
and meaning. What is undefined is NaN, with a reason where an `Interval` carries it.
"""

from thorax.metrics._inputs import as_labels, as_scores, group_index
from thorax.metrics.bootstrap import (
    BOOTSTRAP_METRICS,
    Statistic,
    bootstrap_interval,
    clustered_bootstrap,
    percentile,
    ranking_statistic,
    rates_statistic,
    replicate,
    totals_statistic,
)
from thorax.metrics.calibration import (
    ReliabilityBin,
    bin_edges,
    bin_index,
    brier_score_loss,
    expected_calibration_error,
    log_loss,
    log_losses,
    reliability_curve,
)
from thorax.metrics.clustered import clustered_delong
from thorax.metrics.decision import LockedPoint, lock_operating_points
from thorax.metrics.few import steady
from thorax.metrics.intervals import (
    Interval,
    clopper_pearson,
    delong,
    delong_covariance,
    newcombe,
    undefined,
    wilson,
)
from thorax.metrics.ranking import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from thorax.metrics.regression import CalibrationLine, calibration_line
from thorax.metrics.scores import (
    RATES,
    Confusion,
    accuracy_score,
    balanced_accuracy_score,
    confusion,
    f1_score,
    likelihood_ratios,
    matthews_corrcoef,
    npv_score,
    ppv_score,
    rates,
    sensitivity_score,
    specificity_score,
    why_undefined,
)
from thorax.metrics.temperature import (
    TEMPERATURES,
    Temperature,
    apply_temperature,
    fit_temperature,
)

__all__ = [
    "BOOTSTRAP_METRICS",
    "RATES",
    "TEMPERATURES",
    "CalibrationLine",
    "Confusion",
    "Interval",
    "LockedPoint",
    "ReliabilityBin",
    "Statistic",
    "Temperature",
    "accuracy_score",
    "apply_temperature",
    "as_labels",
    "as_scores",
    "average_precision_score",
    "balanced_accuracy_score",
    "bin_edges",
    "bin_index",
    "bootstrap_interval",
    "brier_score_loss",
    "calibration_line",
    "clopper_pearson",
    "clustered_bootstrap",
    "clustered_delong",
    "confusion",
    "delong",
    "delong_covariance",
    "expected_calibration_error",
    "f1_score",
    "fit_temperature",
    "group_index",
    "likelihood_ratios",
    "lock_operating_points",
    "log_loss",
    "log_losses",
    "matthews_corrcoef",
    "newcombe",
    "npv_score",
    "percentile",
    "ppv_score",
    "precision_recall_curve",
    "ranking_statistic",
    "rates",
    "rates_statistic",
    "reliability_curve",
    "replicate",
    "roc_auc_score",
    "roc_curve",
    "sensitivity_score",
    "specificity_score",
    "steady",
    "totals_statistic",
    "undefined",
    "why_undefined",
    "wilson",
]
