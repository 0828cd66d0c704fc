"""The level of the class folders is found; splits, sites, masks and copies are not classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import SourceError, UsageError
from plainfilm.phantom import draw

Counts = dict[tuple[str | None, str], int]


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def cells(*levels: Iterable[str]) -> list[str]:
    """Return two files in each folder of a tree, given the names of each level."""
    paths = [""]
    for names in levels:
        paths = [f"{path}{name}/" for path in paths for name in names]
    return [f"{path}{n}.png" for path in paths for n in range(2)]


def counts(manifest: Manifest) -> Counts:
    return Counter((r.official, manifest.task.class_of(r.labels)) for r in manifest.records)


def found(manifest: Manifest, check: str) -> tuple[str, int]:
    return next((f.severity, f.count) for f in manifest.findings if f.check == check)


def draw_mask(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((40, 40), np.uint8)
    pixels[10:30, 5:15] = pixels[10:30, 25:35] = 255
    Image.fromarray(pixels).save(path)


def draw_chest(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw(np.random.default_rng(seed), size=40)).save(path)


CLASSES = ("NORMAL", "TB")
SPLITS = ("training_set", "holdout")
SITES = ("hospital_a", "GE", "3")


@pytest.mark.parametrize(
    ("levels", "site_level"),
    [
        ((CLASSES,), None),
        ((SPLITS, CLASSES), None),
        ((CLASSES, SPLITS), None),
        ((SITES, CLASSES), 0),
        ((SITES, SPLITS, CLASSES), 0),
        ((SPLITS, SITES, CLASSES), 1),
        ((SITES, CLASSES, SPLITS), 0),
        ((SITES, CLASSES, ("images",)), 0),
        ((SITES, ("images",), CLASSES), 0),
        ((("data",), SPLITS, ("images",), CLASSES, ("x", "y")), None),
    ],
)
def test_splits_and_sites_at_any_level(
    tmp_path: Path, levels: tuple[tuple[str, ...], ...], site_level: int | None
) -> None:
    manifest = load_dataset(put(tmp_path, *cells(*levels)))
    total = len(cells(*levels))
    assert len(manifest) == total
    assert manifest.task.classes == ("NORMAL", "TB")
    splits = ("train", "test") if SPLITS in levels else (None,)
    share = total // 2 // len(splits)
    assert counts(manifest) == {(s, label): share for s in splits for label in ("NORMAL", "TB")}
    for record in manifest.records:
        parts = record.id.split("/")
        site = None if site_level is None else parts[site_level]
        assert record.columns.get("site") == site
        assert manifest.task.class_of(record.labels) in parts
    if site_level is not None:
        assert found(manifest, "site-folders") == ("note", 3)


def test_sites_need_not_have_all_classes_or_be_in_all_splits(tmp_path: Path) -> None:
    put(
        tmp_path,
        *cells(("train",), ("a", "b"), ("healthy", "flu")),
        *cells(("train",), ("c",), ["flu"]),
    )
    put(tmp_path, *cells(("test",), ("d",), ("Healthy", "flu")))
    manifest = load_dataset(tmp_path)
    assert counts(manifest) == {
        ("train", "healthy"): 4,
        ("train", "flu"): 6,
        ("test", "healthy"): 2,
        ("test", "flu"): 2,
    }
    assert Counter(r.columns["site"] for r in manifest.records) == {"a": 4, "b": 4, "c": 2, "d": 4}


def test_sites_of_classes_without_a_negative_one_are_a_warning(tmp_path: Path) -> None:
    manifest = load_dataset(put(tmp_path, *cells(("north", "south"), ("covid", "flu", "tb"))))
    assert manifest.task.classes == ("covid", "flu", "tb")
    assert found(manifest, "site-folders") == ("warning", 2)


def test_sites_with_one_class_or_loose_images(tmp_path: Path) -> None:
    put(tmp_path / "one", *cells(("a",), ("NORMAL",)), *cells(("b",), ("TB",)))
    assert load_dataset(tmp_path / "one").task.classes == ("NORMAL", "TB")
    put(tmp_path / "two", *cells(("a", "b"), ("NORMAL", "TB")), "c/1.png")
    manifest = load_dataset(tmp_path / "two")
    assert manifest.task.classes == ("NORMAL", "TB")
    assert found(manifest, "loose-images") == ("warning", 1)


@pytest.mark.parametrize("names", [("Bacterial", "Viral"), ("ohne Befund", "Pneumonie")])
@pytest.mark.parametrize("stray", ["", "Rome/logo.png", "logo.png"])
def test_stray_images_do_not_turn_sites_into_classes(
    tmp_path: Path, names: tuple[str, str], stray: str
) -> None:
    put(tmp_path, *cells(("Berlin", "Paris", "Rome"), names), *[stray] * bool(stray))
    manifest = load_dataset(tmp_path)
    assert manifest.task.classes == names
    assert found(manifest, "site-folders")[0] == "warning"
    assert Counter(r.columns["site"] for r in manifest.records) == dict.fromkeys(
        ("Berlin", "Paris", "Rome"), 4
    )
    if stray:
        assert found(manifest, "loose-images") == ("warning", 1)


def test_a_site_without_one_of_the_classes(tmp_path: Path) -> None:
    put(tmp_path, *cells(("Berlin", "Paris"), ("Bacterial", "Viral")), "Rome/Viral/1.png")
    manifest = load_dataset(tmp_path)
    assert manifest.task.classes == ("Bacterial", "Viral")
    assert found(manifest, "site-folders") == ("warning", 3)


def test_classes_with_folders_of_equal_names_are_serious(tmp_path: Path) -> None:
    put(tmp_path, *cells(("Berlin", "Paris"), ("Bacterial", "Viral")), "Rome/Fungal/1.png")
    manifest = load_dataset(tmp_path)
    assert manifest.task.classes == ("Berlin", "Paris", "Rome")
    assert found(manifest, "classes-unsure") == ("serious", 3)
    put(tmp_path / "b", *cells(("Pneumonia", "TB"), ("Montgomery", "Shenzhen")), "TB/1.png")
    manifest = load_dataset(tmp_path / "b")
    assert manifest.task.classes == ("Pneumonia", "TB")
    assert found(manifest, "classes-unsure") == ("serious", 2)


@pytest.mark.parametrize(
    ("above", "status"),
    [
        (("Tuberculosis", "Pneumonia"), ("HIV-negative", "HIV-positive")),
        (("Bacterial", "Viral"), ("non-smoker", "smoker")),
    ],
)
def test_status_below_diseases_is_a_warning_with_both_readings(
    tmp_path: Path, above: tuple[str, ...], status: tuple[str, ...]
) -> None:
    manifest = load_dataset(put(tmp_path, *cells(above, status)))
    assert found(manifest, "site-folders") == ("warning", 2)
    one = next(f for f in manifest.findings if f.check == "site-folders")
    assert all(name in one.problem for name in (*above, *status))
    assert all(name in one.remedy for name in above)


@pytest.mark.parametrize(
    ("names", "sites"),
    [
        (("nih_train", "nih_test"), {None}),
        (("TRAIN_NIH", "TEST_NIH"), {None}),
        (("Trainingsdaten", "Testdaten"), {None}),
        (("internal_train", "external_test"), {"internal", "external"}),
        (("train", "external_test"), {None, "external"}),
    ],
)
@pytest.mark.parametrize("above", [True, False])
def test_split_folders_with_another_word(
    tmp_path: Path, names: tuple[str, ...], sites: set[str | None], above: bool
) -> None:
    put(tmp_path, *cells(*((names, CLASSES) if above else (CLASSES, names))))
    manifest = load_dataset(tmp_path)
    assert counts(manifest) == {(s, c): 2 for s in ("train", "test") for c in CLASSES}
    assert {r.columns.get("site") for r in manifest.records} == sites
    words = any("_" in name for name in names)
    assert words == any(f.check == "splits-from-names" for f in manifest.findings)


@pytest.mark.parametrize("name", ["unlabeled", "Unlabelled images", "exclude", "_trash"])
def test_folders_that_are_not_for_use(tmp_path: Path, name: str) -> None:
    put(tmp_path, *cells(("train", "test"), (*CLASSES, name)), *cells(("train",), ("TB",), (name,)))
    manifest = load_dataset(tmp_path)
    assert counts(manifest) == {(s, c): 2 for s in ("train", "test") for c in CLASSES}
    assert found(manifest, "ignored-folders") == ("warning", 6)
    assert Counter(item.reason for item in manifest.left_out) == {"ignored-folder": 6}
    assert f"train/TB/{name}/0.png" in {item.id for item in manifest.left_out}
    assert len(load_dataset(tmp_path, class_map={name: "other"}).task.classes) == 3


def test_heat_maps_and_overlays(tmp_path: Path) -> None:
    put(tmp_path, *cells((*CLASSES, "Heat maps", "overlays")))
    put(tmp_path, "TB/0_overlay.png", "TB/1_heatmap.png", "NORMAL/0_gradcam.png")
    manifest = load_dataset(tmp_path)
    assert counts(manifest) == {(None, c): 2 for c in CLASSES}
    assert found(manifest, "masks") == ("warning", 7)


def test_a_class_that_is_left_out_as_masks_is_named_in_the_error(tmp_path: Path) -> None:
    for n in range(6):
        draw_chest(tmp_path / "TB" / f"{n}.png", n)
        draw_mask(tmp_path / "NORMAL" / f"{n}.png")
    with pytest.raises(SourceError, match="only one class") as error:
        load_dataset(tmp_path)
    assert error.value.received == "TB; left out as masks: 6 images in NORMAL"
    assert "rename folders or files left out as masks" in error.value.remedy


def test_the_inner_of_two_split_folders_is_the_split(tmp_path: Path) -> None:
    put(tmp_path / "a", *cells(("train",), ("NORMAL", "TB")))
    put(tmp_path / "a", *cells(("train",), ("test",), ("NORMAL", "TB")))
    put(tmp_path / "b", *cells(("train",), ("NORMAL", "TB"), ("", "test")))
    for root in ("a", "b"):
        manifest = load_dataset(tmp_path / root)
        assert counts(manifest) == {(s, c): 2 for s in ("train", "test") for c in CLASSES}
        assert found(manifest, "nested-splits") == ("warning", 4)


def test_sites_in_one_split_only(tmp_path: Path) -> None:
    put(tmp_path, *cells(("train",), ("NORMAL", "TB")), *cells(("test",), "ab", ("NORMAL", "TB")))
    manifest = load_dataset(tmp_path)
    assert Counter(r.official for r in manifest.records) == {"train": 4, "test": 8}
    assert Counter(r.columns.get("site") for r in manifest.records) == {None: 4, "a": 4, "b": 4}


def test_folds_repeat_the_images(tmp_path: Path) -> None:
    for fold in (1, 2):
        for n, name in enumerate(cells(("train", "test"), ("NORMAL", "TB"))):
            path = tmp_path / f"fold_{fold}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_stem(f"{n}").write_bytes(f"image {n}".encode())
    manifest = load_dataset(tmp_path)
    assert {record.id.split("/")[0] for record in manifest.records} == {"fold_1"}
    assert len(manifest) == 8
    assert found(manifest, "repeated-folder") == ("warning", 8)


def test_images_in_formats_that_are_not_read(tmp_path: Path) -> None:
    manifest = load_dataset(put(tmp_path, *cells(("NORMAL", "TB")), "TB/a.heic", "TB/b.jp2"))
    assert found(manifest, "unread-formats") == ("warning", 2)
    assert not any(f.check == "other-files" for f in manifest.findings)


@pytest.mark.parametrize("below", [("1", "2"), ("patient1", "patient2"), ("PA", "AP")])
def test_equal_folders_below_the_classes(tmp_path: Path, below: tuple[str, ...]) -> None:
    for names in (("NORMAL", "TB"), ("covid", "flu")):
        root = tmp_path / names[0]
        assert set(load_dataset(put(root, *cells(names, below))).task.classes) == {*names}


def test_views_above_the_classes_are_a_column(tmp_path: Path) -> None:
    manifest = load_dataset(put(tmp_path, *cells(("PA", "AP"), ("NORMAL", "TB"))))
    assert manifest.task.classes == ("NORMAL", "TB")
    assert Counter(r.columns["view"] for r in manifest.records) == {"PA": 4, "AP": 4}


def test_classes_0_and_1_below_sites(tmp_path: Path) -> None:
    manifest = load_dataset(put(tmp_path, *cells(("north", "south"), ("0", "1"))))
    assert manifest.task.classes == ("0", "1")


def test_folders_named_after_split_and_class(tmp_path: Path) -> None:
    names = ("train_normal", "train_sick", "Test-normal", "sick_test")
    manifest = load_dataset(put(tmp_path, *cells(names)))
    assert counts(manifest) == {(s, c): 2 for s in ("train", "test") for c in ("normal", "sick")}


def test_masks_in_folders(tmp_path: Path) -> None:
    put(tmp_path, *cells(("COVID", "Normal"), ("images", "lung masks")))
    put(tmp_path, *cells(("COVID",), ("ManualMask",), ("leftMask", "rightMask")))
    manifest = load_dataset(tmp_path)
    assert counts(manifest) == {(None, "COVID"): 2, (None, "Normal"): 2}
    assert found(manifest, "masks") == ("warning", 8)
    assert Counter(item.reason for item in manifest.left_out) == {"mask": 8}
    assert "COVID/ManualMask/leftMask/0.png" in {item.id for item in manifest.left_out}


def test_masks_above_the_classes(tmp_path: Path) -> None:
    put(tmp_path, *cells(("set",), ("images", "masks"), ("train", "test"), ("NORMAL", "TB")))
    manifest = load_dataset(tmp_path)
    assert len(manifest) == 8
    assert manifest.task.classes == ("NORMAL", "TB")
    assert "set/masks/train/TB/0.png" in {item.id for item in manifest.left_out}


def test_masks_next_to_their_images(tmp_path: Path) -> None:
    put(tmp_path, "NORMAL/a.jpg", "NORMAL/a_mask.png", "NORMAL/mask_b.png", "TB/c_seg.png")
    put(tmp_path, "TB/c.png", "TB/c_left_mask.png", "TB/d_label.png", "TB/masked.png")
    manifest = load_dataset(tmp_path)
    # d_label.png has no image d, and may be an image; mask_b.png says that it is a mask.
    assert manifest.ids.tolist() == ["NORMAL/a.jpg", "TB/c.png", "TB/d_label.png", "TB/masked.png"]
    assert found(manifest, "masks") == ("warning", 4)


def test_masks_are_recognised_by_their_grey_values(tmp_path: Path) -> None:
    for label in ("NORMAL", "TB"):
        for n in range(6):
            draw_chest(tmp_path / label / "cxr" / f"{label}{n}.png", n)
            draw_mask(tmp_path / label / "lungs" / f"{label}{n}.png")
            draw_chest(tmp_path / label / "enhanced" / f"{label}{n}.png", n)
    manifest = load_dataset(tmp_path)
    assert len(manifest) == 24
    assert {item.id.split("/")[1] for item in manifest.left_out} == {"lungs"}
    assert found(manifest, "masks") == ("warning", 12)


def test_masks_of_all_classes_in_one_folder(tmp_path: Path) -> None:
    for n in range(6):
        label = "NORMAL" if n < 3 else "TB"
        draw_chest(tmp_path / label / f"{n}.png", n)
        draw_mask(tmp_path / "lungs" / f"{n}.png")
    assert counts(load_dataset(tmp_path)) == {(None, "NORMAL"): 3, (None, "TB"): 3}


def test_masks_in_folders_of_patients(tmp_path: Path) -> None:
    put(
        tmp_path,
        *(
            f"{c}/p{n}{c}/{name}.png"
            for c in ("NORMAL", "TB")
            for n in range(3)
            for name in ("cxr", "mask")
        ),
    )
    manifest = load_dataset(tmp_path)
    assert counts(manifest) == {(None, "NORMAL"): 3, (None, "TB"): 3}
    assert found(manifest, "masks") == ("warning", 6)


def test_a_folder_named_labels_is_opened(tmp_path: Path) -> None:
    for label in ("NORMAL", "TB"):
        draw_chest(tmp_path / label / "labels" / "1.png")
        draw_chest(tmp_path / label / "images" / "2.png")
    assert len(load_dataset(tmp_path)) == 4
    draw_mask(tmp_path / "TB" / "segmentation" / "2.png")
    assert found(load_dataset(tmp_path), "masks") == ("warning", 1)


def test_only_masks(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="only masks"):
        load_dataset(put(tmp_path, "masks/a/1.png", "masks/b/2.png"))


@pytest.mark.parametrize("copy", ["NORMAL - Copy", "Copy of NORMAL", "normal (2)", "NORMAL_old"])
def test_a_copy_of_a_class_is_not_a_class(tmp_path: Path, copy: str) -> None:
    put(tmp_path, *cells(("train", "test"), ("NORMAL", "SICK")), f"train/{copy}/0.png")
    manifest = load_dataset(tmp_path)
    assert counts(manifest) == {(s, c): 2 for s in ("train", "test") for c in ("NORMAL", "SICK")}
    assert found(manifest, "copied-class") == ("warning", 1)
    assert [(item.id, item.reason) for item in manifest.left_out] == [
        (f"train/{copy}/0.png", "copy")
    ]
    used = load_dataset(tmp_path, class_map={copy: "NORMAL"})
    assert counts(used)["train", "NORMAL"] == 3


def test_class_folders_that_contain_all_classes_again(tmp_path: Path) -> None:
    put(tmp_path, *cells(("NORMAL", "SICK")))
    for name in cells(("NORMAL", "SICK")):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(name.encode())
    manifest = load_dataset(tmp_path)
    assert counts(manifest) == {(None, "NORMAL"): 2, (None, "SICK"): 2}
    assert found(manifest, "repeated-folder") == ("note", 4)


def test_class_folders_next_to_a_test_folder(tmp_path: Path) -> None:
    put(tmp_path, *cells(("NORMAL", "SICK")), *cells(("test",), ("NORMAL", "SICK")))
    manifest = load_dataset(tmp_path)
    assert counts(manifest) == {(s, c): 2 for s in (None, "test") for c in ("NORMAL", "SICK")}


def test_images_with_unusual_endings_are_found_by_content(tmp_path: Path) -> None:
    for n, ending in enumerate((".png", ".jpg_large", ".JPEG ", ".jpg~", ".img", "")):
        draw_chest(tmp_path / "NORMAL" / "x.png", n)
        (tmp_path / "NORMAL" / "x.png").rename(tmp_path / "NORMAL" / f"chest{ending}")
        draw_chest(tmp_path / "SICK" / f"{n}.png", 10 + n)
    put(tmp_path, "NORMAL/._chest.png", "NORMAL/Thumbs.db", "NORMAL/README", "SICK/a.raw")
    (tmp_path / "SICK" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    manifest = load_dataset(tmp_path)
    assert counts(manifest) == {(None, "NORMAL"): 6, (None, "SICK"): 6}
    assert found(manifest, "found-by-content") == ("note", 5)
    assert found(manifest, "other-files") == ("note", 3)
    problem = next(f.problem for f in manifest.findings if f.check == "found-by-content")
    assert ".jpg_large" in problem


def test_classes_from_a_pattern(tmp_path: Path) -> None:
    put(
        tmp_path, "CXR/x_1_0.png", "CXR/x_2_1.png", "test/x_3_1.png", "CXR/masks/x_1_0.png", "a.png"
    )
    manifest = load_dataset(
        tmp_path, label_pattern=r"_(\d)\.png$", class_map={"0": "NORMAL", "1": "TB"}
    )
    assert manifest.ids.tolist() == ["CXR/x_1_0.png", "CXR/x_2_1.png", "test/x_3_1.png"]
    assert counts(manifest) == {(None, "NORMAL"): 1, (None, "TB"): 1, ("test", "TB"): 1}
    assert found(manifest, "no-label") == ("warning", 1)
    assert Counter(item.reason for item in manifest.left_out) == {"mask": 1, "no-label": 1}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "not a valid"),
        (r"\d", "0 groups"),
        ("(a)(b)", "2 groups"),
        ("(zz)", "matches no path"),
    ],
)
def test_wrong_label_patterns(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_dataset(put(tmp_path, "a/1.png", "b/2.png"), label_pattern=pattern)
