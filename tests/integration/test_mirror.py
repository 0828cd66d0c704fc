"""A training with ``network.mirror`` seals a model that predicts alike on mirror images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras")

from plainfilm.data import fill_cache
from plainfilm.runtime import Predictor
from plainfilm.training import Run
from plainfilm.training.networks import keras_probabilities

pytestmark = pytest.mark.slow


def test_the_sealed_model_averages_both_sides(
    train_tiny: Callable[..., Run], tmp_path: Path
) -> None:
    run = train_tiny(tmp_path / "run", "network.mirror=true", "epochs=1", "limit=40")
    pixels = fill_cache(run.manifest.select("test"), run.bundle.pixels, workers=0).all()[:20]
    turned = np.ascontiguousarray(pixels[:, :, ::-1])
    predictor = Predictor(run.bundle)
    found = predictor.probabilities(pixels)
    np.testing.assert_allclose(found, predictor.probabilities(turned), atol=1e-5)
    np.testing.assert_allclose(found, keras_probabilities(run.bundle, pixels), atol=1e-5)
    maps, others = predictor.activation_maps(pixels), predictor.activation_maps(turned)
    assert maps is not None and others is not None
    np.testing.assert_allclose(maps, others[..., ::-1], atol=1e-4)
