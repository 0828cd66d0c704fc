"""Class folders are listed as a manifest."""

from __future__ import annotations

import csv
import os
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import LabelError, SourceError, UsageError

DATA = Path(os.environ.get("PLAINFILM_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(
    not (DATA / "kermany224").is_dir(), reason="the real images of PLAINFILM_DATA are not here"
)


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def checks(manifest: Manifest) -> dict[str, int]:
    return {found.check: found.count for found in manifest.findings}


def groups(manifest: Manifest) -> list[int]:
    """Return for each image the position of the first image of its patient."""
    patients = manifest.patients.tolist()
    return [patients.index(patient) for patient in patients]


def kaggle(root: Path) -> Path:
    return put(
        root,
        *(f"train/NORMAL/IM-000{i}-0001.jpeg" for i in range(3)),
        *(f"train/PNEUMONIA/person{i}_bacteria_{i}.jpeg" for i in range(4)),
        "val/NORMAL/NORMAL2-IM-0009-0001.jpeg",
        "val/PNEUMONIA/person7_virus_1.jpeg",
        "test/NORMAL/IM-0050-0001.jpeg",
        "test/PNEUMONIA/person7_bacteria_9.jpeg",
    )


def test_kaggle_layout(tmp_path: Path) -> None:
    manifest = load_dataset(kaggle(tmp_path / "chest_xray"))
    assert manifest.name == "chest_xray"
    assert manifest.task.kind == "binary"
    assert manifest.task.labels == ("PNEUMONIA",)
    assert manifest.task.classes == ("NORMAL", "PNEUMONIA")
    assert Counter(r.official for r in manifest.records) == {"train": 7, "validation": 2, "test": 2}
    assert all(r.split is None for r in manifest.records)
    assert manifest.ids.tolist() == sorted(manifest.ids.tolist())
    by_id = {record.id: record for record in manifest.records}
    virus = by_id["val/PNEUMONIA/person7_virus_1.jpeg"]
    bacteria = by_id["test/PNEUMONIA/person7_bacteria_9.jpeg"]
    assert virus.labels == (1.0,)
    assert re.fullmatch(r"p[0-9a-f]{16}", virus.patient)
    assert virus.columns == {"subgroup": "virus"}
    assert bacteria.patient != virus.patient
    assert Path(virus.path).read_bytes() == b"val/PNEUMONIA/person7_virus_1.jpeg"
    assert "patient-unknown" not in checks(manifest)


def test_archive_that_contains_its_folders_twice(tmp_path: Path) -> None:
    outer = kaggle(tmp_path / "archive" / "chest_xray")
    kaggle(outer / "chest_xray")
    put(outer / "__MACOSX", "train/NORMAL/._IM-0000-0001.jpeg", "train/NORMAL/x.jpeg")
    put(outer, "train/NORMAL/.DS_Store", "train/NORMAL/.hidden.jpeg", ".git/x/y.png")
    manifest = load_dataset(tmp_path / "archive")
    assert len(manifest) == 11
    assert checks(manifest)["repeated-folder"] == 11
    # The parent folders do not matter.
    alone = load_dataset(kaggle(tmp_path / "other"))
    assert manifest.hash == alone.hash


def test_only_the_nested_tree(tmp_path: Path) -> None:
    kaggle(tmp_path / "chest_xray" / "chest_xray")
    manifest = load_dataset(tmp_path)
    assert len(manifest) == 11
    assert manifest.records[0].id.startswith("test/")


def test_nested_tree_that_differs_is_a_warning(tmp_path: Path) -> None:
    outer = kaggle(tmp_path / "chest_xray")
    put(kaggle(outer / "chest_xray"), "train/NORMAL/IM-9999-0001.jpeg")
    manifest = load_dataset(outer)
    doubled = next(found for found in manifest.findings if found.check == "repeated-folder")
    assert doubled.severity == "warning"
    assert "1 other image" in doubled.problem
    assert len(manifest) == 11


def test_folder_next_to_the_splits_is_reported(tmp_path: Path) -> None:
    put(kaggle(tmp_path), "unlabelled/a.png", "unlabelled/b.png", "train/loose.png")
    assert checks(load_dataset(tmp_path))["ignored-folders"] == 2
    assert checks(load_dataset(tmp_path))["loose-images"] == 1


@pytest.mark.parametrize(
    "names", [("train", "validation"), ("Training", "VALID"), ("training_set", "dev")]
)
def test_names_of_splits(tmp_path: Path, names: tuple[str, str]) -> None:
    put(tmp_path, *(f"{part}/{label}/1.png" for part in names for label in ("a", "b")))
    assert Counter(r.official for r in load_dataset(tmp_path).records) == {
        "train": 2,
        "validation": 2,
    }


def test_splits_below_the_classes(tmp_path: Path) -> None:
    put(tmp_path, "NORMAL/train/1.png", "NORMAL/test/2.png", "SICK/train/3.png", "SICK/test/4.png")
    manifest = load_dataset(tmp_path)
    assert [r.official for r in manifest.records] == ["test", "train", "test", "train"]
    assert manifest.task.classes == ("NORMAL", "SICK")


def test_classes_include_their_subfolders(tmp_path: Path) -> None:
    put(tmp_path, "no finding/p1/s1/1.png", "effusion/p2/2.dcm", "effusion/3", "effusion/1.2.840.7")
    manifest = load_dataset(tmp_path)
    assert manifest.task.labels == ("effusion",)
    assert len(manifest) == 4
    assert checks(manifest)["patient-unknown"] == 4
    assert {r.patient for r in manifest.records} == set(manifest.ids.tolist())


def test_more_classes(tmp_path: Path) -> None:
    put(tmp_path, "covid/1.png", "Normal/2.png", "tb/3.png")
    manifest = load_dataset(tmp_path)
    assert manifest.task.kind == "multiclass"
    assert manifest.task.labels == ("covid", "Normal", "tb")
    assert manifest.label_array().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]  # Normal/2 is first
    with pytest.raises(UsageError, match="two classes"):
        load_dataset(tmp_path, positive="tb")


@pytest.mark.parametrize(
    ("names", "positive"),
    [
        (("Normal", "Abnormal"), "Abnormal"),
        (("sick", "HEALTHY"), "sick"),
        (("No_Finding", "Cardiomegaly"), "Cardiomegaly"),
        (("0", "1"), "1"),
        (("pneumonia", "no pneumonia"), "pneumonia"),
        (("control", "case"), "case"),
        (("bacteria", "virus"), "virus"),
    ],
)
def test_which_class_is_positive(tmp_path: Path, names: tuple[str, str], positive: str) -> None:
    put(tmp_path, *(f"{name}/{name}.png" for name in names))
    manifest = load_dataset(tmp_path)
    assert manifest.task.labels == (positive,)
    assert ("positive-class" in checks(manifest)) == ("virus" in names)
    other = next(name for name in names if name != positive)
    swapped = load_dataset(tmp_path, positive=other.upper())
    assert swapped.task.labels == (other,)
    assert (swapped.label_array() + manifest.label_array() == 1).all()


def test_positive_must_be_a_class(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/2.png")
    with pytest.raises(UsageError, match="not one of the classes"):
        load_dataset(tmp_path, positive="c")


def test_classes_that_differ_only_in_case_are_merged(tmp_path: Path) -> None:
    put(tmp_path, "train/NORMAL/1.png", "train/NORMAL/2.png", "train/sick/3.png")
    put(tmp_path, "test/normal/4.png", "test/sick/5.png")
    manifest = load_dataset(tmp_path)
    assert manifest.task.classes == ("NORMAL", "sick")
    assert checks(manifest)["classes-merged"] == 1


def test_empty_and_missing_files_and_other_suffixes(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/2.png", "b/notes.txt", "b/report.pdf")
    (tmp_path / "a" / "0.png").touch()
    (tmp_path / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    manifest = load_dataset(tmp_path)
    assert [(item.id, item.reason) for item in manifest.left_out] == [
        ("a/0.png", "empty"),
        ("b/gone.png", "missing"),
    ]
    assert checks(manifest)["other-files"] == 2
    (problem,) = (found.problem for found in manifest.findings if found.check == "other-files")
    assert problem.startswith("2 files are not of a known image format")
    assert problem.endswith(": 1 .pdf, 1 .txt")
    assert len(manifest) == 2


@pytest.mark.skipif(os.name == "nt", reason="file names are text on Windows")
def test_file_names_that_are_not_utf8_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/2.png")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/\xff.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system allows only UTF-8 names")
    manifest = load_dataset(tmp_path)
    assert [(item.id, item.reason) for item in manifest.left_out] == [
        ("a/\\udcff.png", "invalid-name")
    ]
    manifest.write(tmp_path / "m.parquet")
    assert Manifest.read(tmp_path / "m.parquet").hash == manifest.hash


def test_loops_of_links(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "b" / "self").symlink_to(tmp_path / "b")
    assert len(load_dataset(tmp_path)) == 2


def test_one_file_under_two_classes(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "b" / "1.png").symlink_to(tmp_path / "a" / "1.png")
    with pytest.raises(LabelError, match="1 file has several labels"):
        load_dataset(tmp_path)


def test_one_file_in_two_splits_is_serious(tmp_path: Path) -> None:
    put(tmp_path, *(f"{p}/{c}/{p}.png" for p in ("train", "test") for c in "ab"))
    (tmp_path / "test" / "a" / "copy.png").symlink_to(tmp_path / "train" / "a" / "train.png")
    (tmp_path / "train" / "a" / "twice.png").symlink_to(tmp_path / "train" / "a" / "train.png")
    manifest = load_dataset(tmp_path)
    assert len(manifest) == 5
    assert checks(manifest)["repeated-files"] == 1
    found = next(f for f in manifest.findings if f.check == "file-in-several-splits")
    assert found.severity == "serious"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "no image"),
        (("a/readme.txt",), "no image"),
        (("a/1.png",), "only one class"),
        (("train/a/1.png", "test/a/2.png"), "only one class"),
        (("1.png", "2.png"), "contains images but no class folders"),
        (tuple(f"p{i}/1.png" for i in range(101)), "too many"),
    ],
)
def test_unusable_folders(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    put(tmp_path, *names)
    with pytest.raises(SourceError, match=message):
        load_dataset(tmp_path)


def test_empty_class_folder(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/notes.txt")
    with pytest.raises(SourceError) as caught:
        load_dataset(tmp_path)
    assert "class folder" in caught.value.problem
    assert caught.value.received == "test/b"


def test_missing_root_and_no_root(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no folder"):
        load_dataset()
    with pytest.raises(UsageError, match="for tables"):
        load_dataset(put(tmp_path, "a/1.png", "b/2.png"), labels="label")


def test_pattern_for_patients(tmp_path: Path) -> None:
    put(tmp_path, "a/x1_1.png", "a/x1_2.png", "b/x2_1.png", "b/other.png")
    manifest = load_dataset(tmp_path, patient=r"^(x\d)_")
    assert groups(manifest) == [0, 0, 2, 3]
    assert manifest.patients[2] == "b/other.png"  # of whom nothing is known
    assert not any("x" in patient for patient in manifest.patients[[0, 1, 3]])
    assert checks(manifest)["patient-unknown"] == 1
    with pytest.raises(UsageError, match="matches no file name"):
        load_dataset(tmp_path, patient=r"^(zzz)")


def test_a_pattern_means_one_patient_within_one_data_set(tmp_path: Path) -> None:
    for site in ("north", "south"):
        put(tmp_path / site, "a/x1_1.png", "a/x1_2.png", "b/x2_1.png")
    manifest = load_dataset(tmp_path / "north", tmp_path / "south", patient=r"^(x\d)_")
    assert groups(manifest) == [0, 0, 2, 3, 3, 5]
    assert checks(manifest)["patient-names-shared"] == 2


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "val")])
def test_split_folders_in_one_folder_are_one_data_set(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    for name in names:
        put(tmp_path / name, "a/x1_1.png", "b/x2_1.png")
    manifest = load_dataset(*(tmp_path / name for name in names), patient=r"^(x\d)_")
    assert groups(manifest) == [0, 1, 0, 1]
    assert "patient-names-shared" not in checks(manifest)


def test_copies_of_a_published_data_set_share_patients(tmp_path: Path) -> None:
    for copy in ("small", "originals"):
        put(tmp_path / copy, "a/IM-0001-0001.png", "b/person1_virus_1.png")
    assert groups(load_dataset(tmp_path / "small", tmp_path / "originals")) == [0, 1, 0, 1]
    # Patients of a pattern differ from those of a naming convention.
    put(tmp_path / "other", "a/IM-0001-0002.png", "b/9_virus.png")
    keys = {
        load_dataset(tmp_path / n, patient=r"^(IM-\d+|9)").patients[0] for n in ("small", "other")
    }
    known = load_dataset(tmp_path / "small").patients[0]
    assert len(keys) == 1
    assert known not in keys


def test_several_roots(tmp_path: Path) -> None:
    put(tmp_path / "one" / "site", "NORMAL/1.png", "SICK/2.png")
    put(tmp_path / "two" / "site", "normal/1.png", "Sick/2.png")
    roots = tmp_path / "one" / "site", tmp_path / "two" / "site"
    manifest = load_dataset(*roots, name="both")
    assert manifest.name == "both"
    assert manifest.ids.tolist() == [
        "one/NORMAL/1.png",
        "one/SICK/2.png",
        "two/Sick/2.png",
        "two/normal/1.png",
    ]
    assert manifest.label_array()[:, 0].tolist() == [0, 1, 1, 0]
    put(tmp_path / "three", "NORMAL/1.png", "TB/2.png")
    with pytest.raises(LabelError, match="same classes"):
        load_dataset(roots[0], tmp_path / "three")


def test_overlapping_roots(tmp_path: Path) -> None:
    put(tmp_path, "data/a/1.png", "data/b/2.png")
    manifest = load_dataset(tmp_path, tmp_path / "data")
    assert len(manifest) == 2
    assert checks(manifest)["repeated-files"] == 2


def test_thousands_of_files_are_listed_quickly(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        source = put(tmp_path, f"{label}/0.png") / label / "0.png"
        for number in range(1, 5000):
            os.link(source, tmp_path / label / f"{number}.png")
    start = time.process_time()
    assert len(load_dataset(tmp_path)) == 10_000
    assert time.process_time() - start < 2.0  # 100,000 in some seconds


@pytest.mark.real
@needs_data
def test_the_real_set() -> None:
    manifest = load_dataset(DATA / "kermany224")
    counts = Counter((r.official, int(r.labels[0])) for r in manifest.records)
    assert counts == {
        ("train", 0): 1341,
        ("train", 1): 3875,
        ("validation", 0): 8,
        ("validation", 1): 8,
        ("test", 0): 234,
        ("test", 1): 390,
    }
    assert not manifest.left_out
    subgroups = Counter(
        r.columns.get("subgroup") for r in manifest.records if r.official == "train"
    )
    assert subgroups == {None: 1341, "bacteria": 2530, "virus": 1345}


@pytest.mark.real
@needs_data
def test_patients_of_the_real_set_are_the_published_groups() -> None:
    manifest = load_dataset(DATA / "kermany224")
    with open(DATA / "splits" / "official.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    groups = {(row["split"], row["file"]): row["group"] for row in rows}
    pairs = set()
    for record in manifest.records:
        split = "val" if record.official == "validation" else str(record.official)
        pairs.add((split, groups[split, Path(record.id).name], record.patient))
    # One key for each group and one group for each key.
    assert Counter(split for split, _, _ in pairs) == {"train": 3654, "val": 15, "test": 428}
    assert len({(s, g) for s, g, _ in pairs}) == len({(s, p) for s, _, p in pairs}) == len(pairs)
