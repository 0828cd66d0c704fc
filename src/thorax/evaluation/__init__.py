"""What a bundle is worth: scored through the predictor, every number with its interval."""

from thorax.evaluation.external import Validation, validate
from thorax.evaluation.result import Evaluation, Mistake
from thorax.evaluation.run import evaluate
from thorax.evaluation.summary import summarise

__all__ = ["Evaluation", "Mistake", "Validation", "evaluate", "summarise", "validate"]
