"""Stores hashes of the images a bundle was made from, so that an evaluation recognises them.

The file ``training_images.npz`` has no image, name or path. Its lists are sorted, so that no list
shows which entry of another belongs to the same image.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._text import printable
from plainfilm.errors import BundleError

_SCHEMA = 1
_DIGITS = 16  # of the 64 bits that are kept of a hash
# Type and number of axes of each array.
_ARRAYS = {
    "contents": ("uint64", 1),
    "patients": ("uint64", 1),
    "salt": ("uint8", 1),
    "views": ("uint8", 2),
    "mean": ("float32", 1),
    "components": ("float16", 2),
    "medians": ("float32", 1),
}


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

    def including(self, other: TrainingImages | None) -> TrainingImages:
        """Return these images and those of another bundle.

        Patients are included if the keys of both have one salt. Views are not: their hashes are
        computed with other components.
        """
        if other is None:
            return self
        patients, salt = self.patients, self.salt or other.salt
        if salt == other.salt:
            patients = np.union1d(patients, other.patients)
        contents = np.union1d(self.contents, other.contents)
        return replace(self, contents=contents, patients=patients, salt=salt)

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        file = io.BytesIO()
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays["salt"] = np.frombuffer(self.salt.encode("ascii"), np.uint8)
        np.savez(file, schema=np.array(_SCHEMA), **arrays)
        return file.getvalue()

    @classmethod
    def parse(cls, data: bytes, where: str) -> TrainingImages:
        """Return what `to_bytes` made a file of; raise a BundleError for another content."""
        try:
            schema, arrays = _read_arrays(data)
        except Exception as error:  # the libraries raise many kinds
            raise BundleError(f"{where} cannot be read", received=printable(str(error))) from error
        if schema != _SCHEMA:
            raise BundleError(
                f"this version of plainfilm cannot read {where}",
                received=f"schema {schema}",
                remedy="upgrade plainfilm, or train again",
            )
        right = all(
            arrays[name].dtype == np.dtype(kind) and arrays[name].ndim == axes
            for name, (kind, axes) in _ARRAYS.items()
        )
        salt: Any = arrays["salt"].tobytes().decode("ascii", "replace")
        found = cls(**arrays | {"salt": salt})
        size, bits = found.components.shape if right else (-1, -1)
        if (
            not right
            or found.mean.shape != (size,)
            or found.medians.shape != (bits,)
            or found.views.shape[1] != (bits + 7) // 8
        ):
            raise BundleError(f"{where} cannot be read", received="arrays that do not fit together")
        return found


def _read_arrays(data: bytes) -> tuple[int, dict[str, NDArray[Any]]]:
    """Return the schema and the arrays of a file, which must not be compressed."""
    import zipfile  # here, so that predictions start faster

    with zipfile.ZipFile(io.BytesIO(data)) as file:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in file.infolist()):
            raise ValueError("compressed arrays")
        schema = np.load(io.BytesIO(file.read("schema.npy")), allow_pickle=False)
        arrays = {
            name: np.load(io.BytesIO(file.read(f"{name}.npy")), allow_pickle=False)
            for name in _ARRAYS
        }
    return int(schema), arrays


def short_hashes(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the first 64 bits of hashes (n, 32), in their order.

    Examples
    --------
    >>> short_hashes(np.array([[0] * 7 + [10] * 25], np.uint8))
    array([10], dtype=uint64)
    """
    return np.ascontiguousarray(hashes[:, :8]).view(">u8").ravel().astype(np.uint64)


def short_keys(keys: Iterable[str]) -> NDArray[np.uint64]:
    """Return the first 64 bits of patient keys, a letter and hexadecimal digits."""
    return np.array([int(key[1 : 1 + _DIGITS], 16) for key in keys], dtype=np.uint64)
