"""Networks, augmentation and novelty, and their export to ONNX.

Importing this imports no training framework. The names below import Keras when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plainfilm.models.augment import Augment, draw_augmentation
    from plainfilm.models.networks import NETWORKS, build_network

__all__ = ["NETWORKS", "Augment", "build_network", "draw_augmentation"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'plainfilm.models' has no attribute {name!r}")
    if name in ("NETWORKS", "build_network"):
        from plainfilm.models import networks as home
    else:
        from plainfilm.models import augment as home  # type: ignore[no-redef]
    return getattr(home, name)
