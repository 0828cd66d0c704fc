"""Lists folders and tables of images as a manifest; downloads a public data set."""

from plainfilm.data.sources.classes.task import require_positive
from plainfilm.data.sources.kermany import KERMANY, fetch_kermany, verify_kermany
from plainfilm.data.sources.loading import load_dataset
from plainfilm.data.sources.options import SourceOptions

__all__ = [
    "KERMANY",
    "SourceOptions",
    "fetch_kermany",
    "load_dataset",
    "require_positive",
    "verify_kermany",
]
