"""Patient keys are keyed hashes; DICOM headers show which images belong to one patient."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import threading
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from plainfilm.data import Manifest, load_dataset, make_splits
from plainfilm.data.pseudonyms import Pseudonyms, salt_file, where_is_salt
from plainfilm.data.sources.patients.dicom import normal_identifier
from plainfilm.errors import StorageError
from plainfilm.pixels.identity import read_identities, read_identity


@pytest.fixture
def own_salt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a salt file of this test."""
    monkeypatch.delenv("PLAINFILM_SALT")
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: str(tmp_path / "home" / name))
    return tmp_path / "home" / "plainfilm" / "salt"


def test_keys_are_hmacs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAINFILM_SALT", "Jefe")
    found = Pseudonyms().key("what do ya want for nothing?")
    assert re.fullmatch(r"p[0-9a-f]{16}", found)
    # The definition in RFC 2104.
    block = b"Jefe".ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + b"\0what do ya want for nothing?")
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner.digest())
    assert found == "p" + outer.hexdigest()[:16]
    assert Pseudonyms().key("what do ya want for nothing?", "a scope") != found
    monkeypatch.setenv("PLAINFILM_SALT", "another")
    assert Pseudonyms().key("what do ya want for nothing?") != found
    assert where_is_salt() == "the variable PLAINFILM_SALT"


def test_a_salt_is_created_once_and_is_private(own_salt: Path) -> None:
    assert salt_file() == own_salt
    assert "created when" in where_is_salt()
    assert not own_salt.exists()
    first = Pseudonyms()
    key = first.key("a")
    assert first.kept
    assert len(own_salt.read_bytes()) == 32
    assert Pseudonyms().key("a") == key
    assert where_is_salt() == str(own_salt)
    assert [p.name for p in own_salt.parent.iterdir()] == ["salt"]
    if os.name == "posix":
        assert stat.S_IMODE(own_salt.stat().st_mode) == 0o600
    assert own_salt.read_bytes().hex() not in repr(first) + repr(vars(first).get("kept"))


def test_only_one_of_many_first_calls_creates_the_salt(own_salt: Path) -> None:
    keys: list[str] = []
    gate = threading.Barrier(8)

    def ask() -> None:
        gate.wait()
        keys.append(Pseudonyms().key("a"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_salt_that_cannot_be_stored_is_reported_and_changes_no_result(
    own_salt: Path, tmp_path: Path
) -> None:
    own_salt.parent.parent.mkdir()
    own_salt.parent.write_text("a file where the folder should be")
    root = tmp_path / "data"
    for number in range(40):
        path = root / "ab"[number % 2] / f"IM-{number // 4:04}-{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    one, other = load_dataset(root), load_dataset(root)
    assert "salt-not-kept" in {found.check for found in one.findings}
    assert set(one.patients) != set(other.patients)
    assert one.hash == other.hash
    assert make_splits(one).splits.tolist() == make_splits(other).splits.tolist()


def test_a_damaged_salt_is_rejected(own_salt: Path) -> None:
    own_salt.parent.mkdir(parents=True)
    own_salt.write_bytes(b"short")
    with pytest.raises(StorageError, match="damaged"):
        Pseudonyms().key("a")


def test_no_salt_is_created_if_no_patient_is_known(own_salt: Path, tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / "d" / name).parent.mkdir(parents=True)
        (tmp_path / "d" / name).write_bytes(b"x")
    load_dataset(tmp_path / "d")
    assert not own_salt.exists()


def header(path: Path, syntax: str = ExplicitVRLittleEndian, **fields: object) -> Path:
    """Write a DICOM file without pixels."""
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    data.SOPInstanceUID = "2.25.4711"
    for name, value in fields.items():
        setattr(data, name, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_patient_of_a_header(tmp_path: Path, syntax: str) -> None:
    plain = header(tmp_path / "1", syntax, PatientID=" 0815 ")
    issued = header(tmp_path / "2", syntax, PatientID="0815", IssuerOfPatientID="North")
    found = [read_identity(path, path.name) for path in (plain, issued)]
    assert [(one.issuer, one.patient) for one in found if one] == [("", "0815"), ("North", "0815")]
    assert "0815" not in repr(found)


def test_a_header_without_preamble(tmp_path: Path) -> None:
    path = header(tmp_path / "1", ImplicitVRLittleEndian, PatientID="0815")
    data = pydicom.dcmread(path)
    stream = io.BytesIO()
    del data.file_meta, data.preamble
    data.save_as(stream, implicit_vr=True, little_endian=True, enforce_file_format=False)
    path.write_bytes(stream.getvalue())
    found = read_identity(path, "1")
    assert found is not None
    assert found.patient == "0815"


@pytest.mark.parametrize("number", ["", "Anonymous", "ANONYMIZED", "anon", "0000", "none", "XXX"])
def test_placeholders_are_not_patients(tmp_path: Path, number: str) -> None:
    found = read_identity(header(tmp_path / "1", PatientID=number), "1")
    assert found is not None
    assert normal_identifier(found) is None


def test_other_files_than_dicom_have_no_patient(tmp_path: Path) -> None:
    text = tmp_path / "2"
    text.write_text("0815")
    assert read_identity(text, "2") is None
    assert read_identity(tmp_path / "nowhere", "3") is None
    assert read_identity(tmp_path, "4") is None


def test_dicom_files_with_the_ending_of_another_format(tmp_path: Path) -> None:
    files = []
    for number in range(200):
        path = tmp_path / f"{number}.JPEG"
        path.write_bytes(b"\xff\xd8\xff\xe0")
        files.append((str(path), path.name))
    assert not any(read_identities(files))
    header(tmp_path / "7.JPEG", PatientID="0815")
    assert not any(read_identities(files))  # not in the sample
    for number in range(0, 200, 5):
        header(tmp_path / f"{number}.JPEG", PatientID="0815")
    found = read_identities(files)
    assert sum(one is not None and one.patient == "0815" for one in found) == 41


@pytest.mark.parametrize("size", [0, 100, 132, 140, 180, 200, 230, 260])
def test_damaged_headers_are_not_an_error(tmp_path: Path, size: int) -> None:
    path = header(tmp_path / "1", PatientName="A^B", PatientID="0815")
    path.write_bytes(path.read_bytes()[:size])
    found = read_identity(path, "1")
    assert found is None or not found.patient
    path.write_bytes(path.read_bytes() + b"\xff" * 200)
    read_identity(path, "1")


@pytest.mark.parametrize(
    ("name", "identifying"),
    [
        ("NORMAL/1.2.276.77.4711.dcm", True),  # SOPInstanceUID
        ("NORMAL/1.2.276.77.1/x.dcm", True),  # StudyInstanceUID
        ("musterfrau_erika/x.dcm", True),
        ("NORMAL/erika.dcm", True),
        ("NORMAL/pat-K12345-1.dcm", True),
        ("NORMAL/ACC778899.dcm", True),
        ("NORMAL/17.dcm", True),  # another PatientID
        ("NORMAL/117.dcm", False),
        ("NORMAL/scan.dcm", False),
        ("NORMAL/erikas.dcm", False),
    ],
)
def test_names_that_identify_a_patient(tmp_path: Path, name: str, identifying: bool) -> None:
    fields = {
        "PatientName": "Musterfrau^Erika",
        "PatientID": "K12345",
        "OtherPatientIDs": "17",
        "AccessionNumber": "acc778899",
        "SOPInstanceUID": "1.2.276.77.4711",
        "StudyInstanceUID": "1.2.276.77.1",
    }
    found = read_identity(header(tmp_path / "x", **fields), name)
    assert found is not None
    assert found.in_name is identifying
    removed = header(tmp_path / "y", **fields, PatientIdentityRemoved="YES")
    pseudonymous = read_identity(removed, name)
    assert pseudonymous is not None
    assert not pseudonymous.in_name


def collection(root: Path, patients: int = 12, **fields: object) -> Manifest:
    for number in range(3 * patients):
        name = root / ("NORMAL" if number % 2 else "SICK") / f"{number:03}.dcm"
        header(name, **{"PatientID": f"K{number // 3}", **fields})
    return load_dataset(root)


def test_a_folder_of_dicom_files_is_split_by_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = collection(tmp_path)
    findings = {found.check: found for found in manifest.findings}
    assert "DICOM headers: 36 images of 12" in findings["patient-keys"].problem
    assert "patient-unknown" not in findings
    assert manifest.describe().patients == 12
    split = make_splits(manifest)
    owners: dict[str, set[str]] = {}
    for record in split.records:
        owners.setdefault(f"K{int(Path(record.id).stem) // 3}", set()).add(str(record.split))
    assert all(len(found) == 1 for found in owners.values())
    assert not re.search(r"K\d", repr(manifest.records) + repr(manifest.findings))
    monkeypatch.setenv("PLAINFILM_SALT", "another")
    again = load_dataset(tmp_path)
    assert not set(again.patients) & set(manifest.patients)
    assert again.hash == manifest.hash
    assert make_splits(again).splits.tolist() == split.splits.tolist()


def test_one_identifier_for_all_files_is_a_placeholder(tmp_path: Path) -> None:
    manifest = collection(tmp_path, PatientID="ResearchProject")
    (unknown,) = [found for found in manifest.findings if found.check == "patient-unknown"]
    assert "36 DICOM files have the same identifier" in unknown.problem
    assert manifest.describe().patients == 36


def test_a_header_means_the_same_patient_everywhere(tmp_path: Path) -> None:
    for site in ("north", "south"):
        for number in range(2):
            header(tmp_path / site / "ab"[number] / "x.dcm", PatientID=f"K{number}")
    manifest = load_dataset(tmp_path / "north", tmp_path / "south")
    assert manifest.describe().patients == 2
    lines = ["file,label,patient", "north/a/x.dcm,a,K0", "north/b/x.dcm,b,K1"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    both = load_dataset(tmp_path / "t.csv", tmp_path / "south")
    assert both.describe().patients == 2


def test_identifying_names_are_counted_and_not_quoted(tmp_path: Path) -> None:
    for number, label in enumerate("ab"):
        header(tmp_path / label / f"Erika_{number}.dcm", PatientName="Muster^Erika")
    manifest = load_dataset(tmp_path)
    (found,) = [found for found in manifest.findings if found.check == "identity-in-names"]
    assert found.severity == "warning"
    assert found.count == 2
    assert found.remedy
    assert "rika" not in repr(found)
