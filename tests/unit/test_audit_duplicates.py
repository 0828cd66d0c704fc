"""Tests that copies of an image are found however they were altered, and nothing else."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from plainfilm.audit.clusters import connected_groups
from plainfilm.audit.duplicates import Duplicates, Pair, find_duplicates
from plainfilm.audit.leaks import check_duplicates, check_similar_patients
from plainfilm.audit.pipeline import audit_dataset
from plainfilm.data import load_dataset
from plainfilm.pixels import read_pixel_hash


def crop(image, share=0.02):
    height, width = image.shape
    box = (share * width, 0, width, (1 - share) * height)
    cropped = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(cropped)


def compress_again(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer))


CHANGES = {
    "compressed again": compress_again,
    "cropped": crop,
    "darker": lambda p: (p * 0.7).astype(np.uint8),
    "flatter": lambda p: (p * 0.5 + 60).astype(np.uint8),
    "gamma": lambda p: (255 * (p / 255) ** 1.5).astype(np.uint8),
}


@pytest.mark.parametrize("count", [12, 33, 96], ids="{} images".format)
@pytest.mark.parametrize("change", CHANGES)
def test_altered_copies_are_found_and_nothing_else(chests, make_evidence, change, count):
    copies = np.stack([CHANGES[change](image) for image in chests[:6]])
    images = np.concatenate([chests[:count], copies])
    found = find_duplicates(make_evidence([0] * len(images), images=images))
    assert {(pair.first, pair.second) for pair in found.near} == {(n, count + n) for n in range(6)}
    assert not any(pair.mirrored for pair in found.near)
    assert found.exact == ()


def test_different_chests_are_not_duplicates(chests, make_evidence):
    assert find_duplicates(make_evidence([0] * 32, images=chests[:32])).near == ()


def test_mirror_images_are_identified(chests, make_evidence):
    images = np.concatenate([chests[:40], chests[:2, :, ::-1]])
    evidence = make_evidence([0] * 42, images=images)
    found = find_duplicates(evidence)
    assert [(p.first, p.second, p.mirrored) for p in found.near] == [(0, 40, True), (1, 41, True)]
    assert "mirrored-duplicates" in {f.check for f in check_duplicates(evidence, found)}


def test_equal_files_are_found_without_decoding(make_evidence):
    evidence = make_evidence([0] * 5, hashes=[64 * letter for letter in "abaca"])
    assert find_duplicates(evidence) == Duplicates(((0, 2, 4),), (), ())


def test_equal_pixels_in_different_files_are_exact_duplicates(chests, tmp_path):
    for n in range(6):
        Image.fromarray(chests[n]).save(tmp_path / f"a{n}.png")
    Image.fromarray(chests[2]).save(tmp_path / "again.png", compress_level=0)
    Image.fromarray(chests[3]).save(tmp_path / "again.bmp")
    Image.fromarray(compress_again(chests[4])).save(tmp_path / "changed.png")
    table = tmp_path / "labels.csv"
    names = sorted(path.name for path in tmp_path.iterdir())
    table.write_text("file,label\n" + "".join(f"{n},{i % 2}\n" for i, n in enumerate(names)))
    found = {f.check: f for f in audit_dataset(load_dataset(table), workers=0).findings}
    exact = [f for name, f in found.items() if name.startswith("exact")]
    assert sorted(sorted(group) for f in exact for group in f.groups) == [
        ["a2.png", "again.png"],
        ["a3.png", "again.bmp"],
    ]
    near = [f for name, f in found.items() if name.startswith("near")]
    assert [sorted(group) for f in near for group in f.groups] == [["a4.png", "changed.png"]]


def test_blank_images_are_not_duplicates(make_evidence):
    images = np.full((40, 128, 128), 7, np.uint8)
    images[20:] = 200
    assert find_duplicates(make_evidence([0] * 40, images=images)) == Duplicates((), (), ())


def test_links_make_groups():
    assert connected_groups([(5, 2), (1, 0), (2, 9)]) == ((0, 1), (2, 5, 9))
    assert connected_groups([]) == ()


def near(*pairs, agreement=0.99):
    return tuple(Pair(first, second, agreement) for first, second in pairs)


def test_one_image_of_each_group_is_kept(make_evidence):
    evidence = make_evidence([0, 0, 0, 1, 1], ids=list("abcde"))
    (finding,) = check_duplicates(evidence, Duplicates(((0, 1, 2), (3, 4)), (), ()))
    assert (finding.check, finding.severity) == ("exact-duplicate", "warning")
    assert finding.groups == (("a", "b", "c"), ("d", "e"))
    assert finding.exclude == ("b", "c", "e")
    assert "3 redundant" in finding.problem


def test_the_copy_in_the_test_set_is_kept(make_evidence):
    evidence = make_evidence(
        [0] * 6, ids=list("abcdef"), splits=["train", "test", "validation", "train", "test", ""]
    )
    for kind, copies in (
        ("exact", Duplicates(((0, 1, 2),), (), ())),
        ("near", Duplicates((), near((0, 1), (1, 2)), ())),
    ):
        (finding,) = check_duplicates(evidence, copies)
        assert (finding.check, finding.severity) == (f"{kind}-duplicate-across-splits", "serious")
        assert finding.groups == (("b", "c", "a"),)
        assert set(finding.exclude) == {"a", "c"}
        assert "1 of 2 images of the test set" in finding.problem


def test_a_copy_without_a_split_does_not_leak(make_evidence):
    evidence = make_evidence([0, 0], splits=["test", ""])
    (finding,) = check_duplicates(evidence, Duplicates(((0, 1),), (), ()))
    assert finding.check == "exact-duplicate"
    assert finding.exclude == ("x1.png",)


def test_copies_with_different_labels_are_all_excluded(make_evidence):
    evidence = make_evidence([0, 1, 0, float("nan")], ids=list("abcd"))
    findings = {
        f.check: f for f in check_duplicates(evidence, Duplicates(((0, 1), (2, 3)), (), ()))
    }
    assert set(findings) == {"exact-duplicate-conflicting-labels", "exact-duplicate"}
    assert findings["exact-duplicate-conflicting-labels"].exclude == ("a", "b")
    assert findings["exact-duplicate"].exclude == ("d",), "an unknown label does not conflict"


def test_without_duplicates_there_is_no_finding(make_evidence):
    assert list(check_duplicates(make_evidence([0, 1]), Duplicates((), (), ()))) == []


def test_only_different_patients_are_reported_as_similar(make_evidence):
    evidence = make_evidence([0] * 4, patients=[1, 1, 2, 3], splits=["train"] * 3 + ["test"])
    similar = near((0, 1), (0, 2), agreement=0.85)
    (finding,) = check_similar_patients(evidence, Duplicates((), (), similar))
    assert (finding.severity, finding.count) == ("note", 1)
    (finding,) = check_similar_patients(
        evidence, Duplicates((), (), (*similar, *near((2, 3), agreement=0.85)))
    )
    assert (finding.severity, finding.count) == ("warning", 2)
    assert (
        list(check_similar_patients(evidence, Duplicates((), (), near((0, 1), agreement=0.85))))
        == []
    )


def test_many_copies_are_each_read_once(chests, make_evidence, tmp_path, monkeypatch):
    """Twelve copies are 66 pairs; the last file has other pixels at full size, one is missing."""
    paths = [str(tmp_path / f"{n}.png") for n in range(12)]
    for n, path in enumerate(paths[:11]):
        pixels = chests[0] if n < 10 else chests[0] ^ 1
        Image.fromarray(pixels).save(path, compress_level=n % 3)
    evidence = make_evidence([0] * 12, images=chests[[0] * 12])
    evidence = replace(evidence, records=evidence.records.replace(path=paths))
    read = []

    def count(path, spec):
        read.append(path)
        return read_pixel_hash(path, spec)

    monkeypatch.setattr("plainfilm.audit.duplicates.read_pixel_hash", count)
    found = find_duplicates(evidence)
    assert found.exact == (tuple(range(10)),)
    assert {row for pair in found.near for row in (pair.first, pair.second)} >= {10, 11}
    assert sorted(read) == sorted(paths)
