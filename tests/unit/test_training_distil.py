"""The teacher of a distillation: what it must have, and what it says about augmented images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import logit

from plainfilm.bundle import Bundle, TrainingImages
from plainfilm.config import AUGMENTATIONS, DistilConfig, NetworkConfig, Recipe, load_recipe
from plainfilm.errors import BundleError, ConfigError
from plainfilm.models import apply_augmentation
from plainfilm.records import PixelSpec, Recalibration, Task
from plainfilm.runtime import Predictor
from plainfilm.training import keras_trainer
from plainfilm.training.distil import map_ahead, open_teacher
from plainfilm.training.feed import Feed
from plainfilm.training.initial_weights import initial_weights

pytest.importorskip("onnxruntime")

MakeBundle = Callable[..., Bundle]
BRIGHT = Task("binary", ("bright",), ("dark", "bright"))


def recipe(teacher: object, size: int = 16) -> Recipe:
    made = load_recipe("distil")
    own = DistilConfig(str(teacher))
    return replace(made, input=replace(made.input, size=size), distil=own)


def classes(kind: Any, *labels: str) -> Task:
    return Task(kind, labels, labels)


def test_the_recipe_keeps_the_id_of_the_teacher_and_not_its_path(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    sealed, teacher = open_teacher(recipe(bundle.folder), BRIGHT)
    assert teacher is not None and sealed.distil is not None
    assert sealed.distil.teacher == bundle.id
    assert open_teacher(load_recipe("swift"), BRIGHT) == (load_recipe("swift"), None)


def test_labels_are_found_by_name(make_bundle: MakeBundle) -> None:
    bundle = make_bundle(task=classes("multilabel", "a", "b", "c"), gains=(1.0, 2.0, -3.0))
    images = np.full((2, 16, 16), 160, np.uint8)
    for task, expected in (
        (classes("multilabel", "c", "a"), [-3, 1]),
        (Task("binary", ("b",), ("none", "b")), [2]),
    ):
        _, teacher = open_teacher(recipe(bundle.folder), task)
        assert teacher is not None
        np.testing.assert_allclose(teacher.log_odds(images), [expected] * 2, atol=1e-5)


@pytest.mark.parametrize(
    ("teaches", "task", "problem"),
    [
        (BRIGHT, Task("binary", ("dim",), ("dark", "dim")), "does not predict dim"),
        (classes("multilabel", "a", "b"), classes("multilabel", "b", "d"), "does not predict d"),
        (classes("multiclass", "a", "b"), classes("multiclass", "a", "c"), "must be the same"),
        (classes("multilabel", "a", "b"), classes("multiclass", "a", "b"), "must be the same"),
    ],
)
def test_a_teacher_of_other_labels_is_refused(
    make_bundle: MakeBundle, teaches: Task, task: Task, problem: str
) -> None:
    bundle = make_bundle(task=teaches, gains=[1.0] * len(teaches.labels))
    with pytest.raises(ConfigError, match=problem):
        open_teacher(recipe(bundle.folder), task)


def test_a_teacher_of_other_pixels_is_refused(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    with pytest.raises(ConfigError, match="size: 16 of the teacher, 128 of the recipe"):
        open_teacher(recipe(bundle.folder, 128), BRIGHT)
    padded = replace(recipe(bundle.folder), input=PixelSpec(16, "pad"))
    with pytest.raises(ConfigError, match="geometry: 'squash' of the teacher, 'pad'"):
        open_teacher(padded, BRIGHT)


def test_a_missing_teacher_is_named(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="the recipe distil needs a teacher"):
        open_teacher(load_recipe("distil"), BRIGHT)
    with pytest.raises(BundleError, match="no bundle"):
        open_teacher(recipe(tmp_path / "none"), BRIGHT)
    (tmp_path / "seeds" / "seed-3").mkdir(parents=True)
    (tmp_path / "seeds" / "seed-3" / "plan.json").touch()
    with pytest.raises(BundleError, match="holds several runs") as caught:
        open_teacher(recipe(tmp_path / "seeds"), BRIGHT)
    assert (caught.value.remedy or "").endswith("seed-3")
    (tmp_path / "seeds" / "ensemble").mkdir()
    with pytest.raises(BundleError) as caught:
        open_teacher(recipe(tmp_path / "seeds"), BRIGHT)
    assert (caught.value.remedy or "").endswith("ensemble")


def test_the_temperature_is_limited() -> None:
    for temperature in (0.0, 101.0, float("inf")):
        with pytest.raises(ConfigError, match="temperature must be above 0 and at most 100"):
            DistilConfig(temperature=temperature)


@pytest.mark.parametrize("own", [None, Recalibration((2.0,), (-1.0,))])
def test_log_odds_are_those_of_the_probabilities(
    make_bundle: MakeBundle, own: Recalibration | None
) -> None:
    from plainfilm.adaptation.graph import recalibrate_graph

    graph = make_bundle().read_graph()
    bundle = make_bundle(
        graph=graph if own is None else recalibrate_graph(graph, own), recalibration=own
    )
    predictor = Predictor(bundle)
    images = np.random.default_rng(0).integers(90, 170, (6, 16, 16)).astype(np.uint8)
    expected = logit(predictor.probabilities(images).astype(np.float64))
    np.testing.assert_allclose(predictor.log_odds(images), expected, atol=1e-5)


def test_any_step_has_the_teacher_s_predictions_on_its_augmented_images(
    make_bundle: MakeBundle,
) -> None:
    _, teacher = open_teacher(recipe(make_bundle().folder), BRIGHT)
    assert teacher is not None
    images = np.random.default_rng(0).integers(0, 256, (11, 16, 16)).astype(np.uint8)
    labels = (np.arange(11)[:, None] % 2).astype(np.float32)
    config = AUGMENTATIONS["radiograph"]
    feed = Feed(lambda rows: images[rows], labels, config, 16, 4, 7)
    taught = replace(feed, teacher=teacher)
    batches = [*taught.epoch(2)]
    assert len(batches) == 3
    for plain, batch in zip(feed.epoch(2), batches, strict=True):
        drawn = (plain.images[..., 0], plain.transforms, plain.tones)
        expected = apply_augmentation(config, *drawn, size=16, seed=7)
        np.testing.assert_array_equal(batch.images[..., 0], expected)
        np.testing.assert_array_equal(batch.labels[:, :1], plain.labels)
        own = teacher.log_odds(expected)
        np.testing.assert_allclose(batch.labels[:, 1:], own, atol=1e-6)
    again = [*taught.epoch(2, first_step=1)]
    for one, other in zip(again, batches[1:], strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_results_come_in_order_and_errors_are_raised() -> None:
    assert [*map_ahead(lambda number: number**2, iter(range(50)))] == [n**2 for n in range(50)]
    with pytest.raises(ZeroDivisionError):
        [*map_ahead(lambda number: 1 // (number - 3), iter(range(9)))]
    seen: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(1000):
            seen.append(number)
            yield number

    results = map_ahead(abs, numbers())
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert len(seen) < 500


def images(contents: list[int], patients: list[int], salt: str) -> TrainingImages:
    none = np.empty((0, 0))
    return TrainingImages(
        np.array(contents, np.uint64),
        np.array(patients, np.uint64),
        salt,
        none.astype(np.uint8),
        np.empty(0, np.float32),
        none.astype(np.float16),
        np.empty(0, np.float32),
    )


def test_images_of_the_teacher_are_recognised() -> None:
    own = images([1, 5], [3], "s")
    both = own.including(images([2, 5], [4], "s"))
    assert both.contents.tolist() == [1, 2, 5]
    assert (both.patients.tolist(), both.salt) == ([3, 4], "s")
    assert own.including(images([2], [4], "t")).patients.tolist() == [3]
    assert images([1], [], "").including(own).patients.tolist() == [3]
    assert own.including(images([2], [], "")).patients.tolist() == [3]
    assert own.including(None) is own
    assert TrainingImages.parse(both.to_bytes(), "here").contents.tolist() == [1, 2, 5]


def test_images_of_teacher_and_initial_weights_are_carried_over(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = make_bundle(tmp_path / "start", training_images=images([2], [], ""))
    teacher = make_bundle(tmp_path / "teacher", training_images=images([3], [], ""))
    initial = initial_weights(NetworkConfig("compact", {}, str(start.weights)))
    work: Any = SimpleNamespace(
        training=None, validation=None, teacher=SimpleNamespace(bundle=teacher)
    )
    monkeypatch.setattr(keras_trainer, "collect_known_images", lambda *_: images([1], [], ""))
    assert keras_trainer._collect(work, initial).contents.tolist() == [1, 2, 3]
    work.teacher = None
    assert keras_trainer._collect(work, None).contents.tolist() == [1]
