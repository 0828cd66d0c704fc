"""Feed the pixel path with files that are drawn, and then mutated where that reaches new code.

    python tests/fuzz/fuzz_pixels.py [SECONDS]

The invariants:

- nothing but an ImageError escapes;
- an image has the size that was asked for, uint8, with metadata that are numbers and words;
- the same bytes give the same pixels, and the same reason, also where colour is looked for.
"""

from __future__ import annotations

import contextlib
import math
import sys

import numpy as np
from fuzzing import run

__all__ = ["GEOMETRIES", "check", "main"]

GEOMETRIES = ("squash", "pad", "crop")


def check(data: bytes) -> str:
    """Read one file in every way, and return what became of it: ``image`` or a reason.

    Raises
    ------
    AssertionError
        If an invariant does not hold; whatever else escapes is a defect as well.
    """
    from plainfilm.errors import ImageError
    from plainfilm.pixels import Limits, read_image, read_image_and_text, sniff
    from plainfilm.pixels.directories import check_directories
    from plainfilm.pixels.structure import check_structure
    from plainfilm.records import PixelSpec

    with contextlib.suppress(ImageError):  # small files are read without this check
        check_directories(data)
        check_structure(data, sniff(data))
    kind = len(data)  # each file has a spec of its own, always the same one
    geometry = GEOMETRIES[kind % 3]
    spec = PixelSpec(24, geometry, trim=kind % 2 == 1, frame=kind % 5 // 4)  # type: ignore[arg-type]
    limits = Limits(bytes=1 << 22, pixels=1 << 20, frames=100)
    found: list[tuple[str, bytes]] = []
    for reader in (read_image, read_image, read_image_and_text):
        try:
            image = reader(data, spec, limits=limits)
        except ImageError as error:
            assert error.reason and str(error)
            found.append((error.reason, b""))
            continue
        assert image.pixels.shape == (24, 24) and image.pixels.dtype == np.uint8
        for name, value in image.metadata.items():
            assert isinstance(value, str) or math.isfinite(value), (name, value)
        found.append(("image", image.pixels.tobytes()))
    assert found[0] == found[1] == found[2], [outcome for outcome, _ in found]
    return found[0][0]


def main(arguments: list[str] | None = None) -> int:
    """Fuzz for some seconds; return 0 where nothing was found."""
    from fuzz_corpus import draw_corpus

    packages = ("plainfilm.pixels", "pydicom", "PIL")
    modules = ("pydicom.pixels", "PIL.Image", "plainfilm.pixels.dicom")
    return run(check, draw_corpus(), packages, arguments, modules=modules)


if __name__ == "__main__":
    sys.exit(main())
