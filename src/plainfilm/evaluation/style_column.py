"""Groups evaluated images by acquisition style, as a column like the view or the site."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.styles import FAMILIES, FEATURES, Styles, cluster_styles, describe_styles
from plainfilm.data import Cache
from plainfilm.data.metadata import Metadata

COLUMN = "acquisition style"

_MOST, _IMAGES_EACH, _FEWEST = 4, 100, 200
_FITTED = 20_000  # images that the styles are fitted on
_CHUNK = 1024


def group_by_style(images: Cache, positions: NDArray[np.intp], metadata: Metadata) -> list[str]:
    """Return the style of each image (n,), or nothing for fewer than 200 images.

    The margins, the sharpness, the marks and the aspect ratio make a style. The tone curve does
    not, because disease changes it most.
    """
    if len(positions) < _FEWEST:
        return []
    parts = [
        describe_styles(images.gather(positions[start : start + _CHUNK]))
        for start in range(0, len(positions), _CHUNK)
    ]
    features = np.concatenate(parts)
    features[:, [FEATURES.index(name) for name in FAMILIES["tone"]]] = np.nan
    width, height = metadata.numbers("width"), metadata.numbers("height")
    with np.errstate(divide="ignore", invalid="ignore"):
        aspect = np.log(width / height)
    features[:, FEATURES.index("aspect ratio")] = np.where(np.isfinite(aspect), aspect, np.nan)
    chosen = np.random.default_rng(0).permutation(len(features))[:_FITTED]
    count = min(_MOST, len(features) // _IMAGES_EACH)
    styles = cluster_styles(features[np.sort(chosen)], count)
    names = [_name(styles, number) for number in range(count)]
    return [names[number] for number in styles.assign(features)]


def _name(styles: Styles, number: int) -> str:
    """Return a number from 1 and the feature that distinguishes the style most."""
    [(trait, deviation)] = styles.traits(number, limit=1)
    return f"{number + 1} ({'more' if deviation > 0 else 'less'} {trait})"
