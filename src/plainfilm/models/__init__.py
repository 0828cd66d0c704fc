"""Networks, augmentation and novelty, and their export to ONNX. Importing this imports Keras."""

from plainfilm.models.augment import Augment, draw_augmentation
from plainfilm.models.networks import NETWORKS, build_network

__all__ = ["NETWORKS", "Augment", "build_network", "draw_augmentation"]
