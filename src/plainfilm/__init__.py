"""Classify chest X-rays, and judge the classifier honestly.

>>> import plainfilm
>>> data = plainfilm.load_dataset("chest_xray")                      # doctest: +SKIP
>>> run = plainfilm.train(data, recipe="swift", out="runs/first")    # doctest: +SKIP
>>> evaluation = plainfilm.evaluate("runs/first")                    # doctest: +SKIP
>>> model = plainfilm.load("runs/first")                             # doctest: +SKIP
>>> for prediction in model.predict(["image.jpeg"]):              # doctest: +SKIP
...     print(prediction.probabilities, prediction.predicted)

Importing this loads none of what the functions need; each is imported when it is first asked for.
"""

from __future__ import annotations

__version__ = "0.1.0"

# Not from typing: importing that takes longer than all the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from plainfilm._progress import ProgressLines
    from plainfilm.adaptation import adapt
    from plainfilm.audit import audit_dataset
    from plainfilm.cluster.score import score
    from plainfilm.data import load_dataset
    from plainfilm.evaluation import (
        add_readers,
        compare,
        cross_validate,
        evaluate,
        evaluate_predictions,
        validate,
    )
    from plainfilm.importing import import_model
    from plainfilm.runtime import load
    from plainfilm.training import train
    from plainfilm.training.preview import augmented_images

__all__ = [
    "ProgressLines",
    "__version__",
    "adapt",
    "add_readers",
    "audit_dataset",
    "augmented_images",
    "compare",
    "cross_validate",
    "evaluate",
    "evaluate_predictions",
    "import_model",
    "load",
    "load_dataset",
    "score",
    "train",
    "validate",
]

_HOMES = {
    "ProgressLines": "plainfilm._progress",
    "adapt": "plainfilm.adaptation",
    "add_readers": "plainfilm.evaluation",
    "audit_dataset": "plainfilm.audit",
    "augmented_images": "plainfilm.training.preview",
    "compare": "plainfilm.evaluation",
    "cross_validate": "plainfilm.evaluation",
    "evaluate": "plainfilm.evaluation",
    "evaluate_predictions": "plainfilm.evaluation",
    "import_model": "plainfilm.importing",
    "load": "plainfilm.runtime",
    "load_dataset": "plainfilm.data",
    "score": "plainfilm.cluster.score",
    "train": "plainfilm.training",
    "validate": "plainfilm.evaluation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'plainfilm' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
