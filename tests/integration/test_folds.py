"""Cross-validation: the runs of the folds, pooled predictions, and the ensemble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plainfilm.bundle import read_bundle
from plainfilm.data import Manifest, make_folds
from plainfilm.errors import RunError, UsageError
from plainfilm.metrics import apply_temperature
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
