"""What a bundle is worth: scored through the predictor, every number with its interval."""

from thorax.evaluation.run import Evaluation, Mistake, evaluate
from thorax.evaluation.summary import summarise

__all__ = ["Evaluation", "Mistake", "evaluate", "summarise"]
