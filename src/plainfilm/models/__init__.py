"""Networks, augmentation and novelty, and their export to ONNX.

Importing this imports no training framework; its names do, except those of `augment_draw` and
`augment_images`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plainfilm.models.augment_draw import TONES, draw_augmentation
from plainfilm.models.augment_images import apply_augmentation

if TYPE_CHECKING:
    from plainfilm.models.augment import Augment
    from plainfilm.models.networks import NETWORKS, build_network

__all__ = [
    "NETWORKS",
    "TONES",
    "Augment",
    "apply_augmentation",
    "build_network",
    "draw_augmentation",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'plainfilm.models' has no attribute {name!r}")
    from plainfilm.models import augment, networks

    return getattr(augment if name == "Augment" else networks, name)
