"""Adapts a bundle to the images of another site: calibration and thresholds, not the network."""

from plainfilm.adaptation.adapt import AdaptedBundle, adapt
from plainfilm.adaptation.document import AdaptationDocument

__all__ = ["AdaptationDocument", "AdaptedBundle", "adapt"]
