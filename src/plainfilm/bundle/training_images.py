"""Stores hashes of the images a bundle was made from, so that an evaluation recognises them.

The file ``training_images.npz`` has no image, name or path. Its lists are sorted, so that no list
shows which entry of another belongs to the same image.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import BundleError

_SCHEMA = 1
_DIGITS = 16  # of the 64 bits that are kept of a hash


@dataclass(frozen=True, slots=True, eq=False)
class TrainingImages:
    """The training and validation images of a bundle.

    Attributes
    ----------
    contents
        First 64 bits of the SHA-256 of each file, (n,), sorted.
    patients
        The keys of the patients, 64 bits each, (p,), sorted; without images of unknown patients.
    salt
        A key of a fixed text: equal for patient keys of the same salt; empty without patients.
    views
        Perceptual hashes of k bits, packed, (m, ceil(k / 8)), sorted; none for a blank image.
    mean, components, medians
        How they are computed: subtract the mean (d,), project on the components (d, k), and
        compare with the medians (k,). With k = 0 there are none.
    """

    contents: NDArray[np.uint64]
    patients: NDArray[np.uint64]
    salt: str
    views: NDArray[np.uint8]
    mean: NDArray[np.float32]
    components: NDArray[np.float16]
    medians: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.contents)

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        file = io.BytesIO()
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays["salt"] = np.frombuffer(self.salt.encode("ascii"), np.uint8)
        np.savez(file, schema=np.array(_SCHEMA), **arrays)
        return file.getvalue()

    @classmethod
    def read(cls, path: Path) -> TrainingImages:
        """Read a file that has the content of `to_bytes`; raise a BundleError otherwise."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                schema = int(file["schema"])
                arrays = {field.name: file[field.name] for field in fields(cls)}
        except (
            *(OSError, EOFError, ValueError, KeyError),  # damaged, or no array
            *(AttributeError, TypeError, zipfile.BadZipFile),  # one array, or no ZIP file
        ) as error:
            raise BundleError(f"{path} cannot be read", received=str(error)) from error
        if schema != _SCHEMA:
            raise BundleError(
                f"this version of plainfilm cannot read {path}",
                received=f"schema {schema}",
                remedy="upgrade plainfilm, or train again",
            )
        found = cls(**arrays | {"salt": arrays["salt"].tobytes().decode("ascii", "replace")})
        size, bits = found.components.shape if found.components.ndim == 2 else (-1, -1)
        right = (
            found.mean.shape == (size,)
            and found.medians.shape == (bits,)
            and found.views.shape == (len(found.views), (bits + 7) // 8)
            and found.views.dtype == np.uint8
            and found.contents.dtype == found.patients.dtype == np.uint64
        )
        if not right:
            raise BundleError(f"{path} cannot be read", received="arrays that do not fit together")
        return found


def short_hashes(digests: Iterable[str]) -> NDArray[np.uint64]:
    """Return the first 64 bits of hexadecimal digests, in their order.

    Examples
    --------
    >>> short_hashes(["000000000000000a" + 48 * "f"])
    array([10], dtype=uint64)
    """
    return np.array([int(digest[:_DIGITS], 16) for digest in digests], dtype=np.uint64)
