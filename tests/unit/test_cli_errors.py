"""Tests errors on the command line: exit status, a message with a remedy, no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm.bundle import Bundle
from plainfilm.cli.main import _columns, main
from plainfilm.cli.train import RECIPES
from plainfilm.config import recipe_names
from plainfilm.errors import ConfigError

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]
Capture = pytest.CaptureFixture[str]
Fail = Callable[..., str]

VERBS = ("demo", "fetch", "audit", "show", "train", "evaluate", "compare", "report", "predict")
VERBS += ("serve", "doctor")


@pytest.fixture
def fail(capfd: Capture) -> Fail:
    """Return a function that runs the command, expects a status, and returns what it said."""

    def run(status: int, *arguments: object) -> str:
        try:
            found = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse's way
            found = int(str(stop.code))
        output = capfd.readouterr().err
        assert found == status, output
        assert "Traceback" not in output
        assert "a defect in plainfilm" not in output
        assert "plainfilm" in output
        return output

    return run


@pytest.fixture
def data(tmp_path: Path, draw_grey: Draw) -> Path:
    root = tmp_path / "data"
    for n in range(12):
        draw_grey(root / ("bright" if n % 2 else "dark") / f"{n}.png", 60 + 10 * n)
    return root


@pytest.fixture
def images(tmp_path: Path, draw_grey: Draw) -> Path:
    root = tmp_path / "images"
    for n in range(5):
        draw_grey(root / f"{n}.png", 60 + 30 * n)
    return root


def train(data: Path, out: Path, *more: object) -> tuple[object, ...]:
    positive = ("--positive", "bright") if (data / "bright").is_dir() else ()
    return ("train", data, "--recipe", "swift", *positive, "--out", out, *more)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example(verb: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    assert f"example: plainfilm {verb}" in output
    assert "--debug" in output


@pytest.mark.parametrize("columns", ["40", "200", "0", "-3", "wide", None])
def test_help_is_as_wide_as_the_terminal(
    columns: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert _columns() == shutil.get_terminal_size().columns


def test_help_of_train_lists_every_recipe() -> None:
    assert set(RECIPES) == set(recipe_names())


def test_libraries_that_speak_before_the_data_are_described_are_held_back(
    fail: Fail, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> object:
        os.write(2, b"hello from C++\n")
        raise ConfigError("Keras cannot load the weights")

    monkeypatch.setattr("plainfilm.training.choose_trainer", load)
    output = fail(2, *train(data, tmp_path / "run"))
    assert "cannot load the weights" in output
    assert "hello from C++" not in output


def test_help_lists_every_verb(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    assert all(f"  {verb} " in output for verb in VERBS)


def test_the_bare_command_prints_help(capsys: Capture) -> None:
    assert main([]) == 0
    assert "  train " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "hint"),
    [("trian", "did you mean 'train'?"), ("Audit", "did you mean 'audit'?"), ("xyz", "choose one")],
)
def test_a_misspelt_verb_gets_a_suggestion(fail: Fail, word: str, hint: str) -> None:
    output = fail(2, word, "data")
    assert f"there is no verb {word!r}" in output
    assert hint in output


def test_completion_lists_verbs_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("argcomplete")
    found = {}
    for line in ("plainfilm tr", "plainfilm train --no-"):
        environment = {
            **os.environ,
            "_ARGCOMPLETE": "1",
            "COMP_LINE": line,
            "_ARGCOMPLETE_IFS": " ",
        }
        environment |= {"COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": os.devnull}
        reader, writer = os.pipe()
        environment["_ARGCOMPLETE_STDOUT_FILENAME"] = f"/dev/fd/{writer}"
        subprocess.run(
            [sys.executable, "-m", "plainfilm"],
            env=environment,
            pass_fds=[writer],
            check=True,
            timeout=60,
        )
        os.close(writer)
        found[line] = os.read(reader, 1000).decode().split()
        os.close(reader)
    assert found == {
        "plainfilm tr": ["train"],
        "plainfilm train --no-": ["--no-evaluation", "--no-robustness"],
    }


def test_advice_that_was_followed_is_not_repeated(capsys: Capture) -> None:
    from plainfilm.cli.describe import _print
    from plainfilm.records import Finding

    finding = Finding(
        check="x", severity="warning", problem="p", count=1, remedy="name them: --patient REGEX"
    )
    _print([finding], frozenset())
    assert "remedy: name them: --patient REGEX" in capsys.readouterr().err
    _print([finding], frozenset({"--patient"}))
    assert capsys.readouterr().err == "warning: p\n"


def test_version(capsys: Capture) -> None:
    import plainfilm

    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"plainfilm {plainfilm.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("dance",),
        ("train",),
        ("train", "data"),
        ("train", "data", "--out"),
        ("train", "data", "--out", "o", "--seed", "x"),
        ("predict", "run"),
        ("predict", "run", "image", "--format", "xml"),
        ("show", "data"),
        ("fetch", "imagenet", "--out", "o"),
        ("compare", "a"),
    ],
)
def test_wrong_use_is_2(fail: Fail, arguments: tuple[str, ...]) -> None:
    assert "usage: plainfilm" in fail(2, *arguments)


def test_evaluate_needs_a_model_or_predictions(fail: Fail) -> None:
    assert "name a run or bundle, or give a table with --predictions" in fail(2, "evaluate")


@pytest.mark.parametrize("verb", ["train", "show", "evaluate"])
def test_a_missing_path(fail: Fail, tmp_path: Path, make_bundle: MakeBundle, verb: str) -> None:
    nowhere = tmp_path / "nowhere"
    arguments = {
        "train": train(nowhere, tmp_path / "run"),
        "show": ("show", nowhere, "--out", tmp_path / "a.png"),
        "evaluate": ("evaluate", make_bundle().folder, nowhere, "--out", tmp_path / "e"),
    }[verb]
    output = fail(1, *arguments)
    assert "the folder or table does not exist" in output
    assert str(nowhere) in output
    assert "remedy:" in output
    assert not (tmp_path / "run").exists()


def test_an_empty_class_folder(fail: Fail, data: Path, tmp_path: Path) -> None:
    for path in (data / "dark").iterdir():
        path.unlink()
    output = fail(1, *train(data, tmp_path / "run"))
    assert "dark" in output
    assert "remedy:" in output
    assert not (tmp_path / "run").exists()


def test_one_class_only(fail: Fail, data: Path, tmp_path: Path) -> None:
    for path in (data / "dark").iterdir():
        path.unlink()
    (data / "dark").rmdir()
    output = fail(1, *train(data, tmp_path / "run"))
    assert "there is only one class" in output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["train", "evaluate", "show"])
def test_a_class_folder_instead_of_the_folder_above(
    fail: Fail, data: Path, tmp_path: Path, make_bundle: MakeBundle, verb: str
) -> None:
    alone, out = data / "dark", tmp_path / "out"
    arguments = {
        "train": train(alone, out),
        "evaluate": ("evaluate", make_bundle().folder, alone, "--out", out),
        "show": ("show", alone, "--out", tmp_path / "a.png"),
    }[verb]
    output = fail(1, *arguments)
    assert "contains images but no class fold" in output
    assert f"the folder above ({data})" in output
    assert not out.exists()


def test_a_folder_without_images(fail: Fail, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "remedy:" in fail(1, *train(tmp_path / "empty", tmp_path / "run"))
    for name in ("a", "b"):
        (tmp_path / "texts" / name).mkdir(parents=True)
        (tmp_path / "texts" / name / "notes.txt").write_text("x", encoding="utf-8")
    fail(1, *train(tmp_path / "texts", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_is_reported_before_anything_is_read(fail: Fail, tmp_path: Path) -> None:
    output = fail(2, "train", tmp_path / "nowhere", "--recipe", "swft", "--out", tmp_path / "run")
    assert "no recipe 'swft'" in output
    assert "standard" in output
    output = fail(2, "demo", "--recipe", "swft", "--out", tmp_path / "demo")
    assert "no recipe 'swft'" in output
    assert not (tmp_path / "demo").exists(), "nothing is drawn for a demo that cannot be"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("epoch=3", "did you mean 'epochs'"),
        ("epochs=many", "must be of type int"),
        ("epochs", "key=value"),
        ("epochs=0", "at least 1"),
        ("augment=strong", "choose one of: none"),
    ],
)
def test_a_bad_setting(fail: Fail, data: Path, tmp_path: Path, setting: str, words: str) -> None:
    assert words in fail(2, *train(data, tmp_path / "run", "--set", setting))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("rows", "status", "words"),
    [
        ("path,label\na.png,sick\na.png,well\nb.png,well\n", 1, "several labels"),
        ("path,label\na.png,sick\nb.png,sick\n", 1, "class"),
        ("path,label\nc.png,sick\nd.png,well\n", 1, "none of the files in the table exists"),
        ("path,label\n", 1, "no rows"),
        ("", 1, ""),
        ("path,finding,verdict\na.png,x,y\n", 1, "--labels"),
    ],
)
def test_a_bad_table(
    fail: Fail, draw_grey: Draw, tmp_path: Path, rows: str, status: int, words: str
) -> None:
    for name in ("a.png", "b.png"):
        draw_grey(tmp_path / name, 100)
    table = tmp_path / "table.csv"
    table.write_text(rows, encoding="utf-8")
    assert words in fail(status, *train(table, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_label_column_that_does_not_exist(fail: Fail, draw_grey: Draw, tmp_path: Path) -> None:
    draw_grey(tmp_path / "a.png", 100)
    table = tmp_path / "table.csv"
    table.write_text("path,label\na.png,x\n", encoding="utf-8")
    output = fail(2, *train(table, tmp_path / "run", "--labels", "sickness"))
    assert "'sickness'" in output


def test_table_options_need_a_table(fail: Fail, data: Path, tmp_path: Path) -> None:
    output = fail(2, *train(data, tmp_path / "run", "--labels", "a"))
    assert "--labels is for tables" in output


def test_an_unknown_positive_class(fail: Fail, data: Path, tmp_path: Path) -> None:
    output = fail(2, "show", data, "--positive", "grey", "--out", tmp_path / "a.png")
    assert "grey" in output


def test_a_file_in_the_way_of_the_output(
    fail: Fail, data: Path, images: Path, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    bundle = make_bundle().folder
    below = tmp_path / "file" / "below"
    for arguments in (
        ("show", data, "--out", below / "a.png"),
        ("predict", bundle, images, "--heatmaps", tmp_path / "file"),
        ("evaluate", bundle, data, "--positive", "bright", "--out", below),
        ("demo", "--out", below),
    ):
        assert "a file is in the way" in fail(1, *arguments)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_an_output_without_the_right_to_write(fail: Fail, data: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "cannot be written" in fail(
        1, "show", data, "--out", tmp_path / "locked" / "a" / "b.png"
    )


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_not_a_bundle(fail: Fail, images: Path, tmp_path: Path, verb: str) -> None:
    (tmp_path / "other").mkdir()
    assert "is not a bundle" in fail(1, verb, tmp_path / "other", images)
    assert "there is no bundle" in fail(1, verb, tmp_path / "nowhere", images)


def test_a_changed_bundle(fail: Fail, images: Path, make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    bundle.graph.write_bytes(bundle.graph.read_bytes()[:-1])
    assert "changed after it was sealed" in fail(1, "predict", bundle.folder, images)


def test_a_bundle_of_tomorrow(fail: Fail, images: Path, make_bundle: MakeBundle) -> None:
    import hashlib

    folder = make_bundle().folder
    path = folder / "bundle.json"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    described = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**described, "schema": described["schema"] + 1}), encoding="utf-8")
    sums = (folder / "SHA256SUMS").read_text(encoding="ascii")
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(sums.replace(before, after), encoding="ascii")
    assert "upgrade plainfilm" in fail(1, "predict", folder, images)


def test_a_bundle_has_no_data_and_no_place(fail: Fail, data: Path, make_bundle: MakeBundle) -> None:
    bundle = make_bundle().folder
    assert "no images to be evaluated on" in fail(2, "evaluate", bundle)
    assert "--out" in fail(2, "evaluate", bundle, data, "--positive", "bright")


def test_a_report_of_no_run(fail: Fail, tmp_path: Path, make_bundle: MakeBundle) -> None:
    assert "is not the folder of a run" in fail(1, "report", tmp_path / "nowhere")
    assert "is not the folder of a run" in fail(1, "report", make_bundle().folder)


def test_no_file_has_a_prediction(fail: Fail, make_bundle: MakeBundle, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for n in range(3):
        (bad / f"{n}.png").write_bytes(b"no image")
    bundle = make_bundle().folder
    assert "no prediction for 3 of 3 files" in fail(1, "predict", bundle, bad)
    assert "no prediction for 1 of 1 file" in fail(1, "predict", bundle, tmp_path / "missing.png")


def test_nothing_to_predict(fail: Fail, make_bundle: MakeBundle, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x", encoding="utf-8")
    assert "contains no images" in fail(1, "predict", make_bundle().folder, tmp_path / "empty")


@pytest.mark.parametrize("option", [("--count", "0"), ("--seed", "-1")])
def test_show_with_impossible_numbers(
    fail: Fail, data: Path, tmp_path: Path, option: tuple[str, str]
) -> None:
    assert option[0] in fail(2, "show", data, "--out", tmp_path / "a.png", *option)


@pytest.mark.parametrize("number", ["-1", "two", "1.5", ""])
@pytest.mark.parametrize("verb", ["predict", "audit", "train", "evaluate", "demo"])
def test_workers_are_a_whole_number(fail: Fail, verb: str, number: str, tmp_path: Path) -> None:
    output = fail(2, verb, *{"demo": ()}.get(verb, ("a", "b")), f"--workers={number}")
    assert f"--workers: must be an integer, 0 or more, not {number!r}" in output


def test_predict_with_impossible_workers(fail: Fail, images: Path, make_bundle: MakeBundle) -> None:
    assert "workers" in fail(2, "predict", make_bundle().folder, images, "--workers", "-2")


def test_show_of_nothing_readable(fail: Fail, data: Path, tmp_path: Path) -> None:
    for path in data.rglob("*.png"):
        path.write_bytes(b"no image")
    assert "could be read" in fail(1, "show", data, "--out", tmp_path / "a.png")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    from plainfilm.errors import SourceError

    with pytest.raises(SourceError):
        main(["show", str(tmp_path / "nowhere"), "--out", str(tmp_path / "a.png"), "--debug"])


def test_an_unknown_backend(
    fail: Fail, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = fail(2, *train(data, tmp_path / "run", "--backend", "theano"))
    assert "tensorflow, jax, torch" in output
    assert not (tmp_path / "run").exists()


def test_names_that_the_encoding_of_the_output_lacks(tmp_path: Path, draw_grey: Draw) -> None:
    for name in ("Łódź.png", "患者.png", "a.png", "b.png"):
        draw_grey(tmp_path / "data" / ("x" if name < "b" else "y") / name, 100)
    for arguments, words in (
        (["audit", str(tmp_path / "data"), "--quick"], "4 images"),
        (["audit", str(tmp_path / "患者.csv")], "\\u60a3\\u8005.csv"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "plainfilm", *arguments],
            capture_output=True,
            env={**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"},
            check=False,
        )
        output = (done.stdout + done.stderr).decode("cp1252")
        assert words in output
        assert "defect" not in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "b", "a.png", "--fromat", "csv"], "did you mean '--format'"),
        (["audit", "d", "--quik"], "did you mean '--quick'"),
        (["doctor", "foo"], "unknown argument 'foo'"),
        (["audit", "d", "--exclude", "list.txt"], "must end in .csv"),
        (["audit", "d", "--html", "page.pdf"], "must end in .html"),
        (["report", "r", "--pdf", "page.html"], "must end in .pdf"),
        (["show", "d", "--out", "a.png", "--count", "100000"], "--count must be 1 to 400"),
        (["train", "d", "--out", "r", "--recipe", "swfit"], "did you mean 'swift'"),
        (["train", "d", "--out", "r", "--seeds", "0"], "leave it out for one training"),
    ],
)
def test_wrong_words(fail: Fail, arguments: list[str], words: str) -> None:
    assert words in fail(2, *arguments)


def test_a_cross_validation_is_no_model(fail: Fail, data: Path, tmp_path: Path) -> None:
    folds = tmp_path / "folds"
    (folds / "fold-1").mkdir(parents=True)
    (folds / "crossval.json").touch()
    for arguments in (("evaluate", folds), ("evaluate", folds, data), ("predict", folds, data)):
        message = fail(1, *arguments)
        assert "folds is a cross-validation, with one model for each fold" in message
        for name in ("fold-1", "ensemble", "crossval"):
            assert str(folds / name) in message
