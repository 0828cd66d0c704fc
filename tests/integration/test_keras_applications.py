"""A network of Keras Applications is trained, sealed and used without Keras."""

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


def test_a_network_of_keras_is_trained_and_sealed(
    train_tiny: Callable[..., Run], tmp_path: Path
) -> None:
    run = train_tiny(
        *(tmp_path / "run", "network.name=keras:MobileNetV3Small", "network.options={}"),
        *("optimiser=adamw", "epochs=1", "limit=40", "network.options.frozen=0.5"),
    )
    pixels = fill_cache(run.manifest.select("test"), run.bundle.pixels, workers=0).all()[:20]
    predictor = Predictor(run.bundle)
    found = predictor.probabilities(pixels)
    np.testing.assert_allclose(found, keras_probabilities(run.bundle, pixels), atol=1e-5)
    assert predictor.activation_maps(pixels) is not None
    assert np.isfinite(predictor.probabilities_and_novelty(pixels)[1]).all()
