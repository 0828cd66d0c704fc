"""The main job, as a person does it: one command on a folder of X-rays, some of them broken."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import plainfilm
from plainfilm.data import fill_cache
from plainfilm.training import open_run

pytest.importorskip("keras")

pytestmark = pytest.mark.slow

RunPlainfilm = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Job:
    """What one call of ``plainfilm train`` left."""

    data: Path
    run: Path
    command: tuple[object, ...]
    done: subprocess.CompletedProcess[str]
    broken: dict[str, tuple[str, ...]]

    @property
    def values(self) -> dict[str, Any]:
        text = (self.run / "evaluation" / "evaluation.json").read_text(encoding="utf-8")
        values: dict[str, Any] = json.loads(text)
        return values


def spoil(data: Path, split: str) -> tuple[str, ...]:
    """Break two images of a split: one is cut off, one is the page of a failed download."""
    cut, page = sorted((data / split / "NORMAL").iterdir())[:2]
    cut.write_bytes(cut.read_bytes()[:600])
    page.write_text("<html>404 Not Found</html>", encoding="utf-8")
    return tuple(path.relative_to(data).as_posix() for path in (cut, page))


@pytest.fixture(scope="module")
def job(
    phantoms: Path,
    run_plainfilm: RunPlainfilm,
    tiny_settings: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Job:
    folder = tmp_path_factory.mktemp("job")
    data = Path(shutil.copytree(phantoms, folder / "hospital"))
    broken = {name: spoil(data, name) for name in ("train", "test")}
    settings = [
        part for setting in tiny_settings if "limit" not in setting for part in ("--set", setting)
    ]
    command = ("train", data, "--recipe", "swift", "--out", folder / "run", *settings)
    done = run_plainfilm(*command)
    assert done.returncode == 0, done.stderr
    return Job(data, folder / "run", command, done, broken)


def test_it_says_where_everything_is_and_how_good(job: Job) -> None:
    out, err = job.done.stdout, job.done.stderr
    assert "hospital: 190 images of" in out
    assert "bundle: " in out
    assert "report: " in out
    auroc = job.values["metrics"]["auroc"]
    shown = f"{auroc['value']:.3f}  {auroc['low']:.3f} to {auroc['high']:.3f}"
    assert f"auroc                {shown}" in out.replace("\t", " ") or shown in out
    assert "Traceback" not in err
    assert "Warning" not in err
    assert "oneDNN" not in err, "what the framework says of itself is of no use here"
    for stage in ("decoding images", "training", "sealing", "scoring", "computing intervals"):
        assert f"\n{stage}" in f"\n{err}"


def test_the_run_holds_what_is_promised(job: Job) -> None:
    for name in (
        "plan.json",
        "manifest.parquet",
        "fingerprint.json",
        "left_out.csv",
        "history.csv",
        "bundle/bundle.json",
        "bundle/network.onnx",
        "bundle/weights.safetensors",
        "bundle/SHA256SUMS",
        "evaluation/evaluation.json",
        "evaluation/predictions.parquet",
        "evaluation/report.html",
    ):
        assert (job.run / name).stat().st_size > 0, name
    assert not [path for path in job.run.rglob("*") if path.name.endswith(".part")]
    with open(job.run / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert set(rows[0]) >= {"loss", "accuracy", "val_loss", "val_accuracy", "val_auroc", "seconds"}


def test_the_plan_and_the_bundle_say_how_it_came_to_be(job: Job) -> None:
    run = open_run(job.run)
    identity, origin = run.plan.identity, run.bundle.provenance
    assert identity.seed == origin.seed == 0
    assert identity.recipe.input.size == 32
    assert origin.recipe == identity.recipe
    assert origin.manifest == identity.manifest
    assert origin.precision == "float32"
    assert origin.backend in {"tensorflow", "jax", "torch"}
    assert origin.versions["plainfilm"] == plainfilm.__version__
    assert (origin.train_images or 0) + (origin.validation_images or 0) == 138
    text = (run.bundle.folder / "bundle.json").read_text(encoding="utf-8")
    assert str(Path.home()) not in text
    assert str(job.data) not in text, "a shipped file contains no paths of this machine"


def test_broken_images_are_left_out_listed_and_counted(job: Job) -> None:
    with open(job.run / "left_out.csv", newline="", encoding="utf-8") as file:
        listed = {row["id"]: row for row in csv.DictReader(file)}
    assert set(listed) == {*job.broken["train"]}
    evaluated = {row["id"]: row for row in job.values["left_out"]}
    assert set(evaluated) >= {*job.broken["test"]}
    for row in (*listed.values(), *evaluated.values()):
        assert row["reason"]
        assert row["problem"]
    assert job.values["n"] == 48
    page = (job.run / "evaluation" / "report.html").read_text(encoding="utf-8")
    for names in job.broken.values():
        for name in names:
            assert name in page
    assert "left out: 2 files" in job.done.stderr


def test_no_patient_is_in_two_splits(job: Job) -> None:
    homes: dict[str, set[str]] = {}
    for record in open_run(job.run).manifest.records:
        homes.setdefault(record.patient, set()).add(str(record.split))
    assert all(len(splits) == 1 for splits in homes.values())
    assert {name for splits in homes.values() for name in splits} == {
        "train",
        "validation",
        "test",
    }


def test_all_interfaces_give_the_same_probability(job: Job, run_plainfilm: RunPlainfilm) -> None:
    from plainfilm.training.networks import keras_probabilities

    run = open_run(job.run)
    label = run.bundle.task.labels[0]
    rows = parquet.read_table(job.run / "evaluation" / "predictions.parquet").to_pylist()
    stored = {row["id"]: row[f"probability_{label}"] for row in rows}
    records = run.manifest.select("test").records
    records = records.where(records.contains_ids([*stored]))
    assert len(records) == len(stored) == 48
    expected = np.array([stored[r.id] for r in records])
    assert np.ptp(expected) > 1e-4, "equal probabilities for all images prove nothing"

    def agrees(made: Any) -> None:
        np.testing.assert_allclose(np.ravel(made), expected, rtol=0, atol=1e-5)

    paths = [r.path for r in records]
    cache = fill_cache(run.manifest.select("test"), run.bundle.pixels)
    pixels = cache.gather(cache.positions(records))
    agrees(keras_probabilities(run.bundle, pixels))
    predictor = plainfilm.load(job.run)
    agrees(predictor.probabilities(pixels))
    agrees([answer.probabilities[label] for answer in predictor.predict(paths)])
    agrees(
        [a.probabilities[label] for a in predictor.predict([Path(p).read_bytes() for p in paths])]
    )
    done = run_plainfilm("predict", job.run, *paths, "--format", "csv")
    assert done.returncode == 0, done.stderr
    table = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["file"] for row in table] == paths
    agrees([float(row[f"probability_{label}"]) for row in table])
    done = run_plainfilm("predict", job.run / "bundle", *paths, "--format", "jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    agrees([line["probabilities"][label] for line in lines])


def test_the_numbers_are_those_of_the_predictions(job: Job) -> None:
    rows = parquet.read_table(job.run / "evaluation" / "predictions.parquet").to_pylist()
    truth = [row["label_PNEUMONIA"] for row in rows]
    chances = [row["probability_PNEUMONIA"] for row in rows]
    values = job.values
    assert values["metrics"]["auroc"]["value"] == pytest.approx(roc_auc_score(truth, chances))
    points = values["labels"]["PNEUMONIA"]["operating_points"]
    assert points
    for point in points.values():
        called = np.array(chances) >= point["threshold"]
        counts = point["confusion"]
        assert counts["tp"] == int(np.sum(called & (np.array(truth) == 1)))
        assert counts["fp"] == int(np.sum(called & (np.array(truth) == 0)))
        assert sum(counts.values()) == values["n"]


def test_the_same_command_again_trains_nothing(job: Job, run_plainfilm: RunPlainfilm) -> None:
    def times() -> dict[str, int]:
        return {
            path.relative_to(job.run).as_posix(): path.stat().st_mtime_ns
            for path in job.run.rglob("*")
            if path.is_file() and "evaluation" not in path.parts
        }

    before, values = times(), job.values
    done = run_plainfilm(*job.command)
    assert done.returncode == 0, done.stderr
    assert times() == before
    assert "\ntraining " not in f"\n{done.stderr}"
    again = job.values
    assert {k: v for k, v in again.items() if k != "created"} == {
        k: v for k, v in values.items() if k != "created"
    }


def test_a_finished_run_needs_no_images(
    job: Job, run_plainfilm: RunPlainfilm, tmp_path: Path
) -> None:
    moved = job.data.rename(job.data.with_name("moved"))
    try:
        done = run_plainfilm(*job.command)
        assert done.returncode == 0, done.stderr
        assert "the run is finished" in done.stdout
        assert f"{job.run.name}/bundle" in done.stdout
        done = run_plainfilm("evaluate", job.run, "--out", tmp_path / "a", "--no-robustness")
        assert done.returncode == 1
        assert "not where they were" in done.stderr and "--images" in done.stderr
        more = ("--images", moved, "--out", tmp_path / "b", "--no-robustness")
        done = run_plainfilm("evaluate", job.run, *more)
        assert done.returncode == 0, done.stderr
        evaluation = json.loads((tmp_path / "b" / "evaluation.json").read_text("utf-8"))
        assert evaluation["metrics"] == job.values["metrics"]
    finally:
        moved.rename(job.data)


def test_another_command_on_the_run_is_refused(job: Job, run_plainfilm: RunPlainfilm) -> None:
    done = run_plainfilm(*job.command, "--seed", "3")
    assert done.returncode == 1
    assert "holds another run" in done.stderr
    assert "seed was 0 and is 3" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_report_is_written_again_without_scoring(
    job: Job, run_plainfilm: RunPlainfilm, tmp_path: Path
) -> None:
    page = job.run / "evaluation" / "report.html"
    before = page.read_bytes()
    page.unlink()
    done = run_plainfilm("report", job.run)
    assert done.returncode == 0, done.stderr
    assert page.read_bytes() == before
    assert "scoring" not in done.stderr
    done = run_plainfilm("report", job.run, "--out", tmp_path / "copy.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy.html").stat().st_size > 10_000


def test_the_run_is_evaluated_on_other_data(
    job: Job, phantoms: Path, run_plainfilm: RunPlainfilm, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(phantoms / "test", tmp_path / "other clinic"))
    done = run_plainfilm("evaluate", job.run, other)
    assert done.returncode == 0, done.stderr
    assert "other clinic, all: 50 images" in done.stdout
    values = json.loads(
        (job.run / "evaluation-other-clinic" / "evaluation.json").read_text(encoding="utf-8")
    )
    assert values["dataset"]["name"] == "other clinic"
    assert values["model"]["id"] == open_run(job.run).bundle.id
    # The bundle alone, in another folder, gives the same metrics.
    bundle = Path(shutil.copytree(job.run / "bundle", tmp_path / "shipped"))
    done = run_plainfilm("evaluate", bundle, other, "--out", tmp_path / "e")
    assert done.returncode == 0, done.stderr
    alone = json.loads((tmp_path / "e" / "evaluation.json").read_text(encoding="utf-8"))
    assert alone["metrics"] == values["metrics"]


def test_heat_maps_are_those_of_the_network(
    job: Job, run_plainfilm: RunPlainfilm, tmp_path: Path
) -> None:
    predictor = plainfilm.load(job.run)
    assert predictor.bundle.has_activation_map
    sources = sorted((job.data / "test" / "PNEUMONIA").iterdir())[:3]
    done = run_plainfilm("predict", job.run, *sources, "--heatmaps", tmp_path / "maps")
    assert done.returncode == 0, done.stderr
    drawn = sorted((tmp_path / "maps").iterdir())
    assert len(drawn) == 3
    for path in drawn:
        with Image.open(path) as picture:
            assert (picture.format, picture.mode) == ("PNG", "RGB")


@pytest.mark.parametrize("augmented", [False, True])
def test_show(job: Job, run_plainfilm: RunPlainfilm, tmp_path: Path, augmented: bool) -> None:
    more = ("--augmented", "tutorial") if augmented else ()
    done = run_plainfilm("show", job.data, "--out", tmp_path / "a.png", "--count", "6", *more)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > picture.height > 100


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_run_that_cannot_be_written(
    job: Job, run_plainfilm: RunPlainfilm, tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = run_plainfilm(
        "train", job.data, "--recipe", "swift", "--out", tmp_path / "locked" / "run"
    )
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


def test_a_file_in_the_way_of_the_run(
    job: Job, run_plainfilm: RunPlainfilm, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = run_plainfilm("train", job.data, "--recipe", "swift", "--out", tmp_path / "file" / "run")
    assert done.returncode == 1
    assert "a file is in the way" in done.stderr
    assert "decoding" not in done.stderr, "the error comes before long work begins"


def rows_of(phantoms: Path) -> list[tuple[str, str, str, str]]:
    """Return path, kind of disease, patient and split of every drawn image."""
    rows = []
    for path in sorted(phantoms.rglob("*.jpeg")):
        stem = path.stem
        kind = next((k for k in ("bacteria", "virus") if k in stem), "normal")
        patient = stem.split("_")[0] + kind if kind != "normal" else stem.rsplit("-", 1)[0]
        place = path.relative_to(phantoms)
        rows.append((place.as_posix(), kind, patient, place.parts[0]))
    return rows


def test_several_classes_from_a_table(
    phantoms: Path, tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    table = tmp_path / "kinds.csv"
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "patient", "split"])
        writer.writerows(rows_of(phantoms))
    manifest = plainfilm.load_dataset(table, images=phantoms)
    assert manifest.task.kind == "multiclass"
    run = plainfilm.train(
        manifest, out=tmp_path / "run", recipe="swift", settings=tiny_settings, workers=0
    )
    assert run.bundle.task.labels == ("bacteria", "normal", "virus")
    evaluation = plainfilm.evaluate(run.folder, n_bootstrap=40, workers=0)
    chances = evaluation.probabilities
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    truth = evaluation.manifest.label_array().argmax(axis=1)
    assert evaluation.document.n == 50
    assert evaluation.metrics["accuracy"].value == pytest.approx(
        np.mean(chances.argmax(axis=1) == truth)
    )
    matrix = np.array(evaluation.document.confusion_matrix)
    assert matrix.sum() == 50
    assert np.trace(matrix) == np.sum(chances.argmax(axis=1) == truth)
    (answer,) = plainfilm.load(run.folder).predict([evaluation.manifest.records[0].path])
    assert answer.predicted["most-likely"] == run.bundle.task.labels[int(chances[0].argmax())]
    assert list(answer.probabilities.values()) == pytest.approx(chances[0].tolist(), abs=1e-5)
    from plainfilm.report import write_report

    page = write_report(evaluation, model=run.folder, run=run).read_text(encoding="utf-8")
    assert all(name in page for name in ("bacteria", "normal", "virus"))


def test_several_labels_with_unknown_ones_from_a_table(
    phantoms: Path, tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    table, rng = tmp_path / "labels.csv", np.random.default_rng(0)
    names = ("opacity", "lobar", "patchy")
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *names, "patient", "split"])
        for path, kind, patient, split in rows_of(phantoms):
            cells = [kind != "normal", kind == "bacteria", kind == "virus"]
            shown = ["" if rng.random() < 0.2 else int(cell) for cell in cells]
            writer.writerow([path, *shown, patient, split])
    manifest = plainfilm.load_dataset(table, images=phantoms, labels=names)
    assert manifest.task.kind == "multilabel"
    assert np.isnan(manifest.label_array()).any()
    run = plainfilm.train(
        manifest, out=tmp_path / "run", recipe="swift", settings=tiny_settings, workers=0
    )
    evaluation = plainfilm.evaluate(run.folder, n_bootstrap=40, workers=0)
    truth = evaluation.manifest.label_array()
    assert np.isnan(truth).any()
    for column, name in enumerate(names):
        known = ~np.isnan(truth[:, column])
        section = evaluation.document.labels[name]
        assert section.metrics["auroc"].value == pytest.approx(
            roc_auc_score(truth[known, column], evaluation.probabilities[known, column])
        )
        assert section.unknown == int((~known).sum())
    stored = parquet.read_table(evaluation.folder / "predictions.parquet").to_pylist()
    assert any(math.isnan(row["label_lobar"]) for row in stored)
    (answer,) = plainfilm.load(run.folder).predict([evaluation.manifest.records[0].path])
    assert set(answer.probabilities) == {*names}
    assert {key.split("/")[0] for key in answer.predicted} == {*names}
    from plainfilm.report import write_report

    page = write_report(evaluation, model=run.folder, run=run).read_text(encoding="utf-8")
    assert all(name in page for name in names)


def test_the_tutorial_recipe_seals_a_softmax_without_activation_maps(
    phantoms: Path, run_plainfilm: RunPlainfilm, tmp_path: Path
) -> None:
    settings = ("epochs=1", "size=32", "crop_from=36", "limit=60", "network.options.dense=8")
    settings += ("network.options.filters=[4, 8]",)
    flags = [part for setting in settings for part in ("--set", setting)]
    out = tmp_path / "run"
    done = run_plainfilm("train", phantoms, "--recipe", "tutorial", "--out", out, *flags)
    assert done.returncode == 0, done.stderr
    run = open_run(out)
    assert not run.bundle.has_activation_map
    assert run.bundle.task.kind == "binary"
    counts = run.manifest.select("train").describe().classes
    assert counts == {"NORMAL": 30, "PNEUMONIA": 30}, "limit_balanced takes as many of each"
    image = np.zeros((1, 32, 32), np.uint8)
    predictor = plainfilm.load(out)
    assert predictor.logits(image).shape == (1, 2)
    assert predictor.probabilities(image).shape == (1, 1)
    source = sorted((phantoms / "test" / "NORMAL").iterdir())[0]
    done = run_plainfilm("predict", out, source, "--heatmaps", tmp_path / "maps")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "maps").iterdir())) == 1, "occlusion takes the map's place"
