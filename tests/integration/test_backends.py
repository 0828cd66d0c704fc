"""Every installed backend trains the recipe swift and seals a bundle that runs without it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import plainfilm
from plainfilm.training import BACKENDS, open_run

pytest.importorskip("keras")

pytestmark = pytest.mark.slow

RunPlainfilm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_trains_and_its_bundle_runs(
    phantoms: Path, run_plainfilm: RunPlainfilm, tmp_path: Path, backend: str
) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    out = tmp_path / "run"
    settings = ("--set", "epochs=1", "--set", "minimum_steps=0", "--set", "limit=64")
    settings += ("--set", "augment=robust", "--set", "augment.text=0.3")
    done = run_plainfilm(
        *("train", phantoms, "--recipe", "swift", "--out", out, *settings),
        KERAS_BACKEND=backend,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    run = open_run(out)
    assert run.plan.identity.backend == backend
    assert np.isfinite(float((out / "history.csv").read_text().splitlines()[1].split(",")[1]))

    # The Keras model on this backend and the bundle predict the same, and the backend augments like
    # the preview, which needs no backend.
    code = f"""
import json, numpy as np
from plainfilm.models import Augment, draw_augmentation
from plainfilm.training import open_run
from plainfilm.training.networks import keras_probabilities
from plainfilm.training.preview import augmented_images
from keras import ops
images = np.random.default_rng(0).integers(0, 256, (4, 64, 64), dtype=np.uint8)
config = open_run({str(out)!r}).plan.identity.recipe.augment
drawn = draw_augmentation(config, np.random.default_rng(1), 4, 64)
augmented = ops.convert_to_numpy(Augment(config, 64, 1)(images[..., None], *drawn))[..., 0]
gap = np.abs(np.clip(augmented, 0, 255) - augmented_images(config, 64, images, seed=1)).max()
assert gap < 0.51, gap
print(json.dumps(keras_probabilities({str(out)!r}, images).tolist()))
"""
    output = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert output.returncode == 0, output.stderr
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64), dtype=np.uint8)
    expected = json.loads(output.stdout.splitlines()[-1])
    np.testing.assert_allclose(
        plainfilm.load(out).probabilities(images), expected, rtol=0, atol=1e-5
    )


def test_a_backend_is_chosen_by_name(
    phantoms: Path, run_plainfilm: RunPlainfilm, tmp_path: Path
) -> None:
    missing = [name for name in BACKENDS if importlib.util.find_spec(name) is None]
    if not missing:
        pytest.skip("all backends are installed")
    done = run_plainfilm(
        *("train", phantoms, "--recipe", "swift", "--out", tmp_path / "run"),
        *("--backend", missing[0]),
    )
    assert done.returncode == 2
    assert "pip install '.[" in done.stderr
    assert not (tmp_path / "run").exists()
