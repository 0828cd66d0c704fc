"""Tests ``plainfilm predict``: one prediction a file, for people and programs."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.bundle import Bundle
from plainfilm.cli.main import main
from plainfilm.data.sources.folders.tree import read_tree
from plainfilm.records import Task

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]
Capture = pytest.CaptureFixture[str]

COLUMNS = ("predicted", "novelty", "rejected", "indeterminate", "reason", "problem")
GREYS = {"a.png": 60, "b.png": 128, "c.png": 200}


def believed(grey: float) -> float:
    return float(1 / (1 + np.exp(-(grey - 128) / 32)))


@pytest.fixture
def images(tmp_path: Path, draw_grey: Draw) -> Path:
    for name, grey in GREYS.items():
        draw_grey(tmp_path / "images" / name, grey)
    return tmp_path / "images"


def run(*arguments: object) -> int:
    return main(["predict", *map(str, arguments)])


def test_csv(images: Path, make_bundle: MakeBundle, capsys: Capture) -> None:
    assert run(make_bundle().folder, images, "--format", "csv") == 0
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert list(rows[0]) == ["file", "probability_bright", *COLUMNS]
    assert [row["file"] for row in rows] == [str(images / name) for name in GREYS]
    for row, grey in zip(rows, GREYS.values(), strict=True):
        assert float(row["probability_bright"]) == pytest.approx(believed(grey), abs=1e-5)
    assert [row["predicted"] for row in rows] == ["dark", "bright", "bright"]
    assert all(row["reason"] == row["problem"] == "" for row in rows)
    assert {row["rejected"] for row in rows} == {"false"}
    assert captured.err == ""


def test_jsonl(images: Path, make_bundle: MakeBundle, capsys: Capture) -> None:
    bundle = make_bundle()
    assert run(bundle.folder, images, "--format", "jsonl") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in rows] == [str(images / name) for name in GREYS]
    for row, grey in zip(rows, GREYS.values(), strict=True):
        assert row["probabilities"]["bright"] == pytest.approx(believed(grey), abs=1e-5)
        assert set(row["predicted"]) == {"balanced", "rule-out", "rule-in"}
        assert row["metadata"]["format"].lower() == "png"
        assert type(row["metadata"]["width"]) is int
        assert row["bundle"] == bundle.id


def test_table(images: Path, make_bundle: MakeBundle, capsys: Capture) -> None:
    assert run(make_bundle().folder, images) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["bright", "predicted", "file"]
    for line, (name, grey) in zip(lines, GREYS.items(), strict=True):
        chance, predicted, file = line.split()
        assert float(chance) == pytest.approx(believed(grey), abs=1e-5)
        assert predicted == ("bright" if grey >= 128 else "dark")
        assert file == str(images / name)


def test_several_labels(images: Path, make_bundle: MakeBundle, capsys: Capture) -> None:
    task = Task("multilabel", ("light", "shade"), ("light", "shade"))
    bundle = make_bundle(task=task, gains=(1.0, -1.0), thresholds={"balanced": 0.6})
    assert run(bundle.folder, images, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["file", "probability_light", "probability_shade", *COLUMNS]
    assert [row["predicted"] for row in rows] == ["shade", "none", "light"]


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_a_bad_file_among_good_ones(
    images: Path, make_bundle: MakeBundle, capsys: Capture, form: str
) -> None:
    (images / "b.png").write_bytes(b"no image")
    assert run(make_bundle().folder, images, "--format", form) == 0, "the others have predictions"
    captured = capsys.readouterr()
    assert "no prediction for 1 of 3 files" in captured.err
    assert captured.out.count("b.png") == 1
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(captured.out)))
        assert [row["reason"] for row in rows] == ["", "not-an-image", ""]
        assert rows[1]["probability_bright"] == ""
        assert [bool(row["problem"]) for row in rows] == [False, True, False]
        assert " " in rows[1]["problem"], "a sentence with the code"
    if form == "jsonl":
        row = json.loads(captured.out.splitlines()[1])
        assert row["reason"] == "not-an-image"
        assert row["problem"]
        assert row["probabilities"] == row["predicted"] == {} and not row["rejected"]


def test_files_of_a_folder(images: Path, make_bundle: MakeBundle, capsys: Capture) -> None:
    (images / "notes.txt").write_text("x", encoding="utf-8")
    (images / ".hidden.png").write_bytes(b"x")
    below = images / "below"
    below.mkdir()
    (below / "no-ending").write_bytes((images / "a.png").read_bytes())
    (below / "UPPER.PNG").write_bytes((images / "a.png").read_bytes())
    assert run(make_bundle().folder, images, images / "c.png", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [Path(row["file"]).relative_to(images).as_posix() for row in rows] == [
        "a.png",
        "b.png",
        "c.png",
        "below/UPPER.PNG",
        "below/no-ending",
        "c.png",
    ]


def test_a_folder_is_read_like_a_data_set_and_files_not_used_are_listed(
    images: Path, make_bundle: MakeBundle, capsys: Capture
) -> None:
    data = (images / "a.png").read_bytes()
    for name in ("1.2.840.1.1", "IM000001", "x.jpg_large"):
        (images / name).write_bytes(data)
    for name in ("x.avif", "y.JP2", "z.jp2", "w.img", "no. doe"):
        (images / name).write_bytes(b"another format")
    # No exit status changes, and standard output stays what programs read.
    assert run(make_bundle().folder, images, "--format", "csv") == 0
    captured = capsys.readouterr()
    answered = [Path(row["file"]).name for row in csv.DictReader(io.StringIO(captured.out))]
    assert answered == ["1.2.840.1.1", "IM000001", "a.png", "b.png", "c.png", "x.jpg_large"]
    listed = read_tree(images)
    assert answered == [name for name, _, _ in listed.walk()]
    assert captured.err == (
        "plainfilm: 5 files are not of a known image format and not used: "
        "2 .jp2, 1 .avif, 1 .img, 1 with another suffix\n"
    )


def test_a_folder_with_nothing_to_open(
    tmp_path: Path, make_bundle: MakeBundle, capsys: Capture
) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "x.avif").write_bytes(b"x")
    assert run(make_bundle().folder, tmp_path / "some") == 1
    assert "1 .avif" in capsys.readouterr().err


def test_names_survive_csv_and_json(images: Path, make_bundle: MakeBundle, capsys: Capture) -> None:
    odd = images / 'a, "b"\n ü.png'
    try:
        odd.write_bytes((images / "a.png").read_bytes())
    except OSError:
        pytest.skip("this file system allows no such name")
    bundle = make_bundle().folder
    assert run(bundle, odd, "--format", "csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert row["file"] == str(odd)
    assert run(bundle, odd, "--format", "jsonl") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["file"] == str(odd)


def test_heat_maps_are_drawn_for_every_answer(
    images: Path, make_bundle: MakeBundle, tmp_path: Path, capsys: Capture
) -> None:
    (images / "b.png").write_bytes(b"no image")
    below = images / "below"
    below.mkdir()
    (below / "a.png").write_bytes((images / "a.png").read_bytes())
    maps = tmp_path / "new" / "maps"
    assert run(make_bundle().folder, images, "--heatmaps", maps, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 4, "the answers come all the same"
    drawn = sorted(maps.iterdir())
    assert [path.name for path in drawn] == ["000000-a.png", "000002-c.png", "000003-a.png"]
    for path in drawn:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.mode == "RGB"
            assert picture.size == (384, 384)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "default"}


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_a_reader_that_has_seen_enough(images: Path, make_bundle: MakeBundle, form: str) -> None:
    arguments = [str(images / "a.png")] * 2000
    command = [sys.executable, "-m", "plainfilm", "predict", str(make_bundle().folder), *arguments]
    process = subprocess.Popen(
        [*command, "--format", form],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    output = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 0, output
    assert "Traceback" not in output
    assert "BrokenPipe" not in output
    assert "Exception ignored" not in output


def test_statuses_reach_the_shell(images: Path, make_bundle: MakeBundle, tmp_path: Path) -> None:
    def status(*arguments: object) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "plainfilm", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        return done.returncode, done.stderr

    bundle = make_bundle().folder
    assert status("predict", bundle, images / "a.png") == (0, "")
    code, output = status("predict", tmp_path / "nowhere", images)
    assert (code, "Traceback" in output) == (1, False)
    code, output = status("predict", bundle, images, "--format", "xml")
    assert (code, "Traceback" in output) == (2, False)
    code, output = status("predict", tmp_path / "nowhere", images, "--debug")
    assert (code, "Traceback" in output, "BundleError" in output) == (1, True, True)


def test_a_name_cannot_command_the_terminal(
    tmp_path: Path, draw_grey: Draw, make_bundle: MakeBundle, capsys: Capture
) -> None:
    draw_grey(tmp_path / "odd" / "a\x1b[31m\nb.png", 200)
    assert run(make_bundle().folder, tmp_path / "odd", "--heatmaps", tmp_path / "maps") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("\n") == 2
    assert r"a\x1b[31m\nb.png" in out
    assert [path.name.isprintable() for path in (tmp_path / "maps").iterdir()] == [True]


def test_an_empty_folder_does_not_stop_the_others(
    make_bundle: MakeBundle,
    draw_grey: Draw,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = draw_grey(tmp_path / "a.png", 100)
    (tmp_path / "empty").mkdir()
    bundle = str(make_bundle().folder)
    assert main(["predict", bundle, str(tmp_path / "empty"), str(image)]) == 0
    captured = capsys.readouterr()
    assert "a.png" in captured.out
    assert f"the folder {tmp_path / 'empty'} contains no images" in captured.err
    assert main(["predict", bundle, str(tmp_path / "empty")]) == 1


def test_a_closed_output(make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path) -> None:
    command = f"{sys.executable} -m plainfilm predict {make_bundle().folder} "
    command += f"{draw_grey(tmp_path / 'a.png', 100)} --format csv >&-"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
