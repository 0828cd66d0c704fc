"""What a bundle is worth: scored through the predictor, every number with its interval."""

from plainfilm.evaluation.comparison import Comparison, compare
from plainfilm.evaluation.external import Validation, validate
from plainfilm.evaluation.result import Evaluation, Mistake
from plainfilm.evaluation.run import evaluate
from plainfilm.evaluation.seed_variation import write_spread
from plainfilm.evaluation.summary import summarise

__all__ = [
    "Comparison",
    "Evaluation",
    "Mistake",
    "Validation",
    "compare",
    "evaluate",
    "summarise",
    "validate",
    "write_spread",
]
