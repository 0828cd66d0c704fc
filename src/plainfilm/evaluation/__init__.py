"""Evaluates bundles through the predictor; every metric has a confidence interval."""

from plainfilm.evaluation.comparison import Comparison, compare
from plainfilm.evaluation.crossval import CrossValidation, cross_validate, evaluate_folds
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.evaluation.external import ExternalValidation, validate
from plainfilm.evaluation.pipeline import evaluate
from plainfilm.evaluation.reader_study import add_readers
from plainfilm.evaluation.result import Evaluation, Mistake
from plainfilm.evaluation.seed_variation import write_seed_variation
from plainfilm.evaluation.summary import summarise
from plainfilm.evaluation.tables.pipeline import evaluate_predictions

__all__ = [
    "Comparison",
    "CrossValidation",
    "Evaluation",
    "EvaluationDocument",
    "ExternalValidation",
    "Mistake",
    "add_readers",
    "compare",
    "cross_validate",
    "evaluate",
    "evaluate_folds",
    "evaluate_predictions",
    "summarise",
    "validate",
    "write_seed_variation",
]
