"""Training: from a data set to a sealed bundle. Importing this imports no training framework."""

from plainfilm.training.backend import BACKENDS, choose_backend, choose_precision, use_backend
from plainfilm.training.networks import keras_probabilities, load_network
from plainfilm.training.pipeline import train, train_seeds
from plainfilm.training.run import Run, open_run

__all__ = [
    "BACKENDS",
    "Run",
    "choose_backend",
    "choose_precision",
    "keras_probabilities",
    "load_network",
    "open_run",
    "train",
    "train_seeds",
    "use_backend",
]
