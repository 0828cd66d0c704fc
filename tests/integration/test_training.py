"""Whole trainings: the same bytes again, also after an interruption, and the best epoch sealed."""

from __future__ import annotations

import csv
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

pytest.importorskip("keras")

from plainfilm.bundle import read_bundle
from plainfilm.data import fill_cache
from plainfilm.errors import ConfigError, RunError
from plainfilm.phantom import write_dataset
from plainfilm.runtime import Predictor
from plainfilm.training import Run, open_run, train
from plainfilm.training.networks import keras_probabilities, load_network

pytestmark = pytest.mark.slow

SEALED = ("network.onnx", "weights.safetensors")
TrainTiny = Callable[..., Run]
RunPlainfilm = Callable[..., "subprocess.CompletedProcess[str]"]


def history(folder: Path) -> list[dict[str, float]]:
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        return [
            {key: float(value) if value else math.nan for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


def without_time(folder: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history(folder)]


def assert_same_result(folder: Path, reference: Path) -> None:
    assert (folder / "best.safetensors").read_bytes() == (
        reference / "best.safetensors"
    ).read_bytes()
    for name in SEALED:
        assert (folder / "bundle" / name).read_bytes() == (
            reference / "bundle" / name
        ).read_bytes(), name
    assert without_time(folder) == without_time(reference)


def interrupt(at: int) -> Callable[..., None]:
    """Return a progress that raises KeyboardInterrupt after a number of steps."""

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "training" and done == at:
            raise KeyboardInterrupt

    return progress


def test_a_seed_gives_the_same_run_again(
    train_tiny: TrainTiny, tiny_run: Run, tmp_path: Path
) -> None:
    again = train_tiny(tmp_path / "again")
    assert_same_result(again.folder, tiny_run.folder)


def test_another_seed_gives_another_run(
    train_tiny: TrainTiny, tiny_run: Run, tmp_path: Path
) -> None:
    other = train_tiny(tmp_path / "other", seed=1)
    assert (other.folder / "best.safetensors").read_bytes() != (
        tiny_run.folder / "best.safetensors"
    ).read_bytes()
    # Splits do not depend on the seed.
    assert other.manifest.hash == tiny_run.manifest.hash


# 90 images in batches of 16 are 6 steps an epoch: within the first epoch, at its end, and early in
# the second.
@pytest.mark.parametrize("at", [3, 6, 7])
def test_interrupted_and_continued(
    train_tiny: TrainTiny, tiny_run: Run, tmp_path: Path, at: int
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_tiny(folder, progress=interrupt(at))
    assert not (folder / "bundle").exists()
    assert (folder / "state.safetensors").exists() == (at > 6)
    steps: list[int] = []

    def watch(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "training":
            assert total == 12
            steps.append(done)

    train_tiny(folder, progress=watch)
    assert steps == list(range(7 if at > 6 else 1, 13))
    assert_same_result(folder, tiny_run.folder)


DRIVER = """
    import signal
    import sys

    from plainfilm.cli.main import main
    from plainfilm.training import fit

    # Processes that a shell starts in the background ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    fit._SAVE_INTERVAL = 0.0
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
@pytest.mark.parametrize("by", ["SIGKILL", "SIGINT"])
def test_killed_in_the_middle_of_an_epoch_and_continued(
    phantoms: Path, tiny_run: Run, tiny_settings: tuple[str, ...], tmp_path: Path, by: str
) -> None:
    driver, folder = tmp_path / "driver.py", tmp_path / "run"
    driver.write_text(textwrap.dedent(DRIVER), encoding="utf-8")
    command = [sys.executable, str(driver), "train", str(phantoms), "--recipe", "swift"]
    command += ["--out", str(folder), "--workers", "0", "--no-evaluation"]
    command += [part for setting in tiny_settings for part in ("--set", setting)]
    state, log = folder / "state.safetensors", tmp_path / "log"
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        until = time.monotonic() + 120
        while not state.exists():  # it exists after the first of twelve steps
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < until
            time.sleep(0.002)
        process.send_signal(getattr(signal, by))
        status = process.wait(timeout=60)
    output = log.read_text(encoding="utf-8")
    if by == "SIGINT":
        assert status == 130
        assert "the same command continues" in output
        assert "Traceback" not in output
    else:
        assert status == -signal.SIGKILL
    assert not (folder / "bundle").exists()

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    first = next(line for line in done.stderr.splitlines() if line.startswith("training "))
    step, total = first.split()[1].split("/")
    assert total == "12"
    assert 1 < int(step) <= 12, "it went on, and did not begin again"
    assert_same_result(folder, tiny_run.folder)


def test_a_finished_run_is_not_changed(train_tiny: TrainTiny, run_copy: Path) -> None:
    def times() -> dict[str, int]:
        return {
            str(path.relative_to(run_copy)): path.stat().st_mtime_ns
            for path in run_copy.rglob("*")
            if path.is_file()
        }

    def forbidden(stage: str, done: int, total: int, note: str = "") -> None:
        raise AssertionError(stage)

    before = times()
    again = train_tiny(run_copy, progress=forbidden)
    assert times() == before
    assert again.bundle.id == open_run(run_copy).bundle.id


@pytest.mark.parametrize(
    ("more", "seed", "named"),
    [
        (("epochs=3",), 0, "recipe.fit.epochs was 2 and is 3"),
        ((), 5, "seed was 0 and is 5"),
        (("limit=80",), 0, "recipe.data.limit was 90 and is 80"),
        (("limit=80",), 0, "the images, their labels or their splits differ"),
        (("augment=none",), 0, "recipe.augment.name was 'radiograph' and is 'none'"),
    ],
)
def test_another_run_in_the_folder_is_refused(
    train_tiny: TrainTiny, run_copy: Path, more: tuple[str, ...], seed: int, named: str
) -> None:
    with pytest.raises(RunError, match="another run") as caught:
        train_tiny(run_copy, *more, seed=seed)
    assert named in str(caught.value.received)


def test_a_folder_with_other_files_is_not_changed(train_tiny: TrainTiny, tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work", encoding="utf-8")
    with pytest.raises(RunError, match="not empty and not a run") as caught:
        train_tiny(tmp_path)
    assert caught.value.received == "thesis.doc"
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', "null"])
def test_a_damaged_plan_is_an_error(train_tiny: TrainTiny, run_copy: Path, text: str) -> None:
    (run_copy / "plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=r"plan\.json"):
        train_tiny(run_copy)


def test_a_damaged_state_is_an_error(train_tiny: TrainTiny, run_copy: Path) -> None:
    shutil.rmtree(run_copy / "bundle")
    state = run_copy / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(RunError, match="damaged"):
        train_tiny(run_copy)


@pytest.mark.parametrize("select", ["val_auroc", "val_loss"])
def test_the_best_epoch_is_sealed_and_patience_ends_it(
    train_tiny: TrainTiny, tmp_path: Path, select: str
) -> None:
    # With such a high learning rate, later epochs are often worse.
    wild = ("patience=2", "epochs=12", "learning_rate=0.05", "schedule=constant")
    run = train_tiny(tmp_path / "run", f"select={select}", *wild)
    rows = history(run.folder)
    values = [row[select] for row in rows]
    best = int(np.argmin(values) if select == "val_loss" else np.argmax(values)) + 1
    assert run.bundle.provenance.epoch == best
    assert len(rows) == min(12, best + 2)
    assert best < len(rows), "the last epoch is the best, so this test shows nothing"
    # The weights are those of that epoch: they have its validation results, not those of the last.
    validation = run.manifest.select("validation")
    pixels = fill_cache(validation, run.bundle.pixels).all()
    logits = np.asarray(load_network(run.bundle).predict_on_batch(pixels[..., None]))[:, 0]
    chances = 1 / (1 + np.exp(-logits.astype(np.float64)))
    truth = validation.label_array()[:, 0]
    assert roc_auc_score(truth, chances) == pytest.approx(rows[best - 1]["val_auroc"], abs=1e-5)
    assert log_loss(truth, chances) == pytest.approx(rows[best - 1]["val_loss"], rel=1e-4)
    assert log_loss(truth, chances) != pytest.approx(rows[-1]["val_loss"], rel=1e-3)


def test_a_network_with_dropout_is_resumed_and_sealed(
    train_tiny: TrainTiny, tmp_path: Path
) -> None:
    """The seed of dropout is a variable, whose name Keras numbers by what the process built."""
    more = ("network.options.dropout=0.4",)
    whole = train_tiny(tmp_path / "whole", *more)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(tmp_path / "parts", *more, progress=interrupt(8))
    parts = train_tiny(tmp_path / "parts", *more)
    assert_same_result(parts.folder, whole.folder)
    assert not has_dropout(parts)


def has_dropout(run: Run) -> bool:
    """Return whether two predictions for one image differ, as they would with dropout."""
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32), dtype=np.uint8)
    predictions = [keras_probabilities(run.bundle, image) for _ in range(2)]
    return not np.array_equal(*predictions)


def test_a_small_data_set_is_trained_for_the_minimum_of_steps(
    train_tiny: TrainTiny, tmp_path: Path
) -> None:
    """The learning rate is zero after them."""
    run = train_tiny(tmp_path / "run", "epochs=1", "minimum_steps=13", "schedule=linear")
    rows = history(run.folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3], "13 steps by 6 are 3 epochs"
    assert run.history == rows
    rates = [row["learning_rate"] for row in rows]
    assert rates[0] > rates[1] > 0
    assert rates[2] == pytest.approx(0, abs=1e-9)
    assert run.bundle.provenance.epoch == 3


@pytest.mark.parametrize(
    "setting", ["network.options.blok=2", "network.name=vgg", "network.options.channels=[]"]
)
def test_a_wrong_network_is_refused_before_the_audit_and_leaves_no_folder(
    train_tiny: TrainTiny, tmp_path: Path, setting: str
) -> None:
    def forbidden(stage: str, done: int, total: int, note: str = "") -> None:
        if not stage.startswith("importing"):
            raise AssertionError(stage)

    with pytest.raises(ConfigError):
        train_tiny(tmp_path / "run", setting, progress=forbidden)
    assert not (tmp_path / "run").exists(), "the corrected command must find it free"


def test_a_wrong_option_is_refused_before_the_audit_by_the_command(
    phantoms: Path, run_plainfilm: RunPlainfilm, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = run_plainfilm("train", phantoms, "--set", "network.options.blok=2", "--out", run)
    assert done.returncode == 2
    assert "has no option 'blok'" in done.stderr
    assert "audit" not in done.stdout + done.stderr
    assert "decoding" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not run.exists()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range(train_tiny: TrainTiny, tmp_path: Path, seed: int) -> None:
    with pytest.raises(ConfigError, match="the seed must be between"):
        train_tiny(tmp_path / "run", seed=seed)
    assert not (tmp_path / "run").exists()


def test_a_bundle_knows_the_headers_of_its_training_images(
    tmp_path: Path, tiny_settings: Sequence[str]
) -> None:
    pydicom = pytest.importorskip("pydicom")
    write_dataset(tmp_path / "data", images={"train": 60}, format="dicom", size=48, workers=1)
    for number, path in enumerate(sorted((tmp_path / "data").rglob("*.dcm"))):
        dataset = pydicom.dcmread(path)
        dataset.Modality, dataset.BodyPartExamined = "CT", "ABDOMEN" if number % 2 else "CHEST"
        if number == 7:
            dataset.Modality = "MR"
        dataset.save_as(path)
    run = train(tmp_path / "data", out=tmp_path / "run", settings=tiny_settings, workers=0)
    origin = run.bundle.provenance
    assert (origin.modalities, origin.body_parts) == (("CT",), ("ABDOMEN", "CHEST"))
    assert read_bundle(run.folder).provenance == origin
    found = Counter(
        one.reason for one in Predictor(run.bundle).predict((tmp_path / "data").rglob("*.dcm"))
    )
    assert found["other-modality"] == 1 and found["other-body-part"] == 0
