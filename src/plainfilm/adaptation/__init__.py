"""Adapts a bundle to the images of another site: calibration and thresholds, not the network."""

from plainfilm.adaptation.document import AdaptationDocument
from plainfilm.adaptation.pipeline import AdaptedBundle, adapt

__all__ = ["AdaptationDocument", "AdaptedBundle", "adapt"]
