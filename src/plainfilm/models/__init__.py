"""Networks as Keras functions, and the augmentation that runs with them on the device."""

from plainfilm.models.augment import Augment, draw_augmentation
from plainfilm.models.registry import NETWORKS, build_network

__all__ = ["NETWORKS", "Augment", "build_network", "draw_augmentation"]
