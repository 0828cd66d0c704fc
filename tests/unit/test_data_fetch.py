"""The public data set is downloaded (here from a fake client) and checked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plainfilm.data import KERMANY, fetch_kermany, load_dataset, verify_kermany
from plainfilm.errors import MissingExtraError, SourceError, StorageError

DATA = Path(os.environ.get("PLAINFILM_DATA", Path(__file__).parents[3] / "shared" / "data"))
SMALL = {
    ("train", "NORMAL"): 3,
    ("train", "PNEUMONIA"): 4,
    ("validation", "NORMAL"): 1,
    ("validation", "PNEUMONIA"): 1,
    ("test", "NORMAL"): 2,
    ("test", "PNEUMONIA"): 2,
}


class FakeClient:
    """Unpacks an archive that contains its folders twice, as the real one does."""

    def __init__(self, root: Path, spoil: str = "") -> None:
        self.root, self.spoil, self.predicted = root, spoil, 0

    def dataset_download(self, handle: str) -> str:
        assert handle == "paultimothymooney/chest-xray-pneumonia"
        self.predicted += 1
        if self.spoil == "network":
            raise ConnectionError("no route")
        for tree in ("chest_xray", "chest_xray/chest_xray"):
            for (part, label), count in SMALL.items():
                folder = self.root / tree / {"validation": "val"}.get(part, part) / label
                folder.mkdir(parents=True)
                for number in range(count - (self.spoil == "fewer" and part == "train")):
                    name = (
                        f"IM-{number:04d}-0001.jpeg"
                        if label == "NORMAL"
                        else f"person{number}_virus_{number}.jpeg"
                    )
                    name = "holiday.jpeg" if self.spoil == "names" and number == 0 else name
                    text = "" if self.spoil == "empty" and number == 0 else f"{part}{name}"
                    (folder / name).write_text(text)
        (self.root / "chest_xray" / "__MACOSX").mkdir()
        return str(self.root)


def test_one_complete_copy_is_fetched_with_its_licence(tmp_path: Path) -> None:
    client = FakeClient(tmp_path / "download")
    stages: list[tuple[str, str]] = []
    folder = fetch_kermany(
        tmp_path / "out",
        client=client,
        counts=SMALL,
        progress=lambda stage, done, total, note="": stages.append((stage, note)),
    )
    assert folder == tmp_path / "out" / "chest_xray"
    manifest = load_dataset(folder)
    assert len(manifest) == sum(SMALL.values())
    assert not [f for f in manifest.findings if f.check == "repeated-folder"]
    assert Path(manifest.records[0].path).read_text() == "testIM-0000-0001.jpeg"
    notice = (folder / "NOTICE.txt").read_text()
    for words in ("CC BY 4.0", "Kermany", "10.17632/rscbjbr9sj.2", "172:1122-1131"):
        assert words in notice
    assert ("fetching", KERMANY.licence) in stages
    assert fetch_kermany(tmp_path / "out", client=client, counts=SMALL) == folder
    assert client.predicted == 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("network", "ConnectionError: no route"),
        ("fewer", "train/NORMAL: 2 instead of 3"),
        ("names", "unexpected names such as"),
        ("empty", "is empty"),
    ],
)
def test_a_failed_download_is_an_error_and_leaves_nothing(
    tmp_path: Path, spoil: str, words: str
) -> None:
    with pytest.raises(SourceError) as caught:
        fetch_kermany(
            tmp_path / "out", client=FakeClient(tmp_path / "download", spoil), counts=SMALL
        )
    assert words in str(caught.value)
    assert caught.value.remedy
    assert not list((tmp_path / "out").iterdir())


def test_incomplete_folder_is_rejected(tmp_path: Path) -> None:
    client = FakeClient(tmp_path / "download")
    folder = fetch_kermany(tmp_path / "out", client=client, counts=SMALL)
    next((folder / "test" / "NORMAL").iterdir()).unlink()
    with pytest.raises(SourceError, match="not the complete published"):
        fetch_kermany(tmp_path / "out", client=client, counts=SMALL)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        fetch_kermany(tmp_path / "file", client=FakeClient(tmp_path / "d"), counts=SMALL)


def test_missing_client_names_the_extra(tmp_path: Path) -> None:
    try:
        import kagglehub  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(MissingExtraError) as caught:
            fetch_kermany(tmp_path)
        assert ".[fetch]" in str(caught.value)
    else:
        pytest.skip("kagglehub is installed here: nothing is downloaded in a test")


@pytest.mark.real
@pytest.mark.skipif(
    not (DATA / "kermany224").is_dir(), reason="the real images of PLAINFILM_DATA are not here"
)
def test_the_real_set_passes() -> None:
    verify_kermany(DATA / "kermany224")
    with pytest.raises(SourceError, match="not the complete published"):
        verify_kermany(DATA / "kermany_originals")
