"""Defines the options of a network's images, and presets with the scaling of libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from plainfilm.bundle.imported import Axes, Scaling
from plainfilm.errors import UsageError
from plainfilm.records import Geometry

__all__ = ["PRESETS", "ImageOptions", "find_preset"]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """The size, shape and scale of the images of a network; None means not given.

    Attributes
    ----------
    size, channels, axes
        Side of the square image, 1 or 3 channels, and ``nchw``, ``nhwc`` or ``nhw``. None takes
        those of the graph's input.
    geometry
        ``squash``, ``pad`` or ``crop``, see `plainfilm.records.PixelSpec`.
    value_range
        Values of black and white, such as (0, 1).
    mean, std
        Subtracted, then divided by; one value, or one for each channel.
    scaling
        ``fixed``, or ``image``: the darkest and the lightest pixel of each image get the ends of
        the range.
    transposed
        Whether the network expects height and width exchanged.
    """

    size: int | None = None
    geometry: Geometry | None = None
    channels: int | None = None
    axes: Axes | None = None
    value_range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scaling: Scaling | None = None
    transposed: bool | None = None


PRESETS: Mapping[str, ImageOptions] = MappingProxyType(
    {
        "torchxrayvision": ImageOptions(geometry="crop", channels=1, value_range=(-1024, 1024)),
        "keras": ImageOptions(geometry="squash", value_range=(0, 255)),
        "keras-tf": ImageOptions(geometry="squash", value_range=(-1, 1)),
        "keras-torch": ImageOptions(geometry="squash", value_range=(0, 1), mean=_MEAN, std=_STD),
        "keras-caffe": ImageOptions(
            geometry="squash", value_range=(0, 255), mean=(103.939, 116.779, 123.68)
        ),
        "torchvision": ImageOptions(geometry="crop", value_range=(0, 1), mean=_MEAN, std=_STD),
        "timm": ImageOptions(geometry="crop", value_range=(0, 1), mean=_MEAN, std=_STD),
        "timm-inception": ImageOptions(
            geometry="crop", value_range=(0, 1), mean=(0.5,), std=(0.5,)
        ),
        "monai": ImageOptions(
            geometry="squash", value_range=(0, 1), scaling="image", transposed=True
        ),
    }
)
"""Preset to the options that it gives; options that are given as well replace them.

``keras`` is for networks that scale images themselves (EfficientNet, ConvNeXt, MobileNetV3),
``keras-tf``, ``keras-torch`` and ``keras-caffe`` are the modes of ``preprocess_input``. ``monai``
is ``ScaleIntensity`` after ``LoadImage``, which exchanges height and width.
"""


def find_preset(name: str) -> ImageOptions:
    """Return the options of a preset; raise a UsageError for another name."""
    if name not in PRESETS:
        raise UsageError(
            "there is no preset of this name",
            received=name,
            remedy=f"choose one of: {', '.join(PRESETS)}",
        )
    return PRESETS[name]
