"""Classify chest X-rays, and judge the classifier honestly.

>>> import thorax
>>> data = thorax.load_dataset("chest_xray")                      # doctest: +SKIP
>>> run = thorax.train(data, recipe="swift", out="runs/first")    # doctest: +SKIP
>>> evaluation = thorax.evaluate("runs/first")                    # doctest: +SKIP
>>> model = thorax.load("runs/first")                             # doctest: +SKIP
>>> for prediction in model.predict(["image.jpeg"]):              # doctest: +SKIP
...     print(prediction.probabilities, prediction.calls)

Importing this loads none of what the functions need; each is imported when it is first asked for.
"""

from __future__ import annotations

__version__ = "0.1.0"

# Not from typing: importing that takes longer than all the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from thorax._progress import ProgressLines
    from thorax.data import load_dataset
    from thorax.data.audit import audit
    from thorax.evaluation import compare, evaluate, validate
    from thorax.runtime import load
    from thorax.training import train
    from thorax.training.preview import augmented_images

__all__ = [
    "ProgressLines",
    "__version__",
    "audit",
    "augmented_images",
    "compare",
    "evaluate",
    "load",
    "load_dataset",
    "train",
    "validate",
]

_HOMES = {
    "ProgressLines": "thorax._progress",
    "audit": "thorax.data.audit",
    "augmented_images": "thorax.training.preview",
    "compare": "thorax.evaluation",
    "evaluate": "thorax.evaluation",
    "load": "thorax.runtime",
    "load_dataset": "thorax.data",
    "train": "thorax.training",
    "validate": "thorax.evaluation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'thorax' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
