"""What a bundle is worth: scored through the predictor, every number with its interval."""

from thorax.evaluation.comparison import Comparison, compare
from thorax.evaluation.external import Validation, validate
from thorax.evaluation.result import Evaluation, Mistake
from thorax.evaluation.run import evaluate
from thorax.evaluation.spread import write_spread
from thorax.evaluation.summary import summarise

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
