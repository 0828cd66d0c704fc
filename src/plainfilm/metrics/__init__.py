"""Computes metrics, intervals, calibration and thresholds with pure functions on arrays.

Names and definitions are those of scikit-learn: labels come first, scores second. Undefined values
are NaN; an `Interval` contains the reason. Many functions have these parameters:

y_true
    Labels (n,), 1, 0 or NaN for unknown; images with NaN are left out.
y_score, y_prob
    Scores (n,), finite, on any scale; probabilities (n,), 0 to 1.
sample_weight
    Weights of the images (n,), 0 or more; 1 by default.
patients
    Patient keys (n,), or None for one patient per image.
level
    Confidence level of an interval, between 0 and 1.
n_bootstrap, seed
    Number of bootstrap replicates; seed or generator for them.

An input that is out of range or has another shape raises a `MetricError`.

Functions import `scipy.special` themselves: its import takes a quarter of a second, and a training
lists and audits its data before it needs it.
"""

from plainfilm.metrics._inputs import as_labels, as_scores, group_index
from plainfilm.metrics.agreement import (
    cohens_kappa,
    fleiss_kappa,
    gwet_ac1,
    percent_agreement,
)
from plainfilm.metrics.association import association_test
from plainfilm.metrics.auroc import clustered_delong, delong, delong_covariance
from plainfilm.metrics.bootstrap import (
    BOOTSTRAP_METRICS,
    SMOOTH,
    bootstrap_interval,
    clustered_bootstrap,
    correlation_interval,
    percentile,
    replicate,
    studentised,
)
from plainfilm.metrics.calibration import (
    BrierParts,
    ReliabilityBin,
    bin_edges,
    bin_index,
    brier_parts,
    brier_score_loss,
    calibration_error_bias,
    expected_calibration_error,
    log_loss,
    log_losses,
    reliability_curve,
)
from plainfilm.metrics.comparison import Verdict, clustered_difference, holm, judge_margin
from plainfilm.metrics.crossval import corrected_difference, mean_fold_auroc
from plainfilm.metrics.decision import lock_operating_points
from plainfilm.metrics.decision_band import DecisionOutcomes
from plainfilm.metrics.decision_curve import (
    THRESHOLDS,
    DecisionCurve,
    decision_curve,
    decision_statistic,
    read_decision,
)
from plainfilm.metrics.intervals import (
    Interval,
    clopper_pearson,
    correlated_difference,
    independent_difference,
    newcombe,
    undefined,
    wilson,
)
from plainfilm.metrics.label_shift import (
    ClassShares,
    estimate_class_shares,
    shift_class_shares,
)
from plainfilm.metrics.matched import difference_at_specificity
from plainfilm.metrics.mrmc import compare_modalities, compare_with_model, reader_mean
from plainfilm.metrics.mrmc_results import MrmcDifference, MrmcTest, VarianceComponents
from plainfilm.metrics.multiclass import OVERALL, overall_rates, overall_statistic
from plainfilm.metrics.paired import PairedTest, delong_test, mcnemar_test
from plainfilm.metrics.planning import (
    detectable_difference,
    images_for_auroc,
    images_for_proportion,
)
from plainfilm.metrics.prevalence import (
    ENOUGH_PATIENTS,
    PREVALENCES,
    PredictiveValues,
    predictive_values,
    shift_prevalence,
)
from plainfilm.metrics.ranking import (
    average_precision_score,
    partial_auc_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from plainfilm.metrics.reader_covariance import READER_METRICS, reader_covariance
from plainfilm.metrics.recalibration import (
    LabelFit,
    apply_recalibration,
    fit_recalibration,
    recalibration_of,
)
from plainfilm.metrics.regression import CalibrationLine, calibration_line
from plainfilm.metrics.scores import (
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
from plainfilm.metrics.shift_test import (
    ShiftTest,
    count_scores,
    label_shift_test,
)
from plainfilm.metrics.small_sample import FEW_PATIENTS, small_sample_interval
from plainfilm.metrics.statistics import (
    BLOCKS,
    MANY,
    Statistic,
    area_statistic,
    pool,
    ranking_statistic,
    rates_statistic,
    score_bins,
    sums_statistic,
    totals_statistic,
)
from plainfilm.metrics.strata import (
    stratified_auroc,
    stratified_comparison,
    stratified_difference,
)
from plainfilm.metrics.temperature import (
    TEMPERATURES,
    Temperature,
    apply_temperature,
    fit_temperature,
)

__all__ = [
    "BLOCKS",
    "BOOTSTRAP_METRICS",
    "ENOUGH_PATIENTS",
    "FEW_PATIENTS",
    "MANY",
    "OVERALL",
    "PREVALENCES",
    "RATES",
    "READER_METRICS",
    "SMOOTH",
    "TEMPERATURES",
    "THRESHOLDS",
    "BrierParts",
    "CalibrationLine",
    "ClassShares",
    "Confusion",
    "DecisionCurve",
    "DecisionOutcomes",
    "Interval",
    "LabelFit",
    "MrmcDifference",
    "MrmcTest",
    "PairedTest",
    "PredictiveValues",
    "ReliabilityBin",
    "ShiftTest",
    "Statistic",
    "Temperature",
    "VarianceComponents",
    "Verdict",
    "accuracy_score",
    "apply_recalibration",
    "apply_temperature",
    "area_statistic",
    "as_labels",
    "as_scores",
    "association_test",
    "average_precision_score",
    "balanced_accuracy_score",
    "bin_edges",
    "bin_index",
    "bootstrap_interval",
    "brier_parts",
    "brier_score_loss",
    "calibration_error_bias",
    "calibration_line",
    "clopper_pearson",
    "clustered_bootstrap",
    "clustered_delong",
    "clustered_difference",
    "cohens_kappa",
    "compare_modalities",
    "compare_with_model",
    "confusion",
    "corrected_difference",
    "correlated_difference",
    "correlation_interval",
    "count_scores",
    "decision_curve",
    "decision_statistic",
    "delong",
    "delong_covariance",
    "delong_test",
    "detectable_difference",
    "difference_at_specificity",
    "estimate_class_shares",
    "expected_calibration_error",
    "f1_score",
    "fit_recalibration",
    "fit_temperature",
    "fleiss_kappa",
    "group_index",
    "gwet_ac1",
    "holm",
    "images_for_auroc",
    "images_for_proportion",
    "independent_difference",
    "judge_margin",
    "label_shift_test",
    "likelihood_ratios",
    "lock_operating_points",
    "log_loss",
    "log_losses",
    "matthews_corrcoef",
    "mcnemar_test",
    "mean_fold_auroc",
    "newcombe",
    "npv_score",
    "overall_rates",
    "overall_statistic",
    "partial_auc_score",
    "percent_agreement",
    "percentile",
    "pool",
    "ppv_score",
    "precision_recall_curve",
    "predictive_values",
    "ranking_statistic",
    "rates",
    "rates_statistic",
    "read_decision",
    "reader_covariance",
    "reader_mean",
    "recalibration_of",
    "reliability_curve",
    "replicate",
    "roc_auc_score",
    "roc_curve",
    "score_bins",
    "sensitivity_score",
    "shift_class_shares",
    "shift_prevalence",
    "small_sample_interval",
    "specificity_score",
    "stratified_auroc",
    "stratified_comparison",
    "stratified_difference",
    "studentised",
    "sums_statistic",
    "totals_statistic",
    "undefined",
    "why_undefined",
    "wilson",
]
