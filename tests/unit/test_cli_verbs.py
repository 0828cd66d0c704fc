"""Tests the verbs that need no trained network (show, evaluate, doctor) and the terminal output."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from plainfilm._progress import ProgressLines
from plainfilm.bundle import Bundle
from plainfilm.cli.main import main
from plainfilm.cli.terminal import (
    show_progress,
    shown,
    silence_libraries,
    table,
    with_options,
)

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def data(tmp_path: Path, draw_grey: Draw) -> Path:
    root = tmp_path / "hospital"
    for n in range(24):
        grey = 128 + (1 if n % 2 else -1) * (n % 5 * 12 - 10)
        draw_grey(root / ("bright" if n % 2 else "dark") / f"{n}.png", grey)
    return root


def test_show_counts_and_draws(data: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "new" / "samples.png"
    assert main(["show", str(data), "--out", str(out), "--positive", "bright"]) == 0
    output = capsys.readouterr().out
    assert "hospital: 24 images of 24 patients" in output
    assert output.splitlines()[1].split() == ["bright", "dark"]
    assert output.splitlines()[2].split() == ["all", "12", "12"]
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 200


def test_all_findings_about_the_data_are_printed(
    data: Path, tmp_path: Path, capsys: Capture
) -> None:
    (data / "dark" / "0.png").rename(data / "dark" / "0.jpg_large")
    (data / "dark" / "notes.pdf").write_bytes(b"%PDF")
    (data / "bright" / "masks").mkdir()
    (data / "bright" / "masks" / "1.png").write_bytes(b"x")
    renamed = "--map", "dark=NORMAL,bright=SICK"
    assert main(["show", str(data), "--out", str(tmp_path / "s.png"), *renamed]) == 0
    shown_findings = capsys.readouterr()
    assert shown_findings.out.splitlines()[1].split() == ["NORMAL", "SICK"]
    assert shown_findings.err.splitlines()[:4] == [
        "warning: 1 image is a mask or a heat map by name or content and not used",
        "  remedy: rename folders or files if they are radiographs",
        "note: 1 file with an unusual ending is an image by content and used: 1 .jpg_large",
        "note: 1 file is not of a known image format and not used: 1 .pdf",
    ]
    assert "\nnote: classes were renamed: dark to NORMAL, bright to SICK (24 images)\n" in (
        shown_findings.err
    )
    assert shown_findings.err.endswith("left out: 1 file (1 mask)\n")


def test_a_training_asks_for_an_unclear_positive_class(
    data: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["train", str(data), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "bright and dark do not show which class is the disease" in error
    assert "remedy: name the positive class with --positive" in error


def test_labels_from_a_pattern(data: Path, tmp_path: Path, capsys: Capture) -> None:
    pattern = "--label-pattern", r"([02468]|[13579])\.png$"
    mapped = "--map", "0=even,2=even,4=even,6=even,8=even", "--map", "1=odd,3=odd,5=odd,7=odd,9=odd"
    out = "--out", str(tmp_path / "s.png")
    assert main(["show", str(data), *out, *pattern, *mapped, "--positive", "odd"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == ["all", "12", "12"]


@pytest.mark.parametrize(
    ("name", "kind"), [("a.PNG", "PNG"), ("a.jpg", "JPEG"), ("a.jpeg", "JPEG"), ("a.webp", "WEBP")]
)
def test_a_picture_is_of_the_kind_of_its_ending(
    data: Path, tmp_path: Path, name: str, kind: str
) -> None:
    assert main(["show", str(data), "--out", str(tmp_path / name), "--count", "2"]) == 0
    with Image.open(tmp_path / name) as picture:
        assert picture.format == kind


@pytest.mark.parametrize("name", ["a.svg", "a", "a.txt"])
def test_a_picture_of_an_unknown_kind_is_refused_before_anything_is_read(
    tmp_path: Path, name: str, capsys: Capture
) -> None:
    assert main(["show", str(tmp_path / "nowhere"), "--out", str(tmp_path / name)]) == 2
    assert ".png, .jpg, .jpeg, .webp" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_show_leaves_out_what_it_cannot_read(data: Path, tmp_path: Path, capsys: Capture) -> None:
    for path in sorted((data / "dark").iterdir())[:11]:
        path.write_bytes(b"no image")
    assert main(["show", str(data), "--out", str(tmp_path / "a.png"), "--count", "14"]) == 0
    assert "left out dark/" in capsys.readouterr().out


def test_evaluate_a_bundle_on_other_data(
    data: Path, make_bundle: MakeBundle, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "evaluation"
    bundle = make_bundle()
    assert main(["evaluate", str(bundle.folder), str(data), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "hospital, all: 24 images of 24 patients" in captured.out
    rows = {line.split()[0]: line.split()[1:] for line in captured.out.splitlines() if line}
    values = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    for name in ("auroc", "accuracy", "sensitivity", "brier"):
        metric = values["metrics"][name]
        expected = [f"{metric['value']:.3f}", f"{metric['low']:.3f}", "to", f"{metric['high']:.3f}"]
        assert rows[name] == expected
    assert "threshold 0.500, locked on validation (balanced)" in captured.out
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html")
    assert (out / "predictions.parquet").is_file()


def test_a_report_replaces_no_other_files(
    data: Path, make_bundle: MakeBundle, tmp_path: Path, capsys: Capture
) -> None:
    out, bundle = tmp_path / "evaluation", str(make_bundle().folder)
    assert main(["evaluate", bundle, str(data), "--out", str(out), "--no-robustness"]) == 0
    (tmp_path / "own" / "tables").mkdir(parents=True)
    command = ["report", str(out), "--model", bundle, "--out"]
    assert main([*command, str(tmp_path / "own" / "r.html")]) == 2
    assert "tables" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "r.txt")]) == 2
    assert "ends in .html" in capsys.readouterr().err
    for _ in range(2):  # its own files may be replaced
        assert main([*command, str(tmp_path / "new" / "r.html")]) == 0


def test_worse_than_chance_is_reported(
    data: Path, make_bundle: MakeBundle, tmp_path: Path, capsys: Capture
) -> None:
    command = ["evaluate", str(make_bundle(gains=(-1.0,)).folder), str(data)]
    assert main([*command, "--out", str(tmp_path / "e")]) == 0
    assert "worse than chance: the whole interval of the AUROC of bright" in capsys.readouterr().out


def test_doctor_in_json(capsys: Capture) -> None:
    assert main(["doctor", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["machine"]["cores"] >= 1
    assert "plainfilm" in output["versions"]
    assert output["purposes"]["predict, evaluate, compare"] == {"missing": [], "remedy": None}
    for need in output["purposes"].values():
        assert bool(need["missing"]) == bool(need["remedy"])
    if output["backend"] is not None:
        assert output["precision"] in {"float32", "bfloat16"}


def test_doctor_for_people(capsys: Capture) -> None:
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    for words in (
        "plainfilm ",
        "Python ",
        "machine ",
        "backend ",
        "available",
        "predict, evaluate, compare",
    ):
        assert words in output


def test_tables_are_aligned() -> None:
    rows = [("", "a", "bbb"), ("long name", "1", "2")]
    assert table(rows) == "           a  bbb\nlong name  1  2"
    assert table(rows, right=(1, 2)) == "           a  bbb\nlong name  1    2"


def test_paths_are_shown_as_short_as_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b") == os.path.join("a", "b")  # noqa: PTH118
    assert shown(tmp_path.parent) == str(tmp_path.parent)


def test_progress_without_a_terminal_is_a_few_lines(capsys: Capture) -> None:
    with show_progress() as progress:
        for done in range(1, 1001):
            progress("training", done, 1000, "loss 0.5")
        progress("sealing", 0, 1)
        progress("sealing", 1, 1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["training", "1/1000"],
        ["training", "1000/1000"],
        ["sealing"],
    ]
    assert lines[1].endswith("loss 0.5")


def test_a_single_step_is_reported_again_only_if_it_took_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, output = [0.0], io.StringIO()
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = ProgressLines(output, every=5)
    for stage, seconds in (("sealing", 0.4), ("computing intervals", 7.0)):
        progress(stage, 0, 1)
        now[0] += seconds
        progress(stage, 1, 1)
    for done in range(4):
        progress("scoring", done, 3, "fast")
        now[0] += 3.0
    assert output.getvalue().splitlines() == [
        "sealing",
        "computing intervals",
        "computing intervals: done in 7 s",
        "scoring 0/3  0 s  fast",
        "scoring 2/3  6 s, 3 s left  fast",
        "scoring 3/3  9 s  fast",
    ]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("name it with positive=", "name it with --positive"),
        ("images=, or another with path_column=", "--images, or another with --path-column"),
        ("labels=: none", "--labels: none"),
        ("set fit.precision=float32, or limit=600", "set fit.precision=float32, or limit=600"),
        ("a.b=, x-out= and f(out=1)", "a.b=, x-out= and f(out=1)"),
    ],
)
def test_errors_name_options_on_the_command_line(said: str, meant: str) -> None:
    assert with_options(said) == meant


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress() as progress:
        progress("decoding images", 1, 4)
        progress("decoding images", 4, 4, "99/s")
        progress("decoding images", 1, 2)  # the next split: a bar of its own
        time.sleep(0.3)
    text = screen.getvalue()
    assert "decoding images" in text
    assert "4/4" in text
    assert "1/2" in text
    assert "99/s" in text


def test_what_libraries_say_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with silence_libraries():
        os.write(2, b"hello from C++\n")
        print("hello from Python", file=sys.stderr)
    os.write(2, b"after\n")
    assert "hello from C++" not in (output := capfd.readouterr().err)
    assert "after" in output


def test_what_libraries_said_before_a_failure_comes_out(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(RuntimeError), silence_libraries():
        os.write(2, b"the reason\n")
        raise RuntimeError
    assert "the reason" in capfd.readouterr().err


SILENCED = """
import os, sys
from plainfilm._progress import silent
from plainfilm.cli.terminal import silence_libraries
with silence_libraries() as until:
    progress = until("training", silent)
    os.write(2, b"C++ greets\\n")
    print("shown", file=sys.stderr)
    progress("decoding images", 1, 2)
    os.write(2, b"C++ greets again\\n")
    progress("training", 1, 2)
    os.write(2, b"C++ warns\\n")
    print("still shown", file=sys.stderr)
print("as before", file=sys.stderr)
"""


def test_python_is_not_silenced_and_the_silence_ends_when_training_begins() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SILENCED], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.splitlines() == ["shown", "C++ warns", "still shown", "as before"]
