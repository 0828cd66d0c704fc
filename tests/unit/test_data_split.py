"""Partitions: by patient, stratified, reproducible, with the official test left alone."""

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

from plainfilm.data import Manifest, limit, load_dataset, part
from plainfilm.data.stratify import apportion, quotas
from plainfilm.errors import ConfigError, PartitionError
from plainfilm.records import Partition, Record, Task

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
    official: Partition | None = None,
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


def partitions_of_patients(manifest: Manifest) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for record in manifest.records:
        found.setdefault(record.patient, set()).add(str(record.partition))
    return found


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("seed", range(4))
def test_shares_strata_and_patients(kind: str, seed: int) -> None:
    manifest = make(kind, patients=600, seed=seed)
    parted = part(manifest, validation=0.15, test=0.25, seed=seed)
    assert all(len(found) == 1 for found in partitions_of_patients(parted).values())
    n, labels, partitions = len(parted), parted.label_array(), parted.partitions
    wanted = {"test": 0.25, "validation": 0.75 * 0.15, "train": 0.75 * 0.85}
    for name, share in wanted.items():
        mask = partitions == name
        assert abs(mask.sum() - share * n) <= 0.02 * n
        for column in range(labels.shape[1]):
            total = (labels[:, column] == 1).sum()
            here = (labels[mask, column] == 1).sum()
            # Within three images of the exact share, which chance alone would not keep.
            assert abs(here - share * total) <= 3, (name, column)
    assert not parted.findings


@pytest.mark.parametrize("kind", TASKS)
def test_same_seed_same_partitions_in_any_order(kind: str) -> None:
    manifest = make(kind)
    order = np.random.default_rng(1).permutation(len(manifest))
    shuffled = replace(manifest, records=tuple(manifest.records[i] for i in order))
    one, other = part(manifest, seed=3), part(shuffled, seed=3)
    assert one.hash == other.hash
    assert other.ids.tolist() == shuffled.ids.tolist()
    assert part(manifest, seed=4).hash != one.hash
    assert part(one, seed=3) == one or kind == "multilabel"  # NaN is not equal to itself
    assert part(one, seed=3).hash == one.hash


@pytest.mark.parametrize("kind", TASKS)
def test_partitions_do_not_depend_on_how_patients_are_written(kind: str) -> None:
    manifest = make(kind)
    records = tuple(
        replace(r, patient=hashlib.sha256(r.patient.encode()).hexdigest()) for r in manifest.records
    )
    hidden = replace(manifest, records=records)
    one, other = part(manifest), part(hidden)
    assert one.partitions.tolist() == other.partitions.tolist()
    assert one.hash == other.hash
    assert limit(one, 50).ids.tolist() == limit(other, 50).ids.tolist()


@pytest.mark.real
@pytest.mark.skipif(
    not (DATA / "kermany224").is_dir(), reason="the real images of PLAINFILM_DATA are not here"
)
def test_partitions_of_the_public_set_are_those_that_results_were_measured_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashes = set()
    for salt in ("one", "other"):
        monkeypatch.setenv("PLAINFILM_SALT", salt)
        parted = part(load_dataset(DATA / "kermany224"))
        hashes.add(parted.hash)
        held = sorted(r.id for r in parted.records if r.partition == "validation")
        assert len(held) == 524
        assert hashlib.sha256("\n".join(held).encode()).hexdigest()[:16] == "5e6d3e4a84d3dc48"
    assert len(hashes) == 1


def test_large_groups_are_spread() -> None:
    counts = np.array([[30.0]] * 10 + [[1.0]] * 100)
    parts = apportion(counts, np.array([0.8, 0.2]), np.random.default_rng(0))
    assert (parts[:10] == 1).sum() == 2
    assert (parts[10:] == 1).sum() == 20


def test_official_test_stays_and_a_small_validation_is_replaced() -> None:
    manifest = join(
        make(official="train"),
        make(patients=5, seed=1, official="validation", prefix="v"),
        make(patients=50, seed=2, official="test", prefix="t"),
    )
    parted = part(manifest)
    official = np.array([record.official for record in manifest.records])
    np.testing.assert_array_equal(official == "test", parted.partitions == "test")
    (found,) = parted.findings
    assert (found.check, found.severity) == ("validation-too-small", "warning")
    assert found.count == (official == "validation").sum()
    share = (parted.partitions == "validation").sum() / (official != "test").sum()
    assert abs(share - 0.1) < 0.01
    assert set(parted.partitions[official == "validation"]) <= {"train", "validation"}
    assert part(parted).findings == parted.findings


def test_good_official_validation_is_kept() -> None:
    manifest = join(
        make(official="train"), make(patients=150, seed=1, official="validation", prefix="v")
    )
    official = np.array([record.official for record in manifest.records])
    parted = part(manifest)
    np.testing.assert_array_equal(official == "validation", parted.partitions == "validation")
    assert set(parted.partitions[official == "train"]) == {"train", "test"}
    assert not parted.findings
    alone = part(manifest, test=0)
    assert set(alone.partitions) == {"train", "validation"}
    strict = part(manifest, minimum_per_class=1000)
    assert strict.findings[0].check == "validation-too-small"


def test_patients_in_official_train_and_test_are_told_and_nothing_moves() -> None:
    train, test = make(official="train"), make(patients=40, seed=2, official="test", prefix="t")
    shared = [
        replace(record, patient=train.records[i % 3].patient)
        for i, record in enumerate(test.records[:9])
    ]
    test = replace(test, records=(*shared, *test.records[9:]))
    parted = part(join(train, test))
    serious = [found for found in parted.findings if found.check == "patient-overlap"]
    assert serious
    assert all(found.severity == "serious" for found in serious)
    patients = {record.patient for record in shared}
    assert sum(found.count for found in serious) == len(patients)
    assert {record.id for record in shared} <= {f for found in serious for f in found.files}
    assert (parted.partitions == "test").sum() == len(test)


def test_images_in_no_official_partition_join_train() -> None:
    parted = part(join(make(), make(patients=40, seed=2, official="test", prefix="t")))
    (found,) = parted.findings
    assert found.check == "unassigned-images"
    assert set(parted.partitions) == {"train", "validation", "test"}


def test_too_few_patients() -> None:
    few = make(patients=40)
    rare = [replace(r, labels=(float(r.patient == "3"),)) for r in few.records]
    with pytest.raises(PartitionError, match="too few patients of 'sick'") as caught:
        part(replace(few, records=tuple(rare)))
    assert "1 patients for 3" in str(caught.value)
    with pytest.raises(PartitionError, match="no image is left to train"):
        part(make(official="test"))


@pytest.mark.parametrize("arguments", [{"validation": 0}, {"validation": 1}, {"test": -0.1}])
def test_shares_out_of_range(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        part(make(), **arguments)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=30)
@given(patients=st.integers(12, 40), seed=st.integers(0, 1000))
def test_every_partition_has_every_class_or_it_is_an_error(patients: int, seed: int) -> None:
    try:
        parted = part(make(patients=patients, seed=seed), seed=seed)
    except PartitionError:
        return
    for name in ("train", "validation", "test"):
        labels = parted.label_array()[parted.partitions == name, 0]
        assert {0.0, 1.0} == set(labels.tolist())


def test_quotas() -> None:
    assert quotas(np.array([30, 10]), 10).tolist() == [8, 2]
    assert quotas(np.array([5, 5, 5]), 15).tolist() == [5, 5, 5]
    assert quotas(np.array([1, 1, 1]), 2).sum() == 2


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_limit_keeps_proportions(kind: str) -> None:
    parted = part(make(kind))
    few = limit(parted, 60, seed=5)
    assert (few.partitions == "train").sum() == 60
    for name in ("validation", "test"):
        assert (few.partitions == name).sum() == (parted.partitions == name).sum()
    before = parted.select("train").label_array().mean(axis=0)
    after = few.select("train").label_array().mean(axis=0)
    assert np.abs(before - after).max() <= 1 / 60
    assert few.findings[-1].check == "limited"
    shuffled = replace(parted, records=parted.records[::-1])
    assert limit(shuffled, 60, seed=5).hash == few.hash
    assert limit(parted, 60, seed=6).hash != few.hash
    assert limit(parted, 10**6) is parted


def test_limit_balanced() -> None:
    parted = part(make())
    few = limit(parted, 60, balanced=True).select("train").label_array()
    assert Counter(few[:, 0].tolist()) == {0.0: 30, 1.0: 30}
    rarest = int((parted.select("train").label_array() == 1).sum())
    most = limit(parted, 10**6, balanced=True)
    assert Counter(most.select("train").label_array()[:, 0].tolist()) == {0.0: rarest, 1.0: rarest}
    assert f"{2 * rarest} of" in most.findings[-1].what


def test_limit_of_several_labels() -> None:
    parted = part(make("multilabel", patients=600))
    few = limit(parted, 200, seed=1)
    assert (few.partitions == "train").sum() == 200
    before, after = (m.select("train").label_array() == 1 for m in (parted, few))
    assert np.abs(before.mean(axis=0) - after.mean(axis=0)).max() < 0.01
    with pytest.raises(PartitionError, match="no classes to balance"):
        limit(parted, 200, balanced=True)


def test_limit_refuses_nonsense() -> None:
    with pytest.raises(PartitionError):
        limit(make(), 10)
    with pytest.raises(ConfigError):
        limit(part(make()), 1)


@pytest.mark.real
@pytest.mark.skipif(
    not (DATA / "kermany224").is_dir(), reason="the real images of PLAINFILM_DATA are not here"
)
def test_the_real_set() -> None:
    parted = part(load_dataset(DATA / "kermany224"))
    described = parted.describe()["partitions"]
    assert described["test"]["classes"] == {"NORMAL": 234, "PNEUMONIA": 390}
    assert described["train"]["images"] + described["validation"]["images"] == 5216 + 16
    assert abs(described["validation"]["images"] - 523) <= 2
    assert abs(described["validation"]["classes"]["NORMAL"] - 134.9) <= 2
    assert all(len(found) == 1 for found in partitions_of_patients(parted).values())
    assert [f.check for f in parted.findings if f.severity != "note"] == ["validation-too-small"]
    tutorial = limit(parted, 2000, balanced=True).describe()["partitions"]["train"]["classes"]
    assert tutorial == {"NORMAL": 1000, "PNEUMONIA": 1000}
