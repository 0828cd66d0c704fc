"""Cross-validation: the runs of the folds, pooled predictions, and the ensemble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from plainfilm.bundle import read_bundle
from plainfilm.cli.main import main
from plainfilm.data import Manifest, make_folds
from plainfilm.errors import RunError, UsageError
from plainfilm.evaluation import CrossValidation, Evaluation, compare, evaluate_folds
from plainfilm.metrics import apply_temperature
from plainfilm.report import rewrite_report
from plainfilm.runtime import Predictor
from plainfilm.training import FoldRuns, train_folds

pytest.importorskip("keras")

pytestmark = pytest.mark.slow

FOLDS = 2


@pytest.fixture(scope="module")
def trained(
    manifest: Manifest, tiny_settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> FoldRuns:
    out = tmp_path_factory.mktemp("folds") / "cv"
    return train_folds(
        manifest, out=out, folds=FOLDS, recipe="swift", settings=tiny_settings, workers=0
    )


def test_each_fold_is_a_run_whose_test_set_is_the_fold(
    trained: FoldRuns, manifest: Manifest
) -> None:
    expected = make_folds(manifest, FOLDS)
    official = {record.id for record in manifest.records if record.official == "test"}
    seen: list[str] = []
    for fold, run in enumerate(trained.runs, 1):
        assert run.folder == trained.folder / f"fold-{fold}"
        test = {record.id for record in run.manifest.select("test").records}
        pairs = zip(expected.manifest.records, expected.numbers, strict=True)
        assert test == {record.id for record, own in pairs if own == fold}
        assert not official & {record.id for record in run.manifest.records}
        seen += sorted(test)
    assert len(seen) == len(set(seen)) == len(manifest) - len(official)


def test_a_second_call_repeats_nothing_and_another_folder_is_refused(
    trained: FoldRuns, manifest: Manifest, tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    places = [run.bundle.folder / "SHA256SUMS" for run in trained.runs]
    before = [path.stat().st_mtime_ns for path in places]
    options = {"recipe": "swift", "settings": tiny_settings, "workers": 0}
    again = train_folds(manifest, out=trained.folder, folds=FOLDS, **options)
    assert [path.stat().st_mtime_ns for path in places] == before
    assert [run.bundle.id for run in again.runs] == [run.bundle.id for run in trained.runs]
    with pytest.raises(RunError, match="holds another run"):
        train_folds(manifest, out=trained.folder, folds=FOLDS + 1, **options)
    with pytest.raises(RunError, match="one training"):
        train_folds(manifest, out=trained.runs[0].folder, folds=FOLDS, **options)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="holds other files"):
        train_folds(manifest, out=tmp_path, folds=FOLDS, **options)


def test_the_ensemble_is_locked_on_the_predictions_of_the_member_that_did_not_see_the_image(
    trained: FoldRuns, manifest: Manifest
) -> None:
    from plainfilm.training.ensemble import seal_fold_ensemble

    together = seal_fold_ensemble(trained, trained.folder / "ensemble", workers=0)
    origin = together.bundle.provenance
    assert origin.members == tuple(run.bundle.id for run in trained.runs)
    assert (origin.folds, origin.seed) == (FOLDS, 0)
    count = len(trained.folds.manifest)
    assert origin.train_images == count
    assert origin.locked_on is not None and f"{count} out-of-fold images" in origin.locked_on
    known = together.bundle.read_training_images()
    assert known is not None and len(known) == count
    assert "no image of this data set can evaluate" in (
        together.bundle.folder / "MODEL_CARD.md"
    ).read_text("utf-8")
    test = {record.id for record in together.manifest.records if record.split == "test"}
    assert test == {record.id for record in manifest.records if record.official == "test"}

    member = [Predictor(run.bundle) for run in trained.runs]
    own = Predictor(together.bundle)
    size = together.bundle.pixels.size
    images = np.random.default_rng(0).integers(0, 256, (6, size, size)).astype(np.uint8)
    mean = np.mean([one.logits(images) for one in member], axis=0)
    np.testing.assert_allclose(own.logits(images), mean, atol=1e-5)
    # Sensitivity and specificity of a point are those of out-of-fold predictions.
    [point] = [one for one in together.bundle.points if one.point.purpose == "balanced"]
    found: dict[float, list[bool]] = {0.0: [], 1.0: []}
    for run, predictor in zip(trained.runs, member, strict=True):
        records = run.manifest.select("test")
        pixels = np.stack([predictor.read(record.path).pixels for record in records.records])
        one_logit = predictor.logits(pixels).astype(np.float64)
        if one_logit.shape[1] == 2:
            one_logit = one_logit[:, 1:] - one_logit[:, :1]
        score = apply_temperature(one_logit, together.bundle.temperature, kind="binary")[:, 0]
        for label, predicted in zip(
            records.label_array()[:, 0], score >= point.point.threshold, strict=True
        ):
            found[float(label)].append(bool(predicted))
    evidence = point.validation
    assert (evidence.negatives, evidence.positives) == (len(found[0.0]), len(found[1.0]))
    assert evidence.unchanged.sensitivity == pytest.approx(np.mean(found[1.0]))
    assert evidence.unchanged.specificity == pytest.approx(1 - np.mean(found[0.0]))
    again = seal_fold_ensemble(trained, trained.folder / "ensemble", workers=0)
    assert again.bundle.id == together.bundle.id == read_bundle(trained.folder / "ensemble").id


@pytest.fixture(scope="module")
def judged(trained: FoldRuns) -> CrossValidation:
    return evaluate_folds(trained, workers=0, n_bootstrap=200)


def test_folds_are_pooled_and_averaged(judged: CrossValidation, trained: FoldRuns) -> None:
    pooled, document = judged.evaluation, judged.document
    numbers, labels = pooled.predictions.folds, pooled.predictions.labels[:, 0]
    scores = pooled.predictions.probabilities[:, 0]
    assert numbers is not None and len(numbers) == len(trained.folds.manifest)
    areas, called = [], np.zeros(len(labels), bool)
    for row, run in zip(document.rows, trained.runs, strict=True):
        rows = numbers == row.fold
        own = Evaluation.read(run.folder)
        assert row.bundle == run.bundle.id == own.document.model.id
        assert [pooled.predictions.ids[i] for i in np.flatnonzero(rows)] == [*own.predictions.ids]
        np.testing.assert_array_equal(scores[rows], own.predictions.probabilities[:, 0])
        areas.append(roc_auc_score(labels[rows], scores[rows]))
        assert row.metrics["auroc"].value == pytest.approx(areas[-1], abs=1e-9)
        [point] = [p for p in run.bundle.operating_points if p.purpose == "balanced"]
        called[rows] = scores[rows].astype(np.float64) >= point.threshold
    assert document.mean_auroc.value == pytest.approx(np.mean(areas), abs=1e-9)
    assert document.labels["PNEUMONIA"] == document.mean_auroc
    assert document.pooled["auroc"].value == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    # Predicted classes are those at the threshold of each image's own model.
    assert document.pooled["sensitivity"].value == pytest.approx(called[labels == 1].mean())
    assert document.pooled["specificity"].value == pytest.approx(1 - called[labels == 0].mean())
    confusion = pooled.document.labels["PNEUMONIA"].operating_points["balanced"].confusion
    assert (confusion.tp, confusion.fp) == (called[labels == 1].sum(), called[labels == 0].sum())
    assert document.variation["auroc"].sd == pytest.approx(np.std(areas, ddof=1))
    wrong = {mistake.id for mistake in pooled.worst(1000)}
    rejected = pooled.predictions.rejected
    expected = np.flatnonzero((called != (labels == 1)) & ~rejected)
    assert wrong == {pooled.predictions.ids[row] for row in expected}


def test_the_stored_cross_validation_is_read_and_reported(
    judged: CrossValidation, trained: FoldRuns
) -> None:
    path = judged.folder / "crossval" / "evaluation.json"
    before = path.stat().st_mtime_ns
    again = evaluate_folds(trained, workers=0)
    assert path.stat().st_mtime_ns == before
    assert again.document == judged.document
    assert again.evaluation.predictions.thresholds.keys() == (
        judged.evaluation.predictions.thresholds.keys()
    )
    for key, cuts in again.evaluation.predictions.thresholds.items():
        np.testing.assert_array_equal(cuts, judged.evaluation.predictions.thresholds[key])
    page = rewrite_report(judged.folder / "crossval").read_text("utf-8")
    assert rewrite_report(judged.folder) == judged.folder / "crossval" / "report.html"
    mean = judged.document.mean_auroc
    for text in (
        "Folds",
        "mean of the folds",
        "a model for each fold",
        "mean over the models",
        f"{mean.value:.3f}",
    ):
        assert text in page
    table = (judged.folder / "crossval.csv").read_text("utf-8").splitlines()
    assert table[0].startswith("fold,") and len(table) == FOLDS + 1


def test_the_command_continues_a_cross_validation(
    judged: CrossValidation,
    phantoms: Path,
    tiny_settings: tuple[str, ...],
    run_plainfilm: Callable[..., Any],
) -> None:
    settings = [part for setting in tiny_settings for part in ("--set", setting)]
    command = ("train", phantoms, "--recipe", "swift", *settings, "--folds", FOLDS)
    done = run_plainfilm(*command, "--ensemble", "--out", judged.folder)
    assert done.returncode == 0, done.stderr
    mean = judged.document.mean_auroc
    [line] = [line for line in done.stdout.splitlines() if line.startswith("mean of the folds")]
    assert f"{mean.value:.3f}  {mean.low:.3f} to {mean.high:.3f}" in line
    assert "ensemble: bundle:" in done.stdout
    assert (judged.folder / "crossval" / "report.html").is_file()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (("--folds", "1"), "2 or more folds"),
        (("--folds", "3", "--seeds", "2"), "cannot be combined"),
        (("--ensemble",), "at least 2 seeds"),
    ],
)
def test_options_that_contradict_each_other_are_errors(
    more: tuple[str, ...], problem: str, phantoms: Path, tmp_path: Path, capsys: Any
) -> None:
    assert main(["train", str(phantoms), "--out", str(tmp_path / "new"), *more]) == 2
    assert problem in capsys.readouterr().err


def _other(judged: CrossValidation, folder: Path, folds: NDArray[np.intp]) -> Path:
    """Write the evaluation of another recipe on the same images."""
    one, document = judged.evaluation.predictions, judged.evaluation.document
    noise = np.random.default_rng(0).normal(0, 0.3, one.probabilities.shape)
    probabilities = np.clip(one.probabilities + noise, 0, 1).astype(np.float32)
    changed = replace(
        one, probabilities=probabilities, decisions={**one.decisions, "fold": folds.tolist()}
    )
    other = replace(document, model=replace(document.model, id="other"))
    (folder / "crossval").mkdir(parents=True)
    Evaluation(folder / "crossval", other, changed).write()
    return folder


def test_two_recipes_are_compared_over_the_same_folds(
    judged: CrossValidation, tmp_path: Path, capsys: Any
) -> None:
    folds = judged.evaluation.predictions.folds
    assert folds is not None
    other = _other(judged, tmp_path / "other", folds)
    found = compare(judged.folder, other, n_bootstrap=100).document
    assert [model.name for model in found.models] == [judged.folder.name, "other"]
    rows = {row.metric: row for row in found.pairs[0].labels["PNEUMONIA"]}
    sides = [Evaluation.read(place / "crossval").predictions for place in (judged.folder, other)]
    labels = sides[0].labels[:, 0]
    for metric, value in (
        ("auroc", lambda y, s, cuts: roc_auc_score(y, s)),
        ("brier", lambda y, s, cuts: np.mean((s - y) ** 2)),
        ("accuracy", lambda y, s, cuts: np.mean((s >= cuts) == (y == 1))),
    ):
        gaps = []
        for fold in (1, 2):
            own = [
                value(
                    labels[folds == fold],
                    side.probabilities[folds == fold, 0].astype(np.float64),
                    side.thresholds["PNEUMONIA", "balanced"][folds == fold],
                )
                for side in sides
            ]
            gaps.append(own[1] - own[0])
        error = np.std(gaps, ddof=1) * np.sqrt(1 / 2 + 1)  # half of the images train
        over = rows[metric].folds
        assert over is not None and over.p is not None
        assert over.difference.value == pytest.approx(np.mean(gaps), abs=1e-9)
        expected = 2 * stats.t.sf(abs(np.mean(gaps)) / error, 1)
        assert over.p == pytest.approx(expected, abs=1e-9)
    assert main(["compare", str(judged.folder), str(other)]) == 0
    assert "corrected t-test of Nadeau and Bengio" in capsys.readouterr().out
    mixed = _other(judged, tmp_path / "mixed", folds[::-1])
    with pytest.raises(UsageError, match="different folds"):
        compare(judged.folder, mixed)
