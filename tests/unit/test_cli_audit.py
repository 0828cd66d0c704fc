"""Tests the command audit, the list of exclusions, and the audit before training."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from plainfilm.audit.pipeline import audit_dataset
from plainfilm.cli.main import main
from plainfilm.data import Manifest, leave_out, load_dataset
from plainfilm.errors import SourceError, UsageError
from plainfilm.training import Run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def leaky(phantoms: Path, tmp_path: Path) -> Path:
    """Return a copy of the drawn data set with one test image in the training set as well."""
    folder = Path(shutil.copytree(phantoms, tmp_path / "leaky"))
    original = min((folder / "test" / "NORMAL").iterdir())
    shutil.copy(original, folder / "train" / "NORMAL" / f"other-name{original.suffix}")
    return folder


def test_a_leak_is_reported_and_all_outputs_are_written(
    leaky: Path, tmp_path: Path, capsys: Capture
) -> None:
    paths = {name: tmp_path / "out" / f"audit.{name}" for name in ("json", "html", "csv")}
    arguments = ["audit", str(leaky), "--json", str(paths["json"]), "--html", str(paths["html"])]
    assert main([*arguments, "--exclude", str(paths["csv"])]) == 0
    assert "exact-duplicate-across-splits" in capsys.readouterr().out
    found = json.loads(paths["json"].read_text())
    assert found["findings"][0]["severity"] == "serious"
    assert "<html" in paths["html"].read_text()
    with open(paths["csv"], newline="") as file:
        rows = {row["id"]: row["check"] for row in csv.DictReader(file)}
    # The copy in the training set is excluded, not the test image.
    assert rows["train/NORMAL/other-name.jpeg"] == "exact-duplicate-across-splits"
    assert not any(identity.startswith("test/") for identity in rows)


def test_strict_exits_with_status_3(leaky: Path, phantoms: Path, capsys: Capture) -> None:
    assert main(["audit", str(leaky), "--quick", "--strict"]) == 3
    assert main(["audit", str(leaky), "--quick"]) == 0
    found = audit_dataset(phantoms, quick=True)
    assert main(["audit", str(phantoms), "--quick", "--strict"]) == (3 if found.serious else 0)


def test_a_data_set_without_images_is_an_error(tmp_path: Path, capsys: Capture) -> None:
    for name in ("NORMAL", "PNEUMONIA"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"no image")
    assert main(["audit", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "none of the files" in message
    assert "Traceback" not in message


def listing(path: Path, *ids: str, header: str = "id,check") -> Path:
    path.write_text("\n".join([header, *(f"{identity},blank-image" for identity in ids)]) + "\n")
    return path


def test_listed_records_are_left_out(manifest: Manifest, tmp_path: Path) -> None:
    chosen = manifest.ids.tolist()[:3]
    rest = leave_out(manifest, listing(tmp_path / "l.csv", *chosen, "unknown.png"))
    assert len(rest) == len(manifest) - 3
    assert not set(chosen) & set(rest.ids.tolist())
    assert {row.id: row.reason for row in rest.left_out} == dict.fromkeys(chosen, "excluded")
    assert all("blank-image" in row.problem for row in rest.left_out)
    (finding,) = [f for f in rest.findings if f.check == "excluded-unknown"]
    assert finding.count == 1


def test_a_list_from_a_spreadsheet_is_read(manifest: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes(b"\xef\xbb\xbfid,check\r\n" + manifest.ids[0].encode() + b",\r\n")
    assert len(leave_out(manifest, path)) == len(manifest) - 1


def test_invalid_lists_are_errors(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        leave_out(manifest, tmp_path / "nothing.csv")
    with pytest.raises(UsageError, match="no column id"):
        leave_out(manifest, listing(tmp_path / "a.csv", "x", header="name,check"))
    with pytest.raises(SourceError, match="no record"):
        leave_out(manifest, listing(tmp_path / "b.csv", "x.png"))
    with pytest.raises(SourceError, match="every record"):
        leave_out(manifest, listing(tmp_path / "c.csv", *manifest.ids))
    assert leave_out(manifest, listing(tmp_path / "d.csv")) == manifest
    (tmp_path / "e.csv").write_bytes(b"")
    with pytest.raises(UsageError, match="no column id"):
        leave_out(manifest, tmp_path / "e.csv")
    test = [record.id for record in manifest.records if record.official == "test"]
    with pytest.raises(SourceError, match="official test"):
        leave_out(manifest, listing(tmp_path / "f.csv", *test))


def test_training_begins_with_a_quick_audit(tiny_run: Run) -> None:
    found = json.loads((tiny_run.folder / "audit.json").read_text())
    assert found["quick"] is True
    assert found["images"] == len(tiny_run.manifest)
    assert {"findings", "baselines", "dataset"} <= set(found)


def test_training_leaves_out_listed_records(leaky: Path, tmp_path: Path) -> None:
    pytest.importorskip("keras")
    path = tmp_path / "l.csv"
    assert main(["audit", str(leaky), "--quick", "--exclude", str(path)]) == 0
    seen: list[Manifest] = []

    def stop(manifest: Manifest, **_: object) -> None:
        seen.append(manifest)
        raise SourceError("seen")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plainfilm.training.train", stop)
        arguments = ["train", str(leaky), "--out", str(tmp_path / "run"), "--recipe", "swift"]
        assert main([*arguments, "--exclude", str(path)]) == 1
    assert seen == [leave_out(load_dataset(leaky), path)]
    assert not audit_dataset(seen[0], quick=True).exclusions.keys() & set(seen[0].ids.tolist())


def test_a_quick_audit_reports_a_missing_file(phantoms: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(phantoms, tmp_path / "set"))
    manifest = load_dataset(folder)
    Path(manifest.records[0].path).unlink()
    (finding,) = [f for f in audit_dataset(manifest, quick=True).findings if f.check == "missing"]
    assert finding.files == (manifest.records[0].id,)


def test_other_files_are_not_overwritten(phantoms: Path, tmp_path: Path, capsys: Capture) -> None:
    for option, ending in (("--exclude", "csv"), ("--html", "html"), ("--json", "json")):
        precious = tmp_path / f"precious.{ending}"
        precious.write_text("id,label\n")
        assert main(["audit", str(phantoms), "--quick", option, str(precious)]) == 2
        assert "would overwrite" in capsys.readouterr().err
        assert precious.read_text() == "id,label\n"
    # The page and the JSON of an audit may be overwritten. A list may contain manual changes.
    page, plain = tmp_path / "a.html", tmp_path / "a.json"
    again = ["audit", str(phantoms), "--quick", "--html", str(page), "--json", str(plain)]
    assert main(again) == main(again) == 0
    lists = ["audit", str(phantoms), "--quick", "--exclude", str(tmp_path / "l.csv")]
    assert main(lists) == 0
    assert main(lists) == 2
