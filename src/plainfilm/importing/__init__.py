"""Imports ONNX classifiers of other libraries as bundles."""

from plainfilm.importing.pipeline import import_model
from plainfilm.importing.presets import PRESETS, ImageOptions

__all__ = ["PRESETS", "ImageOptions", "import_model"]
