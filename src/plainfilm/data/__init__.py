"""Lists, splits and decodes images, without a training framework."""

from plainfilm.data.cache import Cache, default_folder
from plainfilm.data.fill import fill_cache
from plainfilm.data.fingerprint import fingerprint
from plainfilm.data.folds import Folds, make_folds
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.data.selection import leave_out, pick, relocate
from plainfilm.data.sources import (
    KERMANY,
    SourceOptions,
    fetch_kermany,
    load_dataset,
    require_positive,
    verify_kermany,
)
from plainfilm.data.split import limit, make_splits

__all__ = [
    "KERMANY",
    "Cache",
    "Folds",
    "LeftOut",
    "Manifest",
    "SourceOptions",
    "default_folder",
    "fetch_kermany",
    "fill_cache",
    "fingerprint",
    "leave_out",
    "limit",
    "load_dataset",
    "make_folds",
    "make_splits",
    "pick",
    "relocate",
    "require_positive",
    "verify_kermany",
]
