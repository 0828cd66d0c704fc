"""The synthetic data set has the right layout, names, patients and formats, and is reproducible."""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.errors import StorageError, UsageError
from plainfilm.phantom import Collection, write_dataset

IMAGES = {"train": 60, "test": 20}


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("phantom") / "set"
    return write_dataset(folder, images=IMAGES, size=48, seed=5, workers=1)


def test_the_drawings_are_the_files(written):
    assert len(written) == 80
    assert {drawing.name for drawing in written} == set(digests(written.folder))
    for drawing in written:
        with Image.open(written.folder / drawing.name) as picture:
            assert picture.format == "JPEG"
            assert picture.mode == "L"
            assert picture.size == (drawing.width, drawing.height)


def test_layout_counts_and_balance(written):
    counts = Counter(str(Path(drawing.name).parent.as_posix()) for drawing in written)
    assert counts == {
        "train/NORMAL": 24, "train/PNEUMONIA": 36, "test/NORMAL": 8, "test/PNEUMONIA": 12
    }  # fmt: skip
    series = Counter(d.series for d in written if d.split == "train")
    assert series == {"normal": 24, "bacteria": 22, "virus": 14}
    assert all(d.label == ("PNEUMONIA" in d.name) for d in written)


def test_names_follow_the_public_set(written):
    normal = re.compile(r"\w+/NORMAL/IM-(\d{4})-(\d{4})\.jpeg")
    ill = re.compile(r"\w+/PNEUMONIA/person(\d+)_(bacteria|virus)_(\d+)\.jpeg")
    numbers = defaultdict(list)
    for drawing in written:
        match = (ill if drawing.label else normal).fullmatch(drawing.name)
        assert match
        assert int(match[1]) == drawing.number
        if drawing.label:
            assert match[2] == drawing.series
            numbers[match[2]].append(int(match[3]))
    # Bacteria and virus have separate numbers, each image its own.
    for found in numbers.values():
        assert sorted(found) == list(range(1, len(found) + 1))


def test_no_patient_is_in_two_splits_or_classes(written):
    places = defaultdict(set)
    for drawing in written:
        places[drawing.patient].add((drawing.split, drawing.label))
    assert all(len(place) == 1 for place in places.values())
    assert len(places) < len(written)


def test_no_two_images_are_alike(written):
    assert len(set(digests(written.folder).values())) == len(written)


def test_same_seed_same_bytes_other_seed_other_bytes(written, tmp_path):
    again = write_dataset(tmp_path / "again", images=IMAGES, size=48, seed=5, workers=1)
    assert again.drawings == written.drawings
    assert digests(again.folder) == digests(written.folder)
    other = write_dataset(tmp_path / "other", images={"train": 8}, size=48, seed=6, workers=1)
    assert not set(digests(other.folder).values()) & set(digests(written.folder).values())


def test_any_number_of_workers_writes_the_same(written, tmp_path):
    two = write_dataset(tmp_path / "two", images=IMAGES, size=48, seed=5, workers=2)
    assert digests(two.folder) == digests(written.folder)


def test_progress_counts_up_to_the_end(tmp_path):
    heard: list[tuple[str, int, int]] = []

    def listen(stage: str, done: int, total: int, note: str = "") -> None:
        heard.append((stage, done, total))

    write_dataset(tmp_path / "set", images={"train": 20}, size=24, workers=1, progress=listen)
    assert heard[0] == ("drawing images", 0, 20)
    assert heard[-1] == ("drawing images", 20, 20)
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)


def test_prevalence_and_subtlety_are_as_requested(tmp_path):
    made = write_dataset(
        tmp_path / "set", images={"train": 20, "validation": 4}, size=24, prevalence=0.25,
        bacteria=1.0, subtlety=(0.5, 0.6), format="png", workers=1,
    )  # fmt: skip
    assert Counter(d.series for d in made) == {"normal": 18, "bacteria": 6}
    assert all(0.5 <= d.subtlety <= 0.6 for d in made if d.label)
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in made.folder.rglob("*.png"))
    assert len(list(made.folder.rglob("*.png"))) == 24


@pytest.mark.parametrize(
    "arguments",
    [
        {"format": "gif"},
        {"images": {}},
        {"images": {"train": 0}},
        {"images": {"../out": 3}},
        {"prevalence": 1.2},
        {"bacteria": -0.1},
        {"subtlety": (0.9, 0.1)},
        {"workers": 0},
    ],
)
def test_bad_arguments_write_nothing(tmp_path, arguments):
    with pytest.raises(UsageError):
        write_dataset(tmp_path / "set", **{"images": {"train": 4}, "size": 24, **arguments})
    assert not (tmp_path / "set").exists()


def test_a_folder_in_use_is_rejected(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not empty"):
        write_dataset(tmp_path, images={"train": 4}, size=24)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_path_that_cannot_be_a_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        write_dataset(tmp_path / "file", images={"train": 4}, size=24)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_a_storage_error(tmp_path):
    from plainfilm.phantom.dataset import _draw_batch

    made = write_dataset(tmp_path / "set", images={"train": 2}, size=24, workers=1)
    target = made.folder / made.drawings[0].name
    target.unlink()
    target.symlink_to("/dev/full")
    with pytest.raises(StorageError, match="full"):
        _draw_batch(made.folder, made.drawings, 0, "jpeg")


@pytest.fixture(scope="module")
def dicoms(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("phantom") / "dicom"
    return write_dataset(folder, images={"train": 24}, size=40, format="dicom", workers=1)


def test_dicom_files_are_valid_dx_of_12_bit(dicoms):
    from pydicom import dcmread

    kinds, identities = set(), defaultdict(set)
    for drawing in dicoms:
        data = dcmread(dicoms.folder / drawing.name)
        assert data.SOPClassUID.name == "Digital X-Ray Image Storage - For Presentation"
        assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
        assert data.SOPInstanceUID.is_valid
        assert (data.Modality, data.BitsAllocated, data.BitsStored, data.HighBit) == (
            "DX", 16, 12, 11
        )  # fmt: skip
        assert data.ViewPosition in ("PA", "AP")
        assert data.pixel_array.shape == (drawing.height, drawing.width)
        assert 256 < int(data.pixel_array.max()) <= 4095
        assert str(data.PatientID).startswith("SYNTHETIC-")
        assert str(data.PatientName).startswith("SYNTHETIC^")
        kinds.add(data.PhotometricInterpretation)
        identities[data.PatientID].add(drawing.patient)
    assert kinds == {"MONOCHROME1", "MONOCHROME2"}
    assert all(len(patients) == 1 for patients in identities.values())
    assert len(identities) == len({drawing.patient for drawing in dicoms})
    uids = [dcmread(dicoms.folder / d.name, stop_before_pixels=True).SOPInstanceUID for d in dicoms]
    assert len(set(uids)) == len(uids)


def test_dicom_window_shows_bone_bright_in_both_polarities(dicoms):
    from pydicom import dcmread
    from pydicom.pixels import apply_voi_lut

    for drawing in dicoms:
        data = dcmread(dicoms.folder / drawing.name)
        shown = apply_voi_lut(data.pixel_array, data).astype(np.float64)
        shown = (shown - shown.min()) / np.ptp(shown)
        if data.PhotometricInterpretation == "MONOCHROME1":
            shown = 1.0 - shown
        rows, columns = shown.shape
        spine = shown[int(0.55 * rows) : int(0.7 * rows), int(0.46 * columns) : int(0.54 * columns)]
        corner = shown[: rows // 12, : columns // 8]
        assert spine.mean() > corner.mean() + 0.2


def test_dicom_bytes_are_reproducible(dicoms, tmp_path):
    again = write_dataset(
        tmp_path / "dicom", images={"train": 24}, size=40, format="dicom", workers=1
    )
    assert digests(again.folder) == digests(dicoms.folder)


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    from scipy.stats import mannwhitneyu

    ill, well = scores[labels == 1], scores[labels == 0]
    return float(mannwhitneyu(ill, well).statistic / (len(ill) * len(well)))


def test_shortcuts_are_weak(tmp_path):
    made = write_dataset(
        tmp_path / "set", images={"train": 240}, size=64, seed=9, prevalence=0.5, workers=1
    )
    metadata = []
    for drawing in made:
        data = (made.folder / drawing.name).read_bytes()
        pixels = np.asarray(Image.open(io.BytesIO(data)), dtype=np.float64)
        edge = np.r_[pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
        metadata.append(
            [pixels.mean(), pixels.std(), edge.mean(), len(data), pixels.size,
             drawing.width / drawing.height, *np.quantile(pixels, [0.1, 0.5, 0.9])]
        )  # fmt: skip
    labels = np.array([drawing.label for drawing in made])
    for column in np.array(metadata).T:
        assert 0.25 < auroc(labels, column) < 0.75
