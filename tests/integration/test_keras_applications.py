"""A network of Keras Applications is trained from a file of weights, sealed and used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras")

import keras

from plainfilm.data import fill_cache
from plainfilm.runtime import Predictor
from plainfilm.training import Run
from plainfilm.training.networks import keras_probabilities

pytestmark = pytest.mark.slow


def test_a_network_of_keras_is_trained_and_sealed(
    train_tiny: Callable[..., Run], tmp_path: Path
) -> None:
    path = tmp_path / "mine.weights.h5"
    source = keras.applications.MobileNet(include_top=False, weights=None)
    for layer in source.layers:
        layer.momentum = 0.0  # of batch normalisation, which learns the statistics of images
    source(np.random.default_rng(0).uniform(-1, 1, (8, 64, 64, 3)), training=True)
    source.save_weights(path)
    run = train_tiny(
        *(tmp_path / "run", "network.name=keras:MobileNet", f"network.weights={path}"),
        *("network.options={frozen=0.5, licence='own'}", "optimiser=adamw", "learning_rate=1e-3"),
        *("epochs=1", "limit=40"),
    )
    pretrained = run.bundle.provenance.pretrained
    assert pretrained is not None
    assert (pretrained.name, pretrained.licence) == (path.name, "own")
    pixels = fill_cache(run.manifest.select("test"), run.bundle.pixels, workers=0).all()[:20]
    predictor = Predictor(run.bundle)
    found = predictor.probabilities(pixels)
    np.testing.assert_allclose(found, keras_probabilities(run.bundle, pixels), atol=1e-5)
    assert predictor.activation_maps(pixels) is not None
    assert np.isfinite(predictor.probabilities_and_novelty(pixels)[1]).all()
