"""The files of a bundle are read once, and what was verified is what is used."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainfilm.bundle import Bundle, TrainingImages, read_bundle, sealed
from plainfilm.bundle.sealed import SealedFolder
from plainfilm.errors import BundleError
from plainfilm.runtime import Predictor

MakeBundle = Callable[..., Bundle]
KNOWN = TrainingImages(
    np.arange(3, dtype=np.uint64),
    np.zeros(0, np.uint64),
    "",
    np.zeros((0, 1), np.uint8),
    np.zeros(4, np.float32),
    np.zeros((4, 2), np.float16),
    np.zeros(2, np.float32),
)


def test_files_replaced_while_the_bundle_is_verified_are_not_used(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, other = make_bundle(), make_bundle(tmp_path / "other", gains=(-1.0,))
    pixels = np.full((1, 16, 16), 200, np.uint8)
    before = Predictor(bundle).probabilities(pixels)
    verify = SealedFolder.verify

    def swap(folder: SealedFolder, name: str) -> None:
        verify(folder, name)
        shutil.copy(other.graph, bundle.graph)
        path = bundle.folder / "bundle.json"
        content = json.loads(path.read_text("utf-8"))
        content["points"][0]["point"]["threshold"] = 0.999
        path.write_text(json.dumps(content), "utf-8")

    monkeypatch.setattr(SealedFolder, "verify", swap)
    predictor = Predictor(bundle.folder)
    assert predictor.bundle.id == bundle.id
    assert predictor.bundle.points == bundle.points
    assert np.array_equal(predictor.probabilities(pixels), before)
    assert not np.array_equal(Predictor(other).probabilities(pixels), before)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("weights.safetensors", Bundle.read_weights),
        ("MODEL_CARD.md", Bundle.read_card),
        ("training_images.npz", Bundle.read_training_images),
        ("network.onnx", lambda bundle: bundle.without_graph().read_graph()),
    ],
)
def test_files_replaced_after_the_bundle_was_read_are_refused(
    make_bundle: MakeBundle, name: str, read: Callable[[Bundle], object]
) -> None:
    bundle = read_bundle(make_bundle(training_images=KNOWN).folder)
    assert read(bundle)
    with open(bundle.folder / name, "ab") as file:
        file.write(b" ")
    with pytest.raises(BundleError, match=f"changed after it was sealed: {name}"):
        read(bundle)
    (bundle.folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        read(bundle)


def test_a_service_keeps_no_second_copy_of_the_graph(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    assert Predictor(bundle, threads=1).bundle._graph is None
    assert Predictor(bundle).bundle._graph is bundle._graph is not None


def replace_with(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(replace_with(Path.mkdir), id="a folder"),
        pytest.param(replace_with(lambda path: os.mkfifo(path)), id="a pipe without a writer"),
        pytest.param(replace_with(lambda path: path.symlink_to("/dev/zero")), id="a device"),
        pytest.param(replace_with(lambda path: path.symlink_to(path)), id="a link to itself"),
        pytest.param(lambda path: os.truncate(path, 1 << 40), id="a sparse tebibyte"),
    ],
)
@pytest.mark.parametrize(
    "name", ["SHA256SUMS", "bundle.json", "network.onnx", "weights.safetensors", "MODEL_CARD.md"]
)
def test_a_file_that_is_not_a_bounded_regular_file_is_refused(
    make_bundle: MakeBundle, name: str, change: Callable[[Path], None]
) -> None:
    bundle = make_bundle()
    change(bundle.folder / name)
    with pytest.raises(BundleError, match=r"cannot be read|is not a bundle") as caught:
        read_bundle(bundle.folder)
    assert caught.value.received


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"{64 * '0'}  ../t.png", "outside the folder"),
        (f"{64 * '0'}  /etc/passwd", "outside the folder"),
        (f"{64 * '0'}  a\\b", "outside the folder"),
        (f"{64 * '0'}  ..", "outside the folder"),
        (f"{64 * '0'}  ", "not a hash and a name"),
        (f"{64 * 'G'}  MODEL_CARD.md", "not a hash and a name"),
        (f"{64 * '0'} MODEL_CARD.md", "not a hash and a name"),
        (f"{64 * '0'}  MODEL_CARD.md", "lists a file twice"),
        (f"{64 * '0'}  SHA256SUMS", "lists itself"),
    ],
)
def test_sums_that_contradict_themselves_are_refused(
    make_bundle: MakeBundle, line: str, problem: str
) -> None:
    sums = make_bundle().folder / sealed.SUMS
    sums.write_text(f"{sums.read_text('ascii')}{line}\n", "ascii")
    with pytest.raises(BundleError, match=problem):
        read_bundle(sums.parent)


def test_sums_have_a_largest_size(make_bundle: MakeBundle) -> None:
    sums = make_bundle().folder / sealed.SUMS
    sums.write_text(sums.read_text("ascii") * 1000, "ascii")
    with pytest.raises(BundleError, match="is not a bundle") as caught:
        read_bundle(sums.parent)
    assert "more than 65,536" in str(caught.value.received)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"contents": np.zeros(3, np.int64)}, id="another type"),
        pytest.param({"contents": np.zeros((), np.uint64)}, id="no axis"),
        pytest.param({"views": np.zeros((0, 3), np.uint8)}, id="another number of bits"),
        pytest.param({"mean": np.array(["a"])}, id="text"),
        pytest.param({"mean": np.array([{}], object)}, id="objects"),
    ],
)
def test_training_images_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    import io
    from dataclasses import fields

    arrays = {field.name: getattr(KNOWN, field.name) for field in fields(KNOWN)}
    arrays["salt"] = np.zeros(0, np.uint8)
    assert len(TrainingImages.parse(KNOWN.to_bytes(), "t")) == 3
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, schema=np.array(1), **(arrays | change))
        with pytest.raises(BundleError, match="t cannot be read"):
            TrainingImages.parse(file.getvalue(), "t")
