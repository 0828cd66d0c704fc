"""Cross-validation: the runs of the folds, pooled predictions, and the ensemble."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainfilm.data import Manifest, make_folds
from plainfilm.errors import RunError, UsageError
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
