"""Computes the features of images in threads, and keeps them in the cache folder."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm import _files
from plainfilm._progress import Progress
from plainfilm.data import default_folder
from plainfilm.data.cache import explain_cache_errors
from plainfilm.data.housekeeping import FEATURES
from plainfilm.encoders.encoder import Encoder, check_finite, encode
from plainfilm.training.distil import map_ahead

_ROWS = 64  # images whose features are in one file
_DAY = 24 * 3600.0

Images = Callable[[slice], NDArray[np.uint8]]
"""Function from rows to images (n, size, size), which is called in several threads."""


class FeatureReader:
    """Computes the features of images with an encoder, or finds them in the cache folder.

    They are stored by the content of the encoder and of the images, after augmentation. An
    interrupted training continues with those that are finished. ``total`` is the number of images
    for the progress.
    """

    def __init__(
        self, encoder: Encoder, cache: str | Path | None, total: int, progress: Progress
    ) -> None:
        self._folder = (Path(cache) if cache is not None else default_folder()) / FEATURES
        self._encoder, self._session = encoder, encoder.open()
        self._progress, self._total = progress, total
        self._done, self._began = 0, time.monotonic()

    @explain_cache_errors()
    def read(
        self, count: int, images: Images, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the features (count, width) of images, in ``out`` if that is given.

        Raises
        ------
        BundleError
            If a feature is not finite.
        StorageError
            If the cache folder cannot be written.
        """
        features = np.empty((count, self._encoder.width), np.float32) if out is None else out
        rows = [slice(start, min(start + _ROWS, count)) for start in range(0, count, _ROWS)]
        found = map_ahead(lambda part: self._of(images(part)), iter(rows))
        for part, values in zip(rows, found, strict=True):
            features[part] = values
            self._done += len(values)
            rate = self._done / max(time.monotonic() - self._began, 1e-9)
            self._progress("encoding images", self._done, self._total, f"{rate:.0f}/s")
        return features

    def _of(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features of a few images."""
        content = f"{self._encoder.sha256} {images.shape} {_files.hash_bytes(images.tobytes())}"
        path = self._folder / f"{_files.hash_bytes(content.encode())[:32]}.npy"
        found = self._stored(path, len(images))
        if found is None:
            found = encode(self._session, images)
            check_finite(found)
            file = io.BytesIO()
            np.save(file, found)
            _files.write_bytes(path, file.getvalue())
        return found

    def _stored(self, path: Path, count: int) -> NDArray[np.float32] | None:
        """Return the features in a file, None if it does not exist or is damaged."""
        with contextlib.suppress(OSError, ValueError, EOFError):
            found = np.load(path, allow_pickle=False)
            with contextlib.suppress(OSError):  # `prune_cache` removes what was not used for long
                if time.time() - path.stat().st_mtime > _DAY:
                    os.utime(path)
            if found.shape == (count, self._encoder.width) and found.dtype == np.float32:
                return np.asarray(found)
        return None
