"""Converts attenuation to a film image: beam, scatter, noise, film curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.fft import next_fast_len

from plainfilm.phantom.projection import Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Technique and processing of one image."""

    photons: float  # quanta per pixel through air; fewer give more noise
    hardness: float  # factor on all attenuation; lower for a hard beam and low contrast
    scatter: float  # proportion of scattered radiation, 0 to 1
    blur: float  # standard deviation, in pixels of an image 256 pixels high
    black: float  # margin of the attenuation range below black
    white: float  # margin above white
    gamma: float  # exponent of the film curve, 1 for linear


def sample_exposure(rng: np.random.Generator) -> Exposure:
    """Draw random technique and processing."""
    return Exposure(
        photons=float(np.exp(rng.normal(8.6, 0.5))),
        hardness=float(rng.uniform(1.15, 1.6)),
        scatter=float(rng.uniform(0.08, 0.32)),
        blur=float(rng.uniform(0.35, 0.85)),
        black=float(rng.uniform(0.01, 0.14)),
        white=float(rng.uniform(1.0, 1.22)),
        gamma=float(np.exp(rng.normal(0.0, 0.2))),
    )


def expose(rng: np.random.Generator, attenuation: Field, exposure: Exposure) -> Field:
    """Return the attenuation at the detector, with noise, blur and scatter.

    ``attenuation`` has line integrals in natural units, (height, width).
    """
    primary = np.exp(-np.float32(exposure.hardness) * attenuation)
    height, width = primary.shape
    scale = height / 256.0
    pad = max(4, int(10 * scale))
    # Poisson noise: the variance equals the mean.
    photons = np.float32(exposure.photons)
    noise = rng.standard_normal(primary.shape, dtype=np.float32)
    primary = primary + noise * np.sqrt(primary / photons)
    margins = [
        (pad, next_fast_len(side + 2 * pad, real=True) - side - pad) for side in primary.shape
    ]
    padded = np.pad(primary, margins, mode="edge")
    fy = np.fft.fftfreq(padded.shape[0]).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(padded.shape[1]).astype(np.float32)[None, :]
    f2 = fy * fy + fx * fx
    sharp = np.exp(f2 * np.float32(-2 * (np.pi * exposure.blur * scale) ** 2))
    veil = np.exp(f2 * np.float32(-2 * (np.pi * 22 * scale) ** 2))
    share = np.float32(exposure.scatter)
    spectrum = np.fft.rfft2(padded) * ((1.0 - share) * sharp + share * veil)
    seen = np.fft.irfft2(spectrum, s=padded.shape)[pad : pad + height, pad : pad + width]
    return (-np.log(np.maximum(seen, 1e-4))).astype(np.float32)


def develop(density: Field, exposure: Exposure, body: Field) -> Field:
    """Return the processed image, 0 (black) to 1 (white).

    The window depends on the pixels where ``body`` is above 0.5.
    """
    seen = density[body > 0.5]
    if seen.size < 16:
        seen = density.ravel()
    sample = seen[:: max(1, seen.size // 8192)]
    low, high = (float(value) for value in np.quantile(sample, [0.01, 0.985]))
    span = max(high - low, 0.05)
    t = (density - low) * np.float32(1.0 / span)
    t = (t + exposure.black) / np.float32(exposure.white + exposure.black)
    t = np.clip(t, 0.0, 1.6)
    t = t ** np.float32(exposure.gamma)
    # The shoulder of the film curve compresses bright areas.
    bright = t > 0.75
    t[bright] = 0.75 + 0.25 * np.tanh((t[bright] - 0.75) * 3.2)
    picture: Field = t
    return picture


def cloud(
    rng: np.random.Generator, shape: tuple[int, int], grain: float, *, power: float = 0.0
) -> Field:
    """Return smooth random texture with mean 0 and variance 1, (height, width).

    ``grain`` is the standard deviation of the smoothing in pixels, ``power`` the exponent of an
    additional decrease with frequency.
    """
    # Coarse texture is drawn small and enlarged, which is much faster.
    shrink = max(1, int(grain / 2.5)) if power == 0.0 else 1
    rows, columns = (next_fast_len(-(-side // shrink) + 1, real=True) for side in shape)
    fy = np.fft.fftfreq(rows).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(columns).astype(np.float32)[None, :]
    f2 = fy * fy + fx * fx
    f2[0, 0] = 1.0
    gain = np.exp(f2 * np.float32(-2 * (np.pi * grain / shrink) ** 2))
    if power:
        gain = gain * f2 ** np.float32(-power / 2)
    gain[0, 0] = 0.0
    white = rng.standard_normal((rows, columns), dtype=np.float32)
    field = np.fft.irfft2(np.fft.rfft2(white) * gain, s=(rows, columns)).astype(np.float32)
    field /= max(float(field.std()), 1e-9)
    if shrink > 1:
        large = Image.fromarray(field).resize(
            (columns * shrink, rows * shrink), Image.Resampling.BICUBIC
        )
        field = np.asarray(large, dtype=np.float32)
    return field[: shape[0], : shape[1]]
