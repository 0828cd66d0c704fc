"""Subgroups, rejection and robustness."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn import metrics as reference

from plainfilm._json import to_json
from plainfilm.bundle import Bundle, IndeterminateRange, Rejection
from plainfilm.data import Manifest, load_dataset
from plainfilm.data.metadata import Metadata
from plainfilm.evaluation.columns import collect_columns, group_columns
from plainfilm.evaluation.disturbances import DISTURBANCES
from plainfilm.evaluation.document.subgroups import Subgroup, Subgroups
from plainfilm.evaluation.model import JudgedModel
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.rejection import describe_rejection
from plainfilm.evaluation.robustness import measure_robustness
from plainfilm.evaluation.subgroups import describe_subgroups
from plainfilm.records import OperatingPoint, PixelSpec, Record, Task
from plainfilm.runtime import Predictor

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]

SICK = Task("binary", ("sick",), ("well", "sick"))
HALF = OperatingPoint("balanced", "balanced", "sick", 0.5, "half")


def made(labels: Any, columns: dict[str, list[Any]], patients: list[str] | None = None) -> Manifest:
    records = tuple(
        Record(
            id=f"{n}",
            path=f"{n}.png",
            labels=(float(label),),
            patient=patients[n] if patients else f"p{n}",
            columns={name: values[n] for name, values in columns.items() if values[n] is not None},
        )
        for n, label in enumerate(labels)
    )
    return Manifest("made", SICK, records)


def predicted(manifest: Manifest, chances: Any) -> Predictions:
    return Predictions(
        manifest.task,
        [*manifest.ids],
        [*manifest.patients],
        manifest.label_array(),
        np.asarray(chances),
        collect_columns(manifest),
    )


def drawn(n: int = 400, seed: int = 0) -> tuple[Any, Any, Any]:
    """Draw labels, probabilities and a site: at the second site the model is worse."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(float)
    site = rng.random(n) < 0.5
    gap = np.where(site, 0.5, 2.5)
    chances = 1 / (1 + np.exp(-(gap * (labels - 0.5) + rng.normal(size=n))))
    return labels, chances, site


def subgroups_of(found: Subgroups, column: str) -> dict[str, Subgroup]:
    [entry] = [one for one in found.labels["sick"] if one.column == column]
    return {one.value: one for one in entry.subgroups}


def test_subgroups_have_the_numbers_of_scikit_learn_and_a_difference_is_found() -> None:
    labels, chances, site = drawn()
    names = ["far" if one else "near" for one in site]
    found = describe_subgroups(predicted(made(labels, {"site": names}), chances[:, None]), [HALF])
    subgroups = subgroups_of(found, "site")
    for value, where in (("far", site), ("near", ~site)):
        subgroup = subgroups[value]
        assert subgroup.n == where.sum()
        assert subgroup.positives == labels[where].sum()
        area = reference.roc_auc_score(labels[where], chances[where])
        assert subgroup.metrics["auroc"].value == pytest.approx(area)
        hit = reference.recall_score(labels[where], chances[where] >= 0.5)
        assert subgroup.metrics["sensitivity"].value == pytest.approx(hit)
        assert subgroup.metrics["auroc"].low < area < subgroup.metrics["auroc"].high
    gap = subgroups["far"].metrics["auroc"].value - subgroups["near"].metrics["auroc"].value
    difference = subgroups["far"].difference["auroc"]
    assert difference.value == pytest.approx(gap)
    assert difference.high < 0
    # DeLong's variances of the two independent halves give nearly the same p.
    from plainfilm.metrics import delong_covariance

    variance = sum(
        float(delong_covariance(labels[where], chances[where])[1][0, 0]) for where in (site, ~site)
    )
    p = 2 * stats.norm.sf(abs(gap) / math.sqrt(variance))
    assert subgroups["far"].p["auroc"] == pytest.approx(p, rel=0.5)
    assert subgroups["far"].p_adjusted["auroc"] < 0.05
    # Each subgroup is the rest of the other: three tests, not six.
    assert found.tests == 3
    assert subgroups["near"].p_adjusted == subgroups["far"].p_adjusted


def test_a_false_difference_is_rare_among_many_tests() -> None:
    rng = np.random.default_rng(1)
    labels, chances, _ = drawn(300, seed=5)
    columns = {f"c{k}": [str(one) for one in rng.integers(0, 3, 300)] for k in range(8)}
    found = describe_subgroups(
        predicted(made(labels, columns), chances[:, None]), [HALF], n_bootstrap=300
    )
    assert found.tests == 8 * 3 * 3
    small = [
        p
        for entry in found.labels["sick"]
        for one in entry.subgroups
        for p in one.p_adjusted.values()
    ]
    assert min(small) > 0.01


def test_a_small_subgroup_without_an_error_is_not_found_to_be_better() -> None:
    # A tenth of the many is missed, none of the twelve, which is likely by chance.
    labels = np.ones(624)
    labels[12:24] = 0
    labels[324:] = np.arange(300) % 2
    chances = np.where(labels == 1, 0.9, 0.1)
    chances[30:324:10] = 0.2
    names = ["small" if n < 24 else "large" for n in range(624)]
    found = describe_subgroups(
        predicted(made(labels, {"site": names}), chances[:, None]), [HALF], n_bootstrap=400
    )
    subgroup = subgroups_of(found, "site")["small"]
    assert subgroup.metrics["sensitivity"].value == 1
    gap = subgroup.difference["sensitivity"]
    assert gap.low < 0 < gap.value < gap.high
    assert subgroup.p["sensitivity"] > 0.2


def test_p_below_five_percent_is_where_the_interval_leaves_zero_out() -> None:
    labels, chances, _ = drawn(400, seed=8)
    rng = np.random.default_rng(3)
    columns = {f"c{k}": [str(one) for one in rng.integers(0, 5, 400)] for k in range(10)}
    # Some patients have images in a subgroup and outside it.
    patients = [f"p{n // 2}" for n in range(400)]
    found = describe_subgroups(
        predicted(made(labels, columns, patients), chances[:, None]), [HALF], n_bootstrap=200
    )
    subgroups = [subgroup for entry in found.labels["sick"] for subgroup in entry.subgroups]
    seen = 0
    for subgroup in subgroups:
        for name, gap in subgroup.difference.items():
            outside = gap.low > 0 or gap.high < 0
            assert outside == (subgroup.p[name] < 0.05)
            seen += outside
    assert 0 < seen < 0.12 * 3 * len(subgroups)


@pytest.mark.slow
def test_the_rate_of_false_differences_is_the_level_of_the_test() -> None:
    wrong = dict.fromkeys(("auroc", "sensitivity", "specificity"), 0)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels = np.r_[np.ones(15), np.zeros(15), np.arange(400) % 2]
        logits = rng.normal(size=430) + np.where(labels == 1, 1.7, -1.1)
        names = ["small"] * 30 + ["large"] * 400
        found = describe_subgroups(
            predicted(made(labels, {"site": names}), 1 / (1 + np.exp(-logits))[:, None]),
            [HALF],
            n_bootstrap=200,
        )
        for name, p in subgroups_of(found, "site")["small"].p.items():
            wrong[name] += p < 0.05
    # Three Monte Carlo errors above 5 %; a bootstrap alone had a rate of 30 to 50 %.
    assert max(wrong.values()) / 200 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_small_subgroups_are_listed_with_the_reason() -> None:
    labels, chances, _ = drawn(120, seed=2)
    names = ["rare" if n < 6 else "a" if n % 2 else "b" for n in range(120)]
    found = describe_subgroups(
        predicted(made(labels, {"site": names}), chances[:, None]), [HALF], n_bootstrap=50
    )
    [entry] = found.labels["sick"]
    assert [one.value for one in entry.too_small] == ["rare"]
    assert "10 of a class are needed" in entry.too_small[0].reason
    assert {one.value for one in entry.subgroups} == {"a", "b"}


def test_many_images_of_few_patients_are_too_few() -> None:
    labels = np.tile([0.0, 1.0], 60)
    patients = [f"p{n // 20}" for n in range(120)]
    names = ["x" if n < 60 else "y" for n in range(120)]
    found = describe_subgroups(
        predicted(made(labels, {"site": names}, patients), np.full((120, 1), 0.5)),
        [HALF],
        n_bootstrap=50,
    )
    [entry] = found.labels["sick"]
    assert len(entry.too_small) == 2


def test_kinds_of_a_disease_are_compared_with_all_healthy_images() -> None:
    labels, chances, _ = drawn(300, seed=3)
    rng = np.random.default_rng(0)
    kinds = [("bacteria" if rng.random() < 0.6 else "virus") if label else None for label in labels]
    found = describe_subgroups(
        predicted(made(labels, {"kind": kinds}), chances[:, None]), [HALF], n_bootstrap=100
    )
    subgroups = subgroups_of(found, "kind")
    for kind in ("bacteria", "virus"):
        own = np.array([one == kind for one in kinds])
        where = own | (labels == 0)
        area = reference.roc_auc_score(labels[where], chances[where])
        assert subgroups[kind].metrics["auroc"].value == pytest.approx(area)
        assert subgroups[kind].n == own.sum()
        # The healthy are the same on both sides.
        assert "specificity" not in subgroups[kind].difference
    [entry] = found.labels["sick"]
    assert entry.compared_with == "all images of the other class"


def test_a_column_that_is_the_label_says_nothing() -> None:
    labels, chances, _ = drawn(100)
    names = ["ill" if label else "fine" for label in labels]
    found = describe_subgroups(
        predicted(made(labels, {"d": names}), chances[:, None]), [HALF], n_bootstrap=20
    )
    assert found.labels["sick"] == ()
    assert found.tests == 0


def test_columns_become_groups() -> None:
    labels = np.zeros(60)
    numbers = [float(n) for n in range(60)]
    manifest = made(
        labels,
        {
            "age": [*range(5, 65)],
            "dose": numbers,
            "grade": [n % 3 for n in range(60)],
            "one": ["x"] * 60,
            "name": [f"n{n}" for n in range(60)],
            "gaps": [None if n % 2 else ("a" if n % 4 else "b") for n in range(60)],
        },
    )
    metadata = {
        "view": ["AP" if n % 2 else None for n in range(60)],
        "sex": ["F" if n % 3 else "M" for n in range(60)],
        "file_size": numbers,
    }
    rows = [
        {name: cells[n] for name, cells in metadata.items() if cells[n] is not None}
        for n in range(len(manifest))
    ]
    found = collect_columns(manifest, Metadata.of(rows))
    columns = {column.name: column for column in group_columns(found)}
    assert set(columns) == {"age", "dose", "grade", "gaps", "sex"}
    assert columns["age"].values == (
        "below 18",
        "18 to below 40",
        "40 to below 65",
        "65 and above",
    )
    assert np.bincount(columns["age"].codes).tolist() == [13, 22, 25]
    assert np.bincount(columns["dose"].codes).tolist() == [20, 20, 20]
    assert columns["grade"].values == ("0", "1", "2")
    assert (columns["gaps"].codes == -1).sum() == 30


def test_rejected_images_are_counted_and_left_out(make_bundle: MakeBundle) -> None:
    rng = np.random.default_rng(4)
    labels = (rng.random(300) < 0.5).astype(float)
    chances = np.clip(0.5 + 0.3 * (labels - 0.5) + rng.normal(0, 0.2, 300), 0, 1)
    novelty = rng.random(300)
    bundle = replace(
        make_bundle(task=SICK),
        rejection=Rejection(0.9, "nine tenths", 0.1),
        indeterminate={"sick": IndeterminateRange(0.4, 0.6, "by hand")},
    )
    reasons = [
        "blank" if n == 7 else "unlike-training" if new >= 0.9 else None
        for n, new in enumerate(novelty)
    ]
    predictions = Predictions(
        SICK,
        [f"i{n}" for n in range(300)],
        [f"p{n}" for n in range(300)],
        labels[:, None],
        chances[:, None],
        decisions={"reason": reasons},
        novelty=novelty,
    )
    found = describe_rejection(JudgedModel.of(bundle), predictions, n_bootstrap=100)
    kept = (novelty < 0.9) & (np.arange(300) != 7)
    decided = kept & ~((chances >= 0.4) & (chances < 0.6))
    assert found.rejected == (~kept).sum()
    assert found.reasons == {"unlike-training": (~kept).sum() - 1, "blank": 1}
    assert found.rejected_ids == tuple(f"i{n}" for n in np.flatnonzero(~kept))
    assert found.indeterminate == {"sick": int(((chances >= 0.4) & (chances < 0.6)).sum())}
    for results, where in (
        (found.all, np.ones(300, bool)),
        (found.accepted, kept),
        (found.decided, decided),
    ):
        part = results["sick"]
        assert part.n == where.sum()
        area = reference.roc_auc_score(labels[where], chances[where])
        assert part.metrics["auroc"].value == pytest.approx(area)
        threshold = next(p.threshold for p in bundle.operating_points if p.name == "balanced")
        right = np.mean((chances[where] >= threshold) == (labels[where] == 1))
        assert part.metrics["accuracy"].value == pytest.approx(right)
    assert found.novelty is not None
    assert sum(found.novelty.counts) == 300
    json.dumps(to_json(found), allow_nan=False)


def test_a_bundle_without_novelty_rejects_nothing(make_bundle: MakeBundle) -> None:
    names = ["a", "b"]
    y_true, y_score = np.array([[0.0], [1.0]]), np.array([[0.1], [0.9]])
    predictions = Predictions(SICK, names, names, y_true, y_score)
    found = describe_rejection(JudgedModel.of(make_bundle(task=SICK)), predictions)
    assert found.rejected == 0
    assert found.novelty is None
    assert found.threshold is None


@pytest.mark.parametrize("kind", DISTURBANCES, ids=lambda kind: kind.name)
def test_disturbances_get_stronger_and_keep_the_shape(kind: Any) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:128, 0:128]
    image = (110 + 60 * np.sin(x / 9) * np.cos(y / 13) + rng.normal(0, 8, (128, 128))).clip(0, 255)
    pixels = image.astype(np.uint8)
    before = pixels.copy()
    changes = []
    for strength in kind.strengths:
        out = kind.apply(pixels, strength, np.random.default_rng(3))
        assert out.shape == (128, 128)
        assert out.dtype == np.uint8
        changes.append(float(np.abs(out.astype(float) - pixels).mean()))
        again = kind.apply(pixels, strength, np.random.default_rng(3))
        np.testing.assert_array_equal(out, again)
    np.testing.assert_array_equal(pixels, before)
    assert changes[0] > 0
    if kind.name not in ("rotation", "shift"):  # of a periodic pattern those come round again
        assert changes == sorted(changes)


def test_known_disturbances_by_hand() -> None:
    by_name = {kind.name: kind for kind in DISTURBANCES}
    rng = np.random.default_rng(0)
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(by_name["inversion"].apply(pixels, 1, rng), 255 - pixels)
    flat = by_name["less-contrast"].apply(pixels, 0.5, rng)
    np.testing.assert_allclose(flat, 128 + 0.5 * (pixels.astype(float) - 128), atol=0.51)
    masked = by_name["border"].apply(pixels, 12.5, rng)
    assert masked[:2].sum() == masked[:, -2:].sum() == 0
    np.testing.assert_array_equal(masked[2:-2, 2:-2], pixels[2:-2, 2:-2])
    noisy = by_name["noise"].apply(np.full((200, 200), 128, np.uint8), 16, rng)
    assert noisy.std() == pytest.approx(16, rel=0.03)


def test_a_model_of_brightness_is_hurt_by_exposure_alone(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    for n in range(60):
        grey = round(128 + (25 if n % 2 else -25) + rng.normal(0, 25))
        draw_grey(tmp_path / "d" / ("bright" if n % 2 else "dark") / f"p{n}-0.png", grey)
    manifest = load_dataset(tmp_path / "d", positive="bright")
    predictor = Predictor(make_bundle())
    found = measure_robustness(predictor, manifest, workers=0)
    json.dumps(to_json(found), allow_nan=False)
    assert found.images == 60
    kinds = {kind.name: kind for kind in found.disturbances}
    truth = manifest.label_array()[:, 0]
    direct = predictor.probabilities(
        np.stack([predictor.read(record.path).pixels for record in manifest.records])
    )[:, 0]
    area = reference.roc_auc_score(truth, direct)
    assert found.undisturbed.auroc.value == pytest.approx(area, abs=0.01)
    # The AUROC depends on the order only: a darker exposure keeps it but shifts predictions.
    darker = kinds["darker"].steps[-1]
    assert darker.auroc_change.value == pytest.approx(0, abs=0.02)
    assert darker.sensitivity < 0.2
    assert darker.flipped > 0.2
    # Inverted images get the opposite prediction.
    turned = kinds["inversion"].steps[0]
    assert turned.auroc.value == pytest.approx(1 - area, abs=0.02)
    assert found.first_drop is None or found.first_drop.name != "inversion"


def test_histograms_are_matched_after_the_disturbance(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for n in range(24):
        path = tmp_path / "d" / ("bright" if n % 2 else "dark") / f"p{n}-0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        spread = rng.normal(150 if n % 2 else 100, 25, (32, 32))
        Image.fromarray(np.clip(spread, 1, 255).astype(np.uint8)).save(path)
    manifest = load_dataset(tmp_path / "d", positive="bright")
    flipped = {}
    for histogram in ("as-is", "matched"):
        pixels = PixelSpec(16, histogram=histogram)  # type: ignore[arg-type]
        predictor = Predictor(make_bundle(tmp_path / histogram, pixels=pixels))
        found = measure_robustness(predictor, manifest, workers=0)
        kinds = {kind.name: kind for kind in found.disturbances}
        flipped[histogram] = kinds["darker"].steps[-1].flipped, kinds["brighter"].steps[-1].flipped
    assert flipped["matched"] == (0, 0)
    assert min(flipped["as-is"]) > 0.3


def test_whole_patients_are_drawn(make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path) -> None:
    for n in range(60):
        name = f"p{n // 5}-{n}.png"
        draw_grey(tmp_path / "d" / ("bright" if n % 2 else "dark") / name, 90 + n)
    manifest = load_dataset(tmp_path / "d", positive="bright", patient=r"^(p\d+)-")
    found = measure_robustness(Predictor(make_bundle()), manifest, limit=22, workers=0)
    assert found.images == 25  # whole patients of five, until there are enough
    assert found.patients == 5
