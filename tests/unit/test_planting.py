"""Each planted flaw is what its name says, and nothing else changes."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from plainfilm.phantom import write_dataset
from planting import FLAWS, plant
from planting.folder import ImageFile


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flaws") / "set"
    images = {"train": 36, "test": 12}
    return write_dataset(folder, images=images, size=72, seed=3, workers=1).folder


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "set"))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pixels(folder: Path, name: str) -> np.ndarray:
    with Image.open(folder / name) as picture:
        return np.asarray(picture).astype(np.float64)


def parse(name: str) -> ImageFile:
    return ImageFile(*name.split("/"))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    size = (32, 32)
    small = [
        np.asarray(Image.fromarray(p.astype(np.uint8)).convert("L").resize(size)).ravel()
        for p in (a, b)
    ]
    return float(np.corrcoef(*small)[0, 1])


@pytest.mark.parametrize("flaw", FLAWS)
def test_only_the_files_named_have_changed(clean, folder, flaw):
    before = contents(clean)
    planted = plant(folder, flaw, seed=4)
    after = contents(folder)
    named = {name for item in planted for name in item.files}
    changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    added = after.keys() - before.keys()
    assert planted
    assert all(item.kind == flaw for item in planted)
    assert changed | added <= named
    assert changed or added
    assert named <= after.keys()
    gone = before.keys() - after.keys()
    assert len(gone) == (len(planted) if flaw == "patient-leak" else 0)


@pytest.mark.parametrize("flaw", FLAWS)
def test_the_same_seed_plants_the_same(clean, folder, tmp_path, flaw):
    other = Path(shutil.copytree(clean, tmp_path / "other"))
    assert plant(folder, flaw, seed=4) == plant(other, flaw, seed=4)
    assert contents(folder) == contents(other)


@pytest.mark.parametrize("flaw", ["exact-duplicate", "contradicting-label", "leak-across-splits"])
def test_exact_copies(folder, flaw):
    before = hashes(folder)
    planted = plant(folder, flaw, count=4)
    assert len(planted) == 4
    after = hashes(folder)
    assert len(after) == len(before)
    for original, copy in (item.files for item in planted):
        assert (folder / original).read_bytes() == (folder / copy).read_bytes()
        a, b = parse(original), parse(copy)
        assert (a.split == b.split) == (flaw != "leak-across-splits")
        assert (a.label == b.label) == (flaw != "contradicting-label")
        assert (a.patient == b.patient) == (flaw == "exact-duplicate")
        if flaw == "leak-across-splits":
            assert a.split == "train"


def hashes(folder: Path) -> set[str]:
    return {hashlib.sha256(data).hexdigest() for data in contents(folder).values()}


@pytest.mark.parametrize("flaw", ["reencoded-duplicate", "near-duplicate"])
@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_copies_that_differ_in_bytes_show_the_same(folder, flaw, strength):
    for original, copy in (f.files for f in plant(folder, flaw, count=4, strength=strength)):
        assert (folder / original).read_bytes() != (folder / copy).read_bytes()
        assert parse(original).patient == parse(copy).patient
        a, b = pixels(folder, original), pixels(folder, copy)
        assert correlation(a, b) > 0.93
        if flaw == "reencoded-duplicate":
            assert a.shape == b.shape
            assert 0 < np.abs(a - b).mean() < 8
        elif strength == 1.0:
            assert a.shape != b.shape


def test_patient_leak_separates_the_images_of_one_patient(clean, folder):
    before = {Path(name).name: data for name, data in contents(clean).items()}
    for stays, moved in (item.files for item in plant(folder, "patient-leak", count=2)):
        assert (parse(stays).split, parse(moved).split) == ("train", "test")
        assert parse(stays).patient == parse(moved).patient
        assert (folder / moved).read_bytes() == before[Path(moved).name]
    splits = defaultdict(set)
    for name in contents(folder):
        splits[parse(name).label, parse(name).patient].add(parse(name).split)
    assert sum(len(found) > 1 for found in splits.values()) == 2


def test_damaged_files_cannot_be_decoded(folder):
    for flaw in ("truncated", "empty", "not-an-image"):
        for item in plant(folder, flaw, count=2):
            data = (folder / item.files[0]).read_bytes()
            assert (len(data) == 0) == (flaw == "empty")
            with (
                pytest.raises((OSError, UnidentifiedImageError)),
                Image.open(io.BytesIO(data)) as picture,
            ):
                picture.load()
            if flaw == "truncated":
                assert data[:2] == b"\xff\xd8"


def test_mislabelled_format_is_sound_under_a_wrong_ending(clean, folder):
    for item in plant(folder, "mislabelled-format"):
        name = item.files[0]
        assert name.endswith(".jpeg")
        with Image.open(folder / name) as picture:
            assert picture.format == "PNG"
        assert np.array_equal(pixels(folder, name), pixels(clean, name))


def test_defective_images(clean, folder):
    checks = {
        "blank": lambda old, new: new.std() < 1.0 < old.std(),
        "low-contrast": lambda old, new: np.ptp(new) < 45 and correlation(old, new) > 0.9,
        "inverted": lambda old, new: correlation(old, new) < -0.97,
        "rotated": lambda old, new: (
            max(correlation(np.rot90(old, k), new) for k in (1, 2, 3)) > 0.97
            and correlation(old, new) < 0.9
        ),
        "tiny": lambda old, new: max(new.shape) <= 40,
        "colour": lambda old, new: new.ndim == 3 and np.abs(np.diff(new, axis=2)).max() > 20,
        "burnt-in-text": lambda old, new: (
            (np.abs(new - old) > 80).mean() > 0.003 and correlation(old, new) > 0.5
        ),
    }
    used: set[str] = set()
    for flaw, check in checks.items():
        for item in plant(folder, flaw, count=3, seed=8, avoid=used):
            (name,) = item.files
            assert name not in used
            used.add(name)
            assert check(pixels(clean, name), pixels(folder, name)), (flaw, name)


def test_shortcut_border_is_on_the_positive_class_only(folder):
    (item,) = plant(folder, "shortcut-border")
    assert {name for name in contents(folder) if "PNEUMONIA" in name} == set(item.files)
    for name in contents(folder):
        picture = pixels(folder, name)
        edge = np.r_[picture[0], picture[-1], picture[:, 0], picture[:, -1]]
        assert (edge.mean() > 245) == ("PNEUMONIA" in name)


def test_shortcut_marker_is_on_the_positive_class_only(clean, folder):
    (item,) = plant(folder, "shortcut-marker", strength=1.0)
    for name in contents(folder):
        changed = pixels(folder, name) - pixels(clean, name)
        rows, columns = changed.shape
        corner = changed[int(0.83 * rows) : int(0.99 * rows), int(0.87 * columns) :]
        if "PNEUMONIA" in name:
            assert name in item.files
            # There is a bright letter; the rest differs only by compression.
            assert corner.max() > 60
            assert np.abs(changed[: rows // 2]).mean() < 3
        else:
            assert not changed.any()


@pytest.mark.parametrize("format", ["jpeg", "png"])
def test_shortcut_size_separates_the_classes(tmp_path, format):
    made = write_dataset(tmp_path / "set", images={"train": 16}, size=64, format=format, workers=1)
    plant(made.folder, "shortcut-size", strength=1.0)
    sizes = {name: len(data) for name, data in contents(made.folder).items()}
    ill = [size for name, size in sizes.items() if "PNEUMONIA" in name]
    well = [size for name, size in sizes.items() if "NORMAL" in name]
    assert max(ill) < min(well)


def test_shift_brightens_the_test_split(clean, folder):
    (item,) = plant(folder, "shift")
    assert set(item.files) == {name for name in contents(clean) if name.startswith("test/")}
    for name in item.files:
        assert pixels(folder, name).mean() > pixels(clean, name).mean() + 5


def test_rate_is_a_share_of_the_class(folder):
    ill = sum("PNEUMONIA" in name for name in contents(folder))
    (item,) = plant(folder, "shortcut-border", rate=0.5)
    assert len(item.files) == round(0.5 * ill)
    others = len(contents(folder)) - len(item.files)
    assert len(plant(folder, "empty", rate=0.1, avoid=item.files)) == round(0.1 * others)


def test_flaws_planted_one_after_the_other_do_not_overlap(tmp_path):
    flaws = ("exact-duplicate", "truncated", "inverted", "leak-across-splits")
    made = write_dataset(tmp_path / "set", images={"train": 30, "test": 10}, size=32, workers=1)
    named: list[str] = []
    for flaw in flaws:
        planted = plant(made.folder, flaw, avoid=named)
        assert [item.kind for item in planted] == [flaw] * 3
        named += [name for item in planted for name in item.files]
    assert len(named) == len(set(named))
    assert all((made.folder / name).exists() for name in named)


@pytest.mark.parametrize(
    "arguments",
    [
        {"flaw": "unknown"},
        {"flaw": "blank", "count": 1, "rate": 0.5},
        {"flaw": "blank", "count": 0},
        {"flaw": "blank", "rate": 2.0},
        {"flaw": "blank", "strength": -1.0},
        {"flaw": "blank", "count": 1000},
    ],
)
def test_invalid_arguments_change_nothing(clean, folder, arguments):
    with pytest.raises(ValueError):
        plant(folder, **arguments)
    assert contents(folder) == contents(clean)


def test_flaws_between_splits_need_two(tmp_path):
    made = write_dataset(tmp_path / "set", images={"train": 8}, size=24, workers=1)
    for flaw in ("leak-across-splits", "patient-leak", "shift"):
        with pytest.raises(ValueError, match="two"):
            plant(made.folder, flaw)


def test_a_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        plant(tmp_path, "blank")


def test_copies_and_damage_work_on_dicom_and_changes_of_pixels_do_not(tmp_path):
    made = write_dataset(
        tmp_path / "set", images={"train": 10, "test": 6}, size=24, format="dicom", workers=1
    )
    (item,) = plant(made.folder, "leak-across-splits", count=1)
    assert all(name.endswith(".dcm") for name in item.files)
    (item,) = plant(made.folder, "truncated", count=1, avoid=item.files)
    with pytest.raises(ValueError, match="0 files"):
        plant(made.folder, "inverted", count=1)
