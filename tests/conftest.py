"""Fixtures of all tests: drawn images, a trained run, a separate cache, small bundles."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from locked_points import locked
from plainfilm._progress import Progress, silent
from plainfilm.bundle import (
    Bundle,
    BundleMetadata,
    PretrainedWeights,
    Provenance,
    TrainingImages,
    write_bundle,
)
from plainfilm.config import FitConfig, NetworkConfig, Recipe
from plainfilm.data import Manifest, load_dataset
from plainfilm.phantom import sample_patient, write_dataset
from plainfilm.phantom.encode import encode
from plainfilm.records import PixelSpec, Purpose, Task
from plainfilm.training import Run, train

TINY = (
    "size=32",
    "network.options.channels=[16, 16]",
    "epochs=2",
    "minimum_steps=0",
    "batch=16",
    "limit=90",
    "precision=float32",
)
"""Settings of a training that takes two seconds after the framework is loaded."""

RunPlainfilm = Callable[..., "subprocess.CompletedProcess[str]"]
TrainTiny = Callable[..., Run]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Use a separate cache and salt, not those of the user."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAINFILM_CACHE", str(folder))
        patch.setenv("PLAINFILM_SALT", "of the tests")
        yield folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw train and test folders of NORMAL and PNEUMONIA that are easy to distinguish."""
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    write_dataset(
        folder, images={"train": 140, "test": 50}, seed=3, size=96, subtlety=(0.0, 0.3), workers=1
    )
    return folder


@pytest.fixture(scope="session")
def manifest(phantoms: Path) -> Manifest:
    """List the drawn images."""
    return load_dataset(phantoms)


@pytest.fixture(scope="session")
def tiny_settings() -> tuple[str, ...]:
    """Return the settings of the smallest training, with 6 steps in an epoch."""
    return TINY


@pytest.fixture(scope="session")
def train_tiny(manifest: Manifest) -> TrainTiny:
    """Return a function that trains briefly on the drawn images, in this process."""
    pytest.importorskip("keras")

    def run(out: Path, *more: str, seed: int = 0, progress: Progress = silent) -> Run:
        return train(
            manifest,
            out=out,
            recipe="swift",
            settings=[*TINY, *more],
            seed=seed,
            workers=0,
            progress=progress,
        )

    return run


@pytest.fixture(scope="session")
def tiny_run(train_tiny: TrainTiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Train once; tests that change the folder use `run_copy`."""
    return train_tiny(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def run_copy(tiny_run: Run, tmp_path: Path) -> Path:
    """Return a copy of the trained run that a test may damage."""
    return Path(shutil.copytree(tiny_run.folder, tmp_path / "run"))


@pytest.fixture(scope="session")
def run_plainfilm(own_cache: Path) -> RunPlainfilm:
    """Return a function that runs the command in a separate process."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "plainfilm", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env={**os.environ, "PLAINFILM_CACHE": str(own_cache), **environment},
        )

    return run


SIDE = 16
BRIGHT = Task("binary", ("bright",), ("dark", "bright"))
MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]


BRIGHTNESS = Recipe("brightness", "", PixelSpec(SIDE), NetworkConfig("none"), FitConfig(1))
"""The recipe of bundles that no training made."""


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Return a function that writes a bundle of known behaviour, without any training."""

    def make(
        folder: Path | None = None,
        *,
        task: Task = BRIGHT,
        pixels: PixelSpec = BRIGHTNESS.input,
        gains: Sequence[float] = (1.0,),
        thresholds: dict[Purpose, float] | None = None,
        graph: bytes | None = None,
        training_images: TrainingImages | None = None,
        pretrained: PretrainedWeights | None = None,
        dataset: str | None = None,
        **more: Any,
    ) -> Bundle:
        chosen = thresholds or {"balanced": 0.5, "rule-out": 0.2, "rule-in": 0.8}
        pytest.importorskip("onnx")
        from onnx_networks import brightness_graph

        metadata = BundleMetadata(
            task=task,
            pixels=pixels,
            temperature=1.0,
            points=tuple(
                locked(label, purpose, threshold)
                for label in task.labels
                for purpose, threshold in chosen.items()
            ),
            has_activation_map=False,
            provenance=Provenance(
                recipe=BRIGHTNESS, seed=0, epoch=1, dataset=dataset, pretrained=pretrained
            ),
            **more,
        )
        return write_bundle(
            folder or tmp_path / "bright",
            metadata,
            graph=brightness_graph(gains, SIDE) if graph is None else graph,
            weights=b"none",
            training_images=training_images,
        )

    return make


@pytest.fixture
def draw_grey() -> Draw:
    """Return a function that writes a striped image whose mean grey value is given."""

    def draw(path: Path, grey: float) -> Path:
        low = int(grey)
        contrast = max(0, min(low, 254 - low, 40))
        pixels: NDArray[np.uint8] = np.full((SIDE, SIDE), low - contrast, np.uint8)
        pixels[:, ::2] += 2 * contrast
        pixels.flat[: round((grey - low) * SIDE * SIDE)] += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, "PNG")
        return path

    return draw


@pytest.fixture(scope="session")
def doubtful_files() -> dict[str, bytes]:
    """Draw an ordinary image, one for each reason of a rejection, and an unreadable file.

    The name of each is the reason. The last but one is bright enough for a novelty above 1.
    """
    pydicom = pytest.importorskip("pydicom")

    def png(pixels: NDArray[np.uint8]) -> bytes:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        return out.getvalue()

    def dicom(**header: str) -> bytes:
        rng = np.random.default_rng(1)
        patient = sample_patient(rng)
        film = encode(rng, stripes / 255.0, "dicom", patient=patient, key="x", image=1)
        dataset = pydicom.dcmread(io.BytesIO(film))
        for keyword, value in header.items():
            setattr(dataset, keyword, value)
        out = io.BytesIO()
        dataset.save_as(out)
        return out.getvalue()

    stripes = np.full((64, 64), 90, np.uint8)
    stripes[:, ::16] = stripes[:, 1::16] = 200
    hidden = np.dstack([stripes, stripes, stripes, np.zeros_like(stripes)])
    return {
        "ordinary": png(stripes),
        "ordinary-dicom": dicom(Modality="DX", BodyPartExamined="CHEST"),
        "blank": png(np.full((64, 64), 200, np.uint8)),
        "invisible": png(hidden),
        "other-modality": dicom(Modality="MG", BodyPartExamined="BREAST"),
        "other-body-part": dicom(BodyPartExamined="KNEE"),
        "unlike-training": png(255 - stripes // 5),
        "truncated": png(stripes)[:60],
    }
