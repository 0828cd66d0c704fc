"""A search on drawn images: without the test set, by several processes, continued and extended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import onnx_networks
from plainfilm.cli.main import main
from plainfilm.cli.search import describe_trial
from plainfilm.config import load_recipe
from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import ConfigError, DataError, RunError, UsageError
from plainfilm.phantom import write_dataset
from plainfilm.search import SearchDocument, search
from plainfilm.search.document import Trial, TrialResult
from plainfilm.search.folder import SearchFolder
from plainfilm.search.trial import Options, run_trial
from plainfilm.search.work import work
from plainfilm.training import open_run, train

pytest.importorskip("optuna")
pytestmark = pytest.mark.slow

OVER = "network.options.penalty=0.1..100"
Search = Callable[..., SearchDocument]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw few images, so that a training takes a fraction of a second."""
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    images = {"train": 100, "test": 20}
    write_dataset(folder, images=images, seed=3, size=64, subtlety=(0.0, 0.3), workers=1)
    return folder


@pytest.fixture(scope="module")
def manifest(phantoms: Path) -> Manifest:
    return load_dataset(phantoms)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the settings of a probe that trains in half a second."""
    encoder = onnx_networks.encoder(tmp_path_factory.mktemp("encoder") / "small.onnx")
    return [
        f"network.encoder='{encoder}'",
        "network.options={value_range=[0, 1], penalty=1.0, trained_on=['CheXpert']}",
        "input.size=32",
        "fit.epochs=1",
    ]


@pytest.fixture(scope="module")
def hidden(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Return a listed data set whose test images were deleted after it was listed."""
    folder = tmp_path_factory.mktemp("hidden") / "data"
    shutil.copytree(phantoms, folder)
    listed = load_dataset(folder)
    shutil.rmtree(folder / "test")
    return listed


@pytest.fixture(scope="module")
def run_search(settings: list[str], hidden: Manifest) -> Search:
    def run(out: Path, data: Manifest = hidden, **options: Any) -> SearchDocument:
        options = {"over": [OVER], "trials": 3, "seeds": 1, "folds": 2} | options
        return search(data, out=out, recipe="probe", settings=settings, workers=0, **options)

    return run


@pytest.fixture(scope="module")
def searched(run_search: Search, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "search"
    run_search(folder)
    return folder


def test_the_test_set_is_removed_by_hash_and_no_test_image_is_opened(
    searched: Path, hidden: Manifest
) -> None:
    document = SearchDocument.read(searched / "search.json")
    test = tuple(replace(r, split="test") for r in hidden.records if r.official == "test")

    assert document.plan.test.origin == "official"
    assert document.plan.test.images == len(test) == 20
    assert document.plan.test.hash == replace(hidden, records=test).hash
    held = {record.id for record in test}
    runs = sorted(searched.glob("*/*/fold-*"))
    assert len(runs) == 3 + 3 * 3
    for folder in runs:
        run = open_run(folder)
        assert not held & {*run.manifest.ids, *(item.id for item in run.manifest.left_out)}
    assert not held & {*Manifest.read(searched / "data.parquet").ids}


def test_the_best_are_trained_again_with_fresh_seeds_and_divisions(searched: Path) -> None:
    document = SearchDocument.read(searched / "search.json")
    first = {one.seed for trial in document.trials for one in trial.trainings}
    again = {one.seed for trial in document.confirmations for one in trial.trainings}

    assert [trial.number for trial in document.trials] == [0, 1, 2]
    assert document.trials[0].values == {}
    assert not first & again
    assert len(again) == 3
    divisions = [one.division for one in document.confirmations[0].trainings]
    assert divisions == [1, 2, 3]
    assert document.choice is not None
    chosen = document.confirmations[
        [one.number for one in document.confirmations].index(document.choice.trial)
    ]
    assert document.choice.fresh_score == chosen.mean("by_kind")
    folds = [
        open_run(path).plan.identity.manifest for path in searched.glob("confirmation/0000/f*")
    ]
    assert len({*folds}) == 3


def test_the_chosen_recipe_can_be_trained(
    searched: Path, tmp_path: Path, manifest: Manifest
) -> None:
    document = SearchDocument.read(searched / "search.json")
    assert document.choice is not None
    folder = searched / "trials" / f"{document.choice.trial:04d}"

    assert load_recipe(searched / "best.toml") == Trial.read(folder / "trial.json").recipe
    run = train(manifest, out=tmp_path / "run", recipe=searched / "best.toml", workers=0)
    assert run.manifest.splits.tolist().count("test") == 20


def test_other_settings_are_refused_and_more_trials_extend(
    searched: Path, run_search: Search, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="seeds was 1 and is 2"):
        run_search(searched, seeds=2)
    with pytest.raises(RunError, match=r"over.* was "):
        run_search(searched, over=["network.options.penalty=0.1..10"])
    folder = tmp_path / "search"
    shutil.copytree(searched, folder)
    before = SearchDocument.read(folder / "search.json")
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*/*/result.json")}

    after = run_search(folder, trials=4)

    assert after.trials[:3] == before.trials
    assert len(after.trials) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_wrong_settings_are_reported_before_anything_is_trained(
    run_search: Search, tmp_path: Path
) -> None:
    for options, problem in (
        ({"over": ["network.options.penaltie=1..9"]}, "penaltie"),
        ({"over": ["fit.learning_rate=1e-3..1e-1"]}, "does not have"),
        ({"over": ["network.options.penalty=-1,1"]}, "penalty"),
        ({"trials": 0}, "trials= must be at least 1"),
        ({"parallel": 0}, "parallel= must be at least 1"),
        ({"shift": "site"}, "no column 'site'"),
    ):
        with pytest.raises(ConfigError, match=problem):
            run_search(tmp_path / "search", **options)
    assert not (tmp_path / "search").exists()


@pytest.fixture(scope="module")
def begin_search(run_search: Search) -> Callable[..., SearchDocument]:
    """Return a function that ends a search after its first trial, and returns the document."""

    class Enough(Exception):
        """The first trial has finished."""

    def stop(stage: str, result: TrialResult) -> None:
        raise Enough

    def begin(out: Path, data: Manifest, **options: Any) -> SearchDocument:
        with pytest.raises(Enough):
            run_search(out, data, trials=1, on_trial=stop, **options)
        return SearchDocument.read(out / "search.json")

    return begin


def test_without_an_official_test_set_it_is_the_one_that_train_draws(
    manifest: Manifest, settings: list[str], begin_search: Search, tmp_path: Path
) -> None:
    records = tuple(replace(record, official=None) for record in manifest.records)
    plain = replace(manifest, records=records)

    document = begin_search(tmp_path / "search", plain)
    run = train(plain, out=tmp_path / "run", recipe="probe", settings=settings, workers=0)

    assert document.plan.test.origin == "drawn"
    assert document.plan.test.hash == run.manifest.select("test").hash
    assert document.plan.images == len(plain) - document.plan.test.images


def test_a_shift_tests_on_each_group_with_a_model_of_the_others(
    manifest: Manifest, run_search: Search, begin_search: Search, tmp_path: Path
) -> None:
    sites = ("north", "south")
    records = tuple(
        replace(record, columns={"site": sites[number // 2 % 2]})
        for number, record in enumerate(sorted(manifest.records, key=lambda record: record.id))
    )
    data = replace(manifest, records=records)

    document = begin_search(tmp_path / "search", data, shift="site")

    assert document.plan.objective == "mixed"
    [trial] = SearchFolder(tmp_path / "search").results("search")
    assert {one.part for one in trial.trainings} == {*sites}
    where = {record.id: (record.columns["site"], record.patient) for record in records}
    for number, site in enumerate(sites, start=1):
        run = open_run(tmp_path / f"search/trials/0000/group-{number}-seed-0")
        held = {patient for own, patient in where.values() if own == site}
        assert not held & {*run.manifest.patients.tolist()}
    alone = tuple(replace(r, columns={"site": str(r.labels[0])}) for r in records)
    with pytest.raises(DataError, match="one class only"):
        run_search(tmp_path / "alone", replace(data, records=alone), shift="site")


def test_a_trial_that_cannot_be_trained_is_recorded_and_the_others_go_on(
    searched: Path, run_search: Search, tmp_path: Path
) -> None:
    shutil.copytree(searched, tmp_path / "search")
    (tmp_path / "search/trials/0003/fold-1-seed-0/in the way").mkdir(parents=True)

    document = run_search(tmp_path / "search", trials=4)

    assert "not a run" in str(document.trials[3].problem)
    assert document.choice is not None
    assert document.choice.trial < 3


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "plainfilm", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def holder(folder: Path) -> int | None:
    """Return the process that holds the lock of a folder."""
    try:
        return int(json.loads((folder / ".lock").read_text("utf-8"))["process"])
    except (OSError, ValueError, KeyError):
        return None


def test_four_processes_share_a_search_and_one_may_be_killed(
    phantoms: Path, settings: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "search"
    given = [word for own in settings for word in ("--set", own)]
    arguments = ["search", str(phantoms), "--recipe", "probe", *given, "--over", OVER]
    numbers = ["--trials", "4", "--seeds", "1", "--folds", "2", "--workers", "0"]
    arguments += [*numbers, "--out", str(folder)]
    processes = [start(arguments) for _ in range(4)]
    own = {process.pid: process for process in processes}
    victim: Path | None = None
    end = time.monotonic() + 120
    while victim is None and time.monotonic() < end:
        # In the middle of a training: its run has a plan and no bundle.
        for path in folder.glob("trials/*/fold-*/plan.json"):
            pid = holder(path.parent)
            if pid in own and not (path.parent / "bundle").exists():
                os.kill(pid, signal.SIGKILL)
                victim = path.parents[1]
                break
        time.sleep(0.002)
    assert victim is not None
    outputs = [process.communicate(timeout=120)[0].decode() for process in processes]

    statuses = sorted(process.returncode for process in processes)
    assert statuses == [-signal.SIGKILL, 0, 0, 0], outputs
    document = SearchDocument.read(folder / "search.json")
    assert [trial.number for trial in document.trials] == list(range(4))
    assert all(trial.problem is None for trial in document.trials)
    assert len({json.dumps(dict(trial.values)) for trial in document.trials}) == 4
    lines = [line for text in outputs for line in text.splitlines() if "trial " in line]
    finished = [line.split(":")[0] for line in lines if line.startswith("trial ")]
    assert sorted(finished) == [f"trial {number}" for number in range(4)]

    # The continued trial has the result of one that was never interrupted.
    again = tmp_path / "again"
    again.mkdir()
    shutil.copy(victim / "trial.json", again)
    scores = [one.scores for one in run_trial(folder, again).trainings]
    assert scores == [one.scores for one in TrialResult.read(victim / "result.json").trainings]


def test_parallel_processes_are_started_and_watched(
    searched: Path, run_search: Search, tmp_path: Path
) -> None:
    shutil.copytree(searched, tmp_path / "search")
    seen: list[tuple[str, int]] = []

    def interrupt(stage: str, result: TrialResult) -> None:
        seen.append((stage, result.number))
        raise KeyboardInterrupt

    def on_trial(stage: str, result: TrialResult) -> None:
        seen.append((stage, result.number))

    with pytest.raises(KeyboardInterrupt):
        run_search(tmp_path / "search", trials=4, parallel=2, on_trial=interrupt)
    assert not [*(tmp_path / "search").glob("*/*/attempts")]
    document = run_search(tmp_path / "search", trials=4, parallel=2, on_trial=on_trial)

    assert {number for stage, number in seen if stage == "search"} <= {3}
    assert len(seen) == len({*seen})
    assert [trial.number for trial in document.trials] == [*range(4)]


def test_trials_run_on_ray_with_the_same_scores(
    searched: Path, run_search: Search, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    folder = tmp_path / "search"
    shutil.copytree(searched, folder)
    before = SearchDocument.read(folder / "search.json")
    for entry in (folder / "trials" / "0001").iterdir():
        if entry.name != "trial.json":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    after = run_search(folder, on="ray", parallel=2)

    scores = [[one.scores for one in doc.trials[1].trainings] for doc in (before, after)]
    assert scores[0] == scores[1]
    assert [one.number for one in after.trials] == [0, 1, 2]
    with pytest.raises(UsageError, match="no such engine"):
        run_search(folder, on="dask")


def test_a_trial_whose_processes_die_fails_with_a_line_and_is_tried_again(
    searched: Path, run_search: Search, tmp_path: Path
) -> None:
    shutil.copytree(searched, tmp_path / "search")
    folder = SearchFolder(tmp_path / "search")
    trial = folder.trials("search")[1]
    own = folder.folder_of(trial)
    before = TrialResult.read(own / "result.json")
    (own / "result.json").unlink()
    (own / "attempts").touch()
    for place in range(4):
        claim = folder.claim([trial])
        assert claim is not None and claim.problem is None
        claim.lock.release()  # as when the process is killed
        if place == 0:  # a training has advanced, so this does not count
            os.utime(next(own.glob("*/bundle")))
    seen: list[str] = []

    def on_trial(stage: str, result: TrialResult) -> None:
        seen.append(describe_trial("search", result))

    work(folder.root, 3, Options(workers=0), on_trial=on_trial)

    assert "trial 1 failed: 3 processes ended while running it; the same command" in seen[0]
    after = run_search(folder.root).trials[1]
    assert [one.scores for one in after.trainings] == [one.scores for one in before.trainings]
    assert not (own / "attempts").exists()


def test_trials_are_replaced_if_their_folders_or_documents_were_removed(
    searched: Path, run_search: Search, tmp_path: Path
) -> None:
    folder = tmp_path / "search"
    shutil.copytree(searched, folder)
    shutil.rmtree(folder / "trials" / "0000")
    (folder / "trials" / "0001" / "trial.json").unlink()
    shutil.copytree(folder / "trials" / "0002", folder / "trials" / "0002 copy")

    document = run_search(folder)

    assert [one.number for one in document.trials] == [2, 3, 4]
    assert [one.number for one in document.trials if not one.values] == [3]
    own = {one.number: one.values for one in document.trials}
    assert {one.number: one.values for one in document.confirmations} == own


def test_the_command_prints_what_was_chosen_and_why(
    searched: Path, phantoms: Path, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word for own in settings for word in ("--set", own)]
    arguments = ["search", str(phantoms), "--recipe", "probe", *given, "--over", OVER]
    arguments += ["--trials", "3", "--seeds", "1", "--folds", "2", "--workers", "0"]

    assert main([*arguments, "--out", str(searched)]) == 0

    text = capsys.readouterr().out
    assert "20 images of the test set took no part" in text
    assert "optimistic, because it was selected among 3 trials" in text
    page = (searched / "search.html").read_text("utf-8")
    assert "Synthetic images" in page
    assert "optimistic, because it was selected among 3 trials" in page
    assert page.count("<svg") == 3
    rows = (searched / "tables" / "search_trials.csv").read_text("utf-8").splitlines()
    assert len(rows) == 1 + 3
    assert main([*arguments, "--over", "fit.epochz=1,2", "--out", str(searched)]) == 2
    assert "there is no setting 'epochz'" in capsys.readouterr().err
