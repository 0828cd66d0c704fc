"""Resamples images on the device, each with its own affine map."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["resample"]


def resample(images: Any, transforms: Any, size: int, *, nearest: bool) -> Any:
    """Resample every image with its own affine map, bilinearly.

    Keras's operation is one kernel on TensorFlow and one compiled loop on JAX. On PyTorch it is a
    dozen small operations for each image, which take as long as the rest of a training step, so
    PyTorch's `grid_sample` is used instead.

    Parameters
    ----------
    images
        float32 (n, side, side, 1), side at least ``size``.
    transforms
        float32 (n, 8): maps (x, y) of output to (ax + by + c, dx + ey + f) of input pixels; the
        last two are 0.
    size
        Side of the output. Output pixels have the coordinates of the upper left input pixels.
    nearest
        Whether pixels outside the image have the value of the nearest pixel; else it is 0.

    Returns
    -------
    float32 (n, size, size, 1)
    """
    if keras.backend.backend() == "torch":
        return _resample_torch(images, transforms, size, "border" if nearest else "zeros")
    resampled = ops.image.affine_transform(
        images,
        transforms,
        interpolation="bilinear",
        fill_mode="nearest" if nearest else "constant",
        data_format="channels_last",
    )
    return resampled[:, :size, :size, :]


def _resample_torch(images: Any, transforms: Any, size: int, outside: str) -> Any:
    import torch

    side = images.shape[1]
    steps = torch.arange(size, dtype=images.dtype, device=images.device)
    a, b, c, d, e, f = transforms[:, :6, None, None].unbind(1)
    x, y = steps[None, None, :], steps[None, :, None]
    pixels = torch.stack([a * x + b * y + c, d * x + e * y + f], dim=-1)
    # Coordinates of grid_sample go from -1, the centre of the first pixel, to 1, that of the last.
    grid = pixels * (2 / (side - 1)) - 1
    channels_first = images.permute(0, 3, 1, 2)
    resampled = torch.nn.functional.grid_sample(
        channels_first, grid, mode="bilinear", padding_mode=outside, align_corners=True
    )
    return resampled.permute(0, 2, 3, 1)
