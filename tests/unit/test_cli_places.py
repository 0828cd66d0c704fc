"""Output is not written into the data, and text of users is not a formula in a CSV file."""

from __future__ import annotations

import csv
import io
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm._csv import csv_text, neutral, original
from plainfilm.bundle import Bundle
from plainfilm.cli.main import main
from plainfilm.data import leave_out, load_dataset
from plainfilm.errors import SourceError

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]
Capture = pytest.CaptureFixture[str]

FORMULAS = ("=1+1.png", "+1.png", "-rf.png", "@x.png", "\tx.png", "＝1.png", "'=1.png")
ODD = (b"new\nline.png", b"\xff\xfe.png", b"tab\t.png", b"\x1b[31mred.png", b"\r.png")
ODD += ("\u202egnp.exe.png".encode(), b'comma,quote".png', b"<img src=x>.png", b"x" * 250 + b".png")


@pytest.fixture
def data(tmp_path: Path, draw_grey: Draw) -> Path:
    root = tmp_path / "data"
    for n in range(12):
        draw_grey(root / ("bright" if n % 2 else "dark") / f"{n}.png", 60 + 10 * n)
    return root


def run(capfd: Capture, *arguments: object) -> tuple[int, str, str]:
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse's way
        status = int(str(stop.code))
    out, error = capfd.readouterr()
    assert "Traceback" not in error
    assert "a defect" not in error
    return status, out, error


@pytest.mark.parametrize(
    "verb",
    [
        "train {data} --out {place}",
        "train {data} --cache {place} --out {out}",
        "evaluate {model} {data} --out {place}",
        "evaluate --predictions table.csv {data} --out {place}",
        "adapt {model} {data} --out {place}",
        "show {data} --out {place}/grid.png",
        "predict {model} {data} --heatmaps {place}",
        "audit {data} --cache {place}",
        "score {data} --bundle {model} --out {place}",
        "demo {data} --out {place}",
        "import net.onnx --labels bright --out {place} --validation {data}",
        "train table.csv --images {data} --out {place}",
    ],
)
@pytest.mark.parametrize("place", ["data", "data/new", "data/bright", "link/new", "x/../data/y"])
def test_output_in_the_data_is_refused(
    verb: str, place: str, data: Path, tmp_path: Path, capfd: Capture
) -> None:
    (tmp_path / "link").symlink_to(data)
    (tmp_path / "x").mkdir()
    where = {
        "data": data,
        "place": tmp_path / place,
        "model": tmp_path / "m",
        "out": tmp_path / "run",
    }
    before = sorted(data.rglob("*"))
    status, _, error = run(capfd, *(word.format(**where) for word in verb.split()))
    assert status == 2
    assert "is in a folder of the data" in error
    assert "remedy: name a folder outside the data" in error
    assert sorted(data.rglob("*")) == before


def test_output_in_the_data_is_refused_as_a_uri_too(data: Path, capfd: Capture) -> None:
    status, _, error = run(capfd, "score", data.as_uri(), "--bundle", "m", "--out", f"{data}/out")
    assert status == 2 and "is in a folder of the data" in error
    out = (data / "out").as_uri()
    status, _, error = run(capfd, "score", str(data), "--bundle", "m", "--out", out)
    assert status == 2 and "is in a folder of the data" in error


def test_output_around_the_data_is_refused(
    data: Path, make_bundle: MakeBundle, tmp_path: Path, capfd: Capture
) -> None:
    model = make_bundle().folder
    for option in ("--out", "--heatmaps"):
        words = ("train", data) if option == "--out" else ("predict", model, data)
        status, _, error = run(capfd, *words, option, tmp_path)
        assert status == 2
        assert f"{option} contains the data" in error


def test_the_variable_of_the_cache_is_checked(
    data: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setenv("PLAINFILM_CACHE", str(data / "cache"))
    status, _, error = run(capfd, "audit", data)
    assert status == 2
    assert "PLAINFILM_CACHE is in a folder of the data" in error


def test_a_grid_does_not_replace_an_image_of_a_table(data: Path, capfd: Capture) -> None:
    table = data.parent / "table.csv"
    rows = [f"data/bright/{n}.png,{'a' if n % 4 == 1 else 'b'}" for n in range(1, 12, 2)]
    table.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    before = (data / "bright" / "1.png").read_bytes()
    status, _, error = run(capfd, "show", table, "--out", data / "bright" / "1.png")
    assert status == 2
    assert "would overwrite an image" in error
    assert (data / "bright" / "1.png").read_bytes() == before


def test_formulas_are_neutral_and_come_back() -> None:
    for text in (*FORMULAS, "-٣", "=cmd|' /C calc'!A0", "''@", "'tis", "a=b", "", "'"):
        made = neutral(text)
        assert not made.startswith(("=", "+", "-", "@", "\t", "＝"))
        assert original(made) == text
    numbers = ("-0.5", "+1e-05", "-1.2 to 0.3", "12 %", "0.5")
    assert [neutral(text) for text in numbers] == [*numbers]
    assert csv_text([("=x", -1.5, None, True)]) == "'=x,-1.5,,True\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not allow these names")
def test_predictions_of_odd_names(
    data: Path, make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path, capfd: Capture
) -> None:
    scans = os.fsencode(tmp_path / "scans")
    for name in (*ODD, *(name.encode() for name in FORMULAS)):
        draw_grey(Path(os.fsdecode(os.path.join(scans, name))), 200)  # noqa: PTH118
    words = ("predict", make_bundle().folder, tmp_path / "scans")
    for form in ("table", "csv", "jsonl"):
        status, out, _ = run(capfd, *words, "--format", form)
        assert status == 0
        assert "\x1b" not in out or form == "csv"
    heatmaps = tmp_path / "heat"
    more = [*words, "--format", "csv", "--heatmaps", heatmaps]
    status, out, _ = run(capfd, *more)
    assert status == 0
    rows = [*csv.DictReader(io.StringIO(out, newline=""))]
    assert len(rows) == len(ODD) + len(FORMULAS)
    assert {row["predicted"] for row in rows} == {"bright"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_special_files_and_loops_of_a_folder_are_rows_or_left_out(
    data: Path, make_bundle: MakeBundle, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data / "bright"
    os.mkfifo(folder / "pipe.png")
    monkeypatch.chdir(folder)  # the name of a socket may have 108 bytes
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket.png")
    links = {"self.png": "self.png", "zero.png": "/dev/zero", "gone.png": "/nowhere"}
    links |= {"to-pipe.png": "pipe.png", "to-pipe": "pipe.png", "a": "b", "b": "a", "up": ".."}
    links |= {"again": ".", "folder.png": "."}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    status, out, error = run(capfd, "predict", make_bundle().folder, data)
    assert status == 0
    assert out.count("no prediction") == 4
    assert "no prediction for 4 of 16 files" in error
    manifest = load_dataset(data)
    assert len(manifest) == 12
    assert len(manifest.left_out) == 4


@pytest.mark.skipif(os.name == "nt", reason="Windows has other links")
def test_folders_that_link_to_each_other_end(data: Path) -> None:
    folders = [data / "dark" / f"{n}" for n in range(12)]
    for folder in folders:
        folder.mkdir()
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    manifest = load_dataset(data, label_pattern="(bright|dark)")
    assert len(manifest) == 12
    assert "unreadable-folders" in {found.check for found in manifest.findings}


def test_a_folder_of_many_levels_ends(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data / "dark")
    for _ in range(450):
        Path("d").mkdir()
        monkeypatch.chdir("d")
    manifest = load_dataset(data)
    assert len(manifest) == 12
    assert "unreadable-folders" in {found.check for found in manifest.findings}


@pytest.mark.skipif(os.name == "nt", reason="Windows names are UTF-16")
def test_a_root_that_is_not_utf_8_is_an_error_with_its_remedy(data: Path) -> None:
    root = data.rename(os.fsdecode(os.fsencode(data) + b"\xff"))
    with pytest.raises(SourceError) as error:
        load_dataset(root)
    assert "rename the folder" in str(error.value)


def test_ids_that_look_like_formulas_are_excluded(data: Path, tmp_path: Path) -> None:
    for name in ("=1.png", "-1.png", "'=2.png"):
        (data / "dark" / "0.png").rename(data / "dark" / name)
        (data / "dark" / "0.png").write_bytes((data / "dark" / name).read_bytes())
    listed = [f"dark/{name}" for name in ("=1.png", "-1.png")]
    rows = [("id", "check"), *((name, "x") for name in listed)]
    (tmp_path / "list.csv").write_text(csv_text(rows), encoding="utf-8")
    assert {own.id for own in leave_out(load_dataset(data), tmp_path / "list.csv").left_out} == {
        *listed
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_or_device_as_a_network_is_an_error(tmp_path: Path, capfd: Capture) -> None:
    pytest.importorskip("onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "device.onnx").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        words = ("--labels", "bright", "--out", tmp_path / "out")
        status, _, error = run(capfd, "import", tmp_path / f"{name}.onnx", *words)
        assert status == 2
        assert "not a regular file" in error
