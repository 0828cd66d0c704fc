"""Training: from a data set to a sealed bundle. Importing this imports no training framework."""

from plainfilm.training.backend import BACKENDS, choose_backend, choose_precision, use_backend
from plainfilm.training.joining import join_training
from plainfilm.training.networks import keras_probabilities, load_network
from plainfilm.training.pipeline import choose_trainer, train
from plainfilm.training.run import Run, open_run
from plainfilm.training.several import FoldRuns, train_folds, train_seeds

__all__ = [
    "BACKENDS",
    "FoldRuns",
    "Run",
    "choose_backend",
    "choose_precision",
    "choose_trainer",
    "join_training",
    "keras_probabilities",
    "load_network",
    "open_run",
    "train",
    "train_folds",
    "train_seeds",
    "use_backend",
]
