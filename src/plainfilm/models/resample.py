"""Resampling on the device: every image through a map of its own, in one pass."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["resample"]


def resample(images: Any, transforms: Any, size: int, *, nearest: bool) -> Any:
    """Move every image by its own affine map, bilinearly.

    Keras's own operation is one kernel on TensorFlow and one compiled loop on JAX. On PyTorch it is
    a dozen small operations for each image, which takes as long as the rest of a training step;
    there PyTorch's own `grid_sample` takes its place.

    Parameters
    ----------
    images
        float32 (n, side, side, 1), side at least ``size``.
    transforms
        float32 (n, 8): from output to input pixels, (x, y) to (ax + by + c, dx + ey + f); the last
        two are 0.
    size
        Side of the images that come out: the upper left part, before anything is moved.
    nearest
        Whether what lies outside of an image is its nearest pixel; else it is 0.

    Returns
    -------
    moved
        float32 (n, size, size, 1).
    """
    if keras.backend.backend() == "torch":
        return _resample_torch(images, transforms, size, "border" if nearest else "zeros")
    moved = ops.image.affine_transform(
        images,
        transforms,
        interpolation="bilinear",
        fill_mode="nearest" if nearest else "constant",
        data_format="channels_last",
    )
    return moved[:, :size, :size, :]


def _resample_torch(images: Any, transforms: Any, size: int, outside: str) -> Any:
    import torch

    side = images.shape[1]
    steps = torch.arange(size, dtype=images.dtype, device=images.device)
    a, b, c, d, e, f = transforms[:, :6, None, None].unbind(1)
    x, y = steps[None, None, :], steps[None, :, None]
    pixels = torch.stack([a * x + b * y + c, d * x + e * y + f], dim=-1)
    # grid_sample counts from -1, the centre of the first pixel, to 1, that of the last.
    grid = pixels * (2 / (side - 1)) - 1
    channels_first = images.permute(0, 3, 1, 2)
    moved = torch.nn.functional.grid_sample(
        channels_first, grid, mode="bilinear", padding_mode=outside, align_corners=True
    )
    return moved.permute(0, 2, 3, 1)
