"""Imports ONNX classifiers of other libraries as bundles."""

from plainfilm.encoders.presets import PRESETS, ImageOptions
from plainfilm.importing.pipeline import import_model

__all__ = ["PRESETS", "ImageOptions", "import_model"]
