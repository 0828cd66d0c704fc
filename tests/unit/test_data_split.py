"""Splits are by patient, stratified and reproducible, and keep the official test set."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainfilm.data import Manifest, limit, load_dataset, make_splits
from plainfilm.data.stratify import apportion, quotas
from plainfilm.errors import ConfigError, SplitError
from plainfilm.records import Record, Split, Task

DATA = Path(os.environ.get("PLAINFILM_DATA", Path(__file__).parents[3] / "shared" / "data"))
TASKS = {
    "binary": Task("binary", ("sick",), ("normal", "sick")),
    "multiclass": Task("multiclass", ("a", "b", "c"), ("a", "b", "c")),
    "multilabel": Task("multilabel", ("x", "y", "z"), ("x", "y", "z")),
}


def make(
    kind: str = "binary",
    patients: int = 300,
    seed: int = 0,
    official: Split | None = None,
    prefix: str = "",
) -> Manifest:
    """Patients with 1 to 12 images; a patient of a binary task may have both labels."""
    rng = np.random.default_rng(seed)
    records = []
    for patient in range(patients):
        for image in range(int(min(12, rng.geometric(0.5)))):
            if kind == "binary":
                labels = (float(rng.random() < 0.25),)
            elif kind == "multiclass":
                labels = tuple(np.eye(3)[rng.choice(3, p=[0.7, 0.2, 0.1])])
            else:
                labels = tuple(float(v) for v in rng.random(3) < (0.4, 0.1, 0.03))
                if rng.random() < 0.1:
                    labels = (float("nan"), *labels[1:])
            name = f"{prefix}{patient}-{image}"
            records.append(
                Record(
                    id=name,
                    path=name,
                    labels=labels,
                    patient=f"{prefix}{patient}",
                    official=official,
                )
            )
    return Manifest("drawn", TASKS[kind], tuple(records))


def join(*manifests: Manifest) -> Manifest:
    records = tuple(record for manifest in manifests for record in manifest.records)
    return replace(manifests[0], records=records)


def splits_of_patients(manifest: Manifest) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for record in manifest.records:
        found.setdefault(record.patient, set()).add(str(record.split))
    return found


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("seed", range(4))
def test_shares_strata_and_patients(kind: str, seed: int) -> None:
    manifest = make(kind, patients=600, seed=seed)
    split = make_splits(manifest, validation=0.15, test=0.25, seed=seed)
    assert all(len(found) == 1 for found in splits_of_patients(split).values())
    n, labels, splits = len(split), split.label_array(), split.splits
    shares = {"test": 0.25, "validation": 0.75 * 0.15, "train": 0.75 * 0.85}
    for name, share in shares.items():
        mask = splits == name
        assert abs(mask.sum() - share * n) <= 0.02 * n
        for column in range(labels.shape[1]):
            total = (labels[:, column] == 1).sum()
            here = (labels[mask, column] == 1).sum()
            # Within three images of the exact share, closer than random assignment.
            assert abs(here - share * total) <= 3, (name, column)
    assert not split.findings


@pytest.mark.parametrize("kind", TASKS)
def test_same_seed_same_splits_in_any_order(kind: str) -> None:
    manifest = make(kind)
    order = np.random.default_rng(1).permutation(len(manifest))
    shuffled = replace(manifest, records=tuple(manifest.records[i] for i in order))
    one, other = make_splits(manifest, seed=3), make_splits(shuffled, seed=3)
    assert one.hash == other.hash
    assert other.ids.tolist() == shuffled.ids.tolist()
    assert make_splits(manifest, seed=4).hash != one.hash
    assert make_splits(one, seed=3) == one or kind == "multilabel"  # NaN is not equal to itself
    assert make_splits(one, seed=3).hash == one.hash


@pytest.mark.parametrize("kind", TASKS)
def test_splits_do_not_depend_on_the_spelling_of_patient_keys(kind: str) -> None:
    manifest = make(kind)
    records = tuple(
        replace(r, patient=hashlib.sha256(r.patient.encode()).hexdigest()) for r in manifest.records
    )
    hidden = replace(manifest, records=records)
    one, other = make_splits(manifest), make_splits(hidden)
    assert one.splits.tolist() == other.splits.tolist()
    assert one.hash == other.hash
    assert limit(one, 50).ids.tolist() == limit(other, 50).ids.tolist()


@pytest.mark.real
@pytest.mark.skipif(
    not (DATA / "kermany224").is_dir(), reason="the real images of PLAINFILM_DATA are not here"
)
def test_splits_of_the_public_data_set_are_those_of_published_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashes = set()
    for salt in ("one", "other"):
        monkeypatch.setenv("PLAINFILM_SALT", salt)
        split = make_splits(load_dataset(DATA / "kermany224"))
        hashes.add(split.hash)
        held = sorted(r.id for r in split.records if r.split == "validation")
        assert len(held) == 524
        assert hashlib.sha256("\n".join(held).encode()).hexdigest()[:16] == "5e6d3e4a84d3dc48"
    assert len(hashes) == 1


def test_large_groups_are_spread() -> None:
    counts = np.array([[30.0]] * 10 + [[1.0]] * 100)
    parts = apportion(counts, np.array([0.8, 0.2]), np.random.default_rng(0))
    assert (parts[:10] == 1).sum() == 2
    assert (parts[10:] == 1).sum() == 20


def test_official_test_set_is_kept_and_a_small_validation_set_replaced() -> None:
    manifest = join(
        make(official="train"),
        make(patients=5, seed=1, official="validation", prefix="v"),
        make(patients=50, seed=2, official="test", prefix="t"),
    )
    split = make_splits(manifest)
    official = np.array([record.official for record in manifest.records])
    np.testing.assert_array_equal(official == "test", split.splits == "test")
    (found,) = split.findings
    assert (found.check, found.severity) == ("validation-too-small", "warning")
    assert found.count == (official == "validation").sum()
    share = (split.splits == "validation").sum() / (official != "test").sum()
    assert abs(share - 0.1) < 0.01
    assert set(split.splits[official == "validation"]) <= {"train", "validation"}
    assert make_splits(split).findings == split.findings


def test_large_official_validation_set_is_kept() -> None:
    manifest = join(
        make(official="train"), make(patients=150, seed=1, official="validation", prefix="v")
    )
    official = np.array([record.official for record in manifest.records])
    split = make_splits(manifest)
    np.testing.assert_array_equal(official == "validation", split.splits == "validation")
    assert set(split.splits[official == "train"]) == {"train", "test"}
    assert not split.findings
    alone = make_splits(manifest, test=0)
    assert set(alone.splits) == {"train", "validation"}
    strict = make_splits(manifest, minimum_per_class=1000)
    assert strict.findings[0].check == "validation-too-small"


def test_patients_in_official_train_and_test_are_reported_and_not_moved() -> None:
    train, test = make(official="train"), make(patients=40, seed=2, official="test", prefix="t")
    shared = [
        replace(record, patient=train.records[i % 3].patient)
        for i, record in enumerate(test.records[:9])
    ]
    test = replace(test, records=(*shared, *test.records[9:]))
    split = make_splits(join(train, test))
    serious = [found for found in split.findings if found.check == "patient-overlap"]
    assert serious
    assert all(found.severity == "serious" for found in serious)
    patients = {record.patient for record in shared}
    assert sum(found.count for found in serious) == len(patients)
    assert {record.id for record in shared} <= {f for found in serious for f in found.files}
    assert (split.splits == "test").sum() == len(test)


def test_images_without_an_official_split_join_train() -> None:
    split = make_splits(join(make(), make(patients=40, seed=2, official="test", prefix="t")))
    (found,) = split.findings
    assert found.check == "unassigned-images"
    assert set(split.splits) == {"train", "validation", "test"}


def test_too_few_patients() -> None:
    few = make(patients=40)
    rare = [replace(r, labels=(float(r.patient == "3"),)) for r in few.records]
    with pytest.raises(SplitError, match="too few patients of 'sick'") as caught:
        make_splits(replace(few, records=tuple(rare)))
    assert "1 patient for 3" in str(caught.value)
    with pytest.raises(SplitError, match="no image is left for training"):
        make_splits(make(official="test"))


@pytest.mark.parametrize("arguments", [{"validation": 0}, {"validation": 1}, {"test": -0.1}])
def test_shares_out_of_range(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        make_splits(make(), **arguments)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=30)
@given(patients=st.integers(12, 40), seed=st.integers(0, 1000))
def test_every_split_has_every_class_or_it_is_an_error(patients: int, seed: int) -> None:
    try:
        split = make_splits(make(patients=patients, seed=seed), seed=seed)
    except SplitError:
        return
    for name in ("train", "validation", "test"):
        labels = split.label_array()[split.splits == name, 0]
        assert {0.0, 1.0} == set(labels.tolist())


def test_quotas() -> None:
    assert quotas(np.array([30, 10]), 10).tolist() == [8, 2]
    assert quotas(np.array([5, 5, 5]), 15).tolist() == [5, 5, 5]
    assert quotas(np.array([1, 1, 1]), 2).sum() == 2


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_limit_keeps_proportions(kind: str) -> None:
    split = make_splits(make(kind))
    few = limit(split, 60, seed=5)
    assert (few.splits == "train").sum() == 60
    for name in ("validation", "test"):
        assert (few.splits == name).sum() == (split.splits == name).sum()
    before = split.select("train").label_array().mean(axis=0)
    after = few.select("train").label_array().mean(axis=0)
    assert np.abs(before - after).max() <= 1 / 60
    assert few.findings[-1].check == "limited"
    shuffled = replace(split, records=split.records[::-1])
    assert limit(shuffled, 60, seed=5).hash == few.hash
    assert limit(split, 60, seed=6).hash != few.hash
    assert limit(split, 10**6) is split


def test_limit_balanced() -> None:
    split = make_splits(make())
    few = limit(split, 60, balanced=True).select("train").label_array()
    assert Counter(few[:, 0].tolist()) == {0.0: 30, 1.0: 30}
    rarest = int((split.select("train").label_array() == 1).sum())
    most = limit(split, 10**6, balanced=True)
    assert Counter(most.select("train").label_array()[:, 0].tolist()) == {0.0: rarest, 1.0: rarest}
    assert f"{2 * rarest} of" in most.findings[-1].problem


def test_limit_of_a_multilabel_task() -> None:
    split = make_splits(make("multilabel", patients=600))
    few = limit(split, 200, seed=1)
    assert (few.splits == "train").sum() == 200
    before, after = (m.select("train").label_array() == 1 for m in (split, few))
    assert np.abs(before.mean(axis=0) - after.mean(axis=0)).max() < 0.01
    with pytest.raises(SplitError, match="no classes to balance"):
        limit(split, 200, balanced=True)


def test_limit_rejects_invalid_arguments() -> None:
    with pytest.raises(SplitError):
        limit(make(), 10)
    with pytest.raises(ConfigError):
        limit(make_splits(make()), 1)


@pytest.mark.real
@pytest.mark.skipif(
    not (DATA / "kermany224").is_dir(), reason="the real images of PLAINFILM_DATA are not here"
)
def test_the_real_set() -> None:
    split = make_splits(load_dataset(DATA / "kermany224"))
    described = split.describe().splits
    assert described["test"].classes == {"NORMAL": 234, "PNEUMONIA": 390}
    assert described["train"].images + described["validation"].images == 5216 + 16
    assert abs(described["validation"].images - 523) <= 2
    assert abs(described["validation"].classes["NORMAL"] - 134.9) <= 2
    assert all(len(found) == 1 for found in splits_of_patients(split).values())
    assert [f.check for f in split.findings if f.severity != "note"] == ["validation-too-small"]
    tutorial = limit(split, 2000, balanced=True).describe().splits["train"].classes
    assert tutorial == {"NORMAL": 1000, "PNEUMONIA": 1000}
