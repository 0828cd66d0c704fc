"""Every code block of the README and the docs runs, on small drawn data sets.

A block that cannot run here has a comment with the reason above it: ``<!-- not run: reason -->``.
To save time, trainings have one epoch and two seeds, a search has one trial, ``train`` and
``evaluate`` get ``--no-robustness``, networks are small, and reports are written on
two pages only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import public_sets
from docs_code import ROOT, Block, read_blocks
from onnx_networks import encoder, residual, write_samples
from plainfilm._files import write_json
from plainfilm.cli.main import main
from plainfilm.config import load
from plainfilm.data import load_dataset
from plainfilm.pacs.codes import read_codes
from plainfilm.pacs.ledger import Ledger
from plainfilm.pacs.state_folder import LEDGER, StateLock
from plainfilm.phantom import write_dataset
from plainfilm.report.pdf import find_browser
from s3_server import start_s3_server
from stand_ins import add_libraries

pytest.importorskip("keras")
pytest.importorskip("starlette")

pytestmark = pytest.mark.slow

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHORTER = {
    "--seeds 5": "--seeds 2",
    "--folds 5": "--folds 2",
    "plainfilm train": "plainfilm train --no-robustness",
    "plainfilm evaluate": "plainfilm evaluate --no-robustness",
    "plainfilm search": "plainfilm search --trials 1 --seeds 1",
    "--trials 30": "",
}
WITH_REPORTS = {"publish-an-evaluation.md", "use-from-python.md"}
OWN_TESTS = {"connect-to-a-pacs.md"}  # test_docs_hospital.py runs it
WITH_CODE = [
    page
    for page in PAGES
    if page.name not in OWN_TESTS and any(not block.reason for block in read_blocks(page))
]


def shortened(name: str | Path) -> tuple[str, str]:
    """Read a recipe, with one epoch and a small network."""
    text, stem = READ(name)
    for pattern, short in (
        (r"^epochs = .*$", "epochs = 1"),
        (r"^minimum_steps = .*$", "minimum_steps = 0"),
        (r"\bchannels = \[.*?\]", "channels = [8, 16]"),
    ):
        text = re.sub(pattern, short, text, flags=re.MULTILINE)
    return text, stem


READ = load._read


def shorten_reports(patch: pytest.MonkeyPatch) -> None:
    """Write pages of one line instead of reports."""

    def write(folder: Path, out: Path | None = None, **_: Any) -> Path:
        page = out or folder / "report.html"
        page.write_text("<p>shortened</p>", "utf-8")
        return page

    patch.setattr("plainfilm.report.rewrite_report", write)
    patch.setattr("plainfilm.report.write_report", lambda evaluation, **_: write(evaluation.folder))


@pytest.fixture(scope="module", autouse=True)
def short_recipes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "_read", shortened)
        yield


@pytest.fixture(scope="module")
def template(
    tmp_path_factory: pytest.TempPathFactory, own_cache: Path, short_recipes: None
) -> Path:
    """Make the folder in which the pages' commands run: data sets, runs and single images."""
    folder = tmp_path_factory.mktemp("docs")

    def draw(name: str, seed: int, **images: int) -> list[Path]:
        write_dataset(
            folder / name, images=images, seed=seed, size=96, subtlety=(0.0, 0.3), workers=1
        )
        return sorted((folder / name).rglob("*.jpeg"))

    draw("chest_xray", 1, train=120, test=40)
    write_json(folder / "demo" / "phantom.json", {"schema": 1, "images": 160, "seed": 0})
    shutil.copytree(folder / "chest_xray", folder / "demo" / "phantom")
    for name, seed in (("hospital_a", 2), ("hospital_b", 3)):
        draw(name, seed, train=80)
        for part in (folder / name / "train").iterdir():
            part.rename(folder / name / part.name)
        (folder / name / "train").rmdir()

    # A folder of two classes whose file names begin with the number of the patient, and its table.
    lines = ["file,finding,patient,split,age,pneumonia,effusion"]
    manifest = load_dataset(folder / "hospital_a")
    sick = manifest.label_array()[:, 0]
    for number, (record, label) in enumerate(zip(manifest.records, sick, strict=True)):
        name = f"{'effusion' if label else 'normal'}/{number // 2:04d}_{number % 2}.jpeg"
        (folder / "scans" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(record.path, folder / "scans" / name)
        split = "test" if number % 8 < 2 else "train"
        finding = "PNEUMONIA" if label else "NORMAL"
        other = "" if number % 7 == 0 else number % 2
        lines.append(f"{name},{finding},P-{number // 2},{split},{number % 5},{label:g},{other}")
    (folder / "images.csv").write_text("\n".join(lines) + "\n", "utf-8")

    # The calls of three readers of hospital_a, one in five of them wrong.
    reads = ["id,reader_1,reader_2,reader_3"]
    for number, (record, label) in enumerate(zip(manifest.records, sick, strict=True)):
        calls = [int(label != ((number + 2 * reader) % 5 == 0)) for reader in range(3)]
        reads.append(f"{record.id},{','.join(map(str, calls))}")
    (folder / "readers.csv").write_text("\n".join(reads) + "\n", "utf-8")

    # Scores of another classifier, of test and of validation images, and of hospital_a.
    for name, first in (("test_scores.csv", 0), ("validation_scores.csv", 40)):
        rows = [
            f"{k}.png,{('NORMAL', 'PNEUMONIA')[k % 2]},{(k * 7 % 10 + k % 2 * 5) / 15},P{k // 2}"
            for k in range(first, first + 40)
        ]
        text = "\n".join(["id,label,score,patient", *rows])
        (folder / name).write_text(text + "\n", "utf-8")
    scores = [f"{record.id},{(n * 7 % 10) / 10}" for n, record in enumerate(manifest.records)]
    (folder / "scores.csv").write_text("\n".join(["file,score", *scores]) + "\n", "utf-8")

    for name in public_sets.__all__:
        if name != "kermany":  # chest_xray is its structure
            getattr(public_sets, name)(folder)

    first, second, *_ = sorted((folder / "hospital_b").rglob("*.jpeg"))
    shutil.copy(first, folder / "image.jpeg")
    (folder / "more_images").mkdir()
    shutil.copy(second, folder / "more_images")
    write_dataset(folder / "dicom", images={"train": 4}, format="dicom", size=96, workers=1)
    shutil.copy(next((folder / "dicom").rglob("*.dcm")), folder / "one.dcm")
    write_dataset(folder / "png", images={"train": 4}, format="png", size=96, workers=1)
    shutil.copy(next((folder / "png").rglob("*.png")), folder / "two.png")

    residual(folder / "model.onnx", end="Sigmoid")
    write_samples(folder / "samples.npz", folder / "model.onnx")

    with StateLock(folder / "state"), Ledger.open(folder / "state" / LEDGER):
        pass  # the state folder of a service that has received nothing

    # What a page exports where PyTorch is installed.
    encoder(folder / "dinov2.onnx", output="tokens", channels=3, size=224)
    encoder(folder / "rad-dino.onnx", output="tokens", channels=3, size=518)
    encoder(folder / "densenet.onnx", size=224)

    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        shorten_reports(patch)
        for command in (
            "train chest_xray --out runs/first",
            "train chest_xray --out runs/second --seed 1 --no-robustness",
            "evaluate runs/first hospital_a hospital_b --out runs/first-external --no-robustness",
            "demo --out demo",
        ):
            assert main(command.split()) == 0
    for copy, run in (("standard", "first"), ("swift", "second")):
        shutil.copytree(folder / "runs" / run, folder / "runs" / copy)
    return folder


@dataclass
class Session:
    """Runs the blocks of one page in order."""

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    service: subprocess.Popen[bytes] | None = None
    port: int = 0

    def run(self, block: Block) -> None:
        """Run one block."""
        {
            "console": self.run_console,
            "python": self.run_python,
            "toml": self.write_toml,
            "json": json.loads,
        }[block.language](block.text)

    def run_python(self, text: str) -> None:
        if "import torch" in text and importlib.util.find_spec("torch") is None:
            return
        text = text.replace("folds=5", "folds=2")
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            if "import torch" in text:  # its exporter calls functions that are deprecated
                warnings.simplefilter("ignore", DeprecationWarning)
            exec(compile(text, "block", "exec"), self.names)

    def write_toml(self, text: str) -> None:
        """Write a recipe, or codes of labels, which are read at once."""
        values = tomllib.loads(text)
        path = self.folder / f"{values.get('name', 'codes')}.toml"
        path.write_text(text, "utf-8")
        if "labels" in values:
            codes = read_codes(path)
            assert all(
                codes.of(label).value == one["value"] for label, one in values["labels"].items()
            )

    def run_console(self, text: str) -> None:
        for line in text.replace("\\\n", " ").splitlines():
            for long, short in SHORTER.items():
                line = line.replace(long, short)
            if line.startswith("plainfilm serve"):
                self.serve(shlex.split(line)[1:])
            elif line.startswith("plainfilm "):
                self.call(shlex.split(line)[1:])
            else:
                self.shell(line)

    def call(self, arguments: list[str]) -> None:
        if "--pdf" in arguments and find_browser() is None:
            return
        status = main(arguments)
        assert status in ((0, 3) if "--strict" in arguments else (0,)), arguments

    def shell(self, line: str) -> None:
        line = re.sub(r"^python\b", shlex.quote(sys.executable), line)
        line = line.replace("localhost:8000", f"localhost:{self.port}")
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        if line.startswith("curl"):
            assert '"probabilities"' in done.stdout, done.stdout

    def serve(self, arguments: list[str]) -> None:
        self.stop()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "plainfilm", *arguments, "--port", str(self.port)]
        self.service = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(300):
            assert self.service.poll() is None, f"{arguments} ended"
            with contextlib.suppress(OSError):  # also a TimeoutError: it listens before it is ready
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).close()
                return
            time.sleep(0.1)
        pytest.fail(f"{arguments} did not become ready")

    def stop(self) -> None:
        if self.service is not None:
            self.service.terminate()
            assert self.service.wait(timeout=30) == 0
            self.service = None


@pytest.mark.parametrize(
    "page", WITH_CODE, ids=[page.relative_to(ROOT).as_posix() for page in WITH_CODE]
)
def test_the_blocks_of_a_page_run(
    page: Path, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(template, tmp_path / "docs")
    monkeypatch.chdir(folder)
    if page.name not in WITH_REPORTS:
        shorten_reports(monkeypatch)
    add_libraries(monkeypatch)
    session = Session(folder)
    with contextlib.ExitStack() as stack:
        stack.callback(session.stop)
        if "s3://" in page.read_text("utf-8"):
            stack.enter_context(object_store(folder / "more_images"))
        for block in read_blocks(page):
            if block.reason is None:
                session.run(block)


@contextlib.contextmanager
def object_store(images: Path) -> Iterator[None]:
    """Start an object store with the buckets that the docs name, the first with images."""
    from plainfilm.cluster.object_store import connect
    from plainfilm.cluster.open_store import open_store

    connect.cache_clear()
    with start_s3_server() as server:
        server.create_bucket("results")
        for path in images.iterdir():
            open_store("s3://radiographs/2014").put_new(path.name, path.read_bytes())
        yield
    connect.cache_clear()
