"""Trainings with a teacher: the student agrees with it, and a run continues exactly."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras")

from plainfilm.data import Manifest, fill_cache
from plainfilm.errors import ConfigError, RunError
from plainfilm.runtime import Predictor
from plainfilm.training import Run, train, train_folds

pytestmark = pytest.mark.slow

TrainTiny = Callable[..., Run]


def taught(teacher: Path) -> list[str]:
    return [f"distil.teacher='{teacher}'", "share=1", "network.options.shrink=2"]


@pytest.fixture(scope="module")
def student(train_tiny: TrainTiny, tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_tiny(tmp_path_factory.mktemp("distil") / "student", *taught(tiny_run.folder))


def test_a_student_learns_from_its_teacher_alone(student: Run, tiny_run: Run) -> None:
    test = student.manifest.select("test")
    pixels = fill_cache(test, student.bundle.pixels, workers=0).all()
    own = Predictor(student.bundle).log_odds(pixels)[:, 0]
    other = Predictor(tiny_run.bundle).log_odds(pixels)[:, 0]
    assert np.corrcoef(own, other)[0, 1] > 0.5
    recipe = student.bundle.provenance.recipe
    assert recipe is not None and recipe.distil is not None
    assert recipe.distil.teacher == tiny_run.bundle.id
    card = (student.bundle.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"| Teacher | bundle {tiny_run.bundle.id[:12]} |" in card
    for file in student.folder.rglob("*.json"):
        assert str(tiny_run.folder) not in file.read_text(encoding="utf-8")


def test_weights_of_student_and_teacher_are_kept(
    train_tiny: TrainTiny, tiny_run: Run, tmp_path: Path
) -> None:
    start = tiny_run.bundle
    own = f"network.weights='{start.weights}'"
    teacher = train_tiny(tmp_path / "teacher", own).bundle
    student = train_tiny(tmp_path / "student", own, *taught(teacher.folder)[:2]).bundle
    origin = student.provenance
    assert origin.pretrained == teacher.provenance.pretrained
    assert origin.pretrained is not None
    assert origin.pretrained.name == f"weights of the bundle {start.id[:12]}"
    assert origin.pretrained.trained_on == (start.provenance.dataset,)
    assert [one.role for one in origin.inherited] == ["teacher"]
    phrase = f"the teacher started from the weights of the bundle {start.id[:12]}"
    assert origin.inherited[0].beginning == phrase


def test_interrupted_and_continued_with_a_moved_teacher(
    train_tiny: TrainTiny, student: Run, tiny_run: Run, tmp_path: Path
) -> None:
    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "training" and done == 8:
            raise KeyboardInterrupt

    folder, moved = tmp_path / "run", tmp_path / "moved"
    with pytest.raises(KeyboardInterrupt):
        train_tiny(folder, *taught(tiny_run.folder), progress=stop)
    shutil.copytree(tiny_run.bundle.folder, moved)
    again = train_tiny(folder, *taught(moved))
    for name in ("best.safetensors", "bundle/network.onnx", "bundle/weights.safetensors"):
        assert (again.folder / name).read_bytes() == (student.folder / name).read_bytes(), name


def test_another_teacher_is_another_run(train_tiny: TrainTiny, student: Run, tiny_run: Run) -> None:
    with pytest.raises(RunError, match=r"recipe\.distil\.teacher was"):
        train_tiny(student.folder, *taught(student.folder))


def test_folds_have_no_teacher(manifest: Manifest, tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a cross-validation has no teacher"):
        train_folds(manifest, out=tmp_path, recipe="distil", settings=taught(tiny_run.folder))


def test_a_teacher_is_checked_before_anything_is_decoded(
    manifest: Manifest, tiny_run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(ConfigError, match="size: 32 of the teacher, 128 of the recipe"):
        train(manifest, out=folder, recipe="distil", settings=taught(tiny_run.folder))
    with pytest.raises(ConfigError, match="needs a teacher"):
        train(manifest, out=folder, recipe="distil")
    assert not folder.exists()
