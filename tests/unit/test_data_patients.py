"""Patients are recognised by columns, DICOM headers, folders and file names, in this order."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from plainfilm.cli.main import main
from plainfilm.data import Manifest, load_dataset, make_splits
from plainfilm.errors import UsageError
from plainfilm.records import Finding


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def table(path: Path, rows: list[str], header: str = "file,label,patient") -> Path:
    """Write a table and its files; the classes of the rows alternate."""
    lines = [header]
    for number, row in enumerate(rows):
        name = f"{path.stem}-{number}.png"
        put(path.parent, name)
        lines.append(f"{name},{'ab'[number % 2]},{row}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def dicom(path: Path, study: str = "", **fields: str) -> None:
    """Write the header of a DICOM file."""
    data = Dataset()
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    data.SOPInstanceUID = "2.25.4711"
    if study:
        data.StudyInstanceUID = study
    for name, value in fields.items():
        setattr(data, name, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def groups(manifest: Manifest) -> list[int]:
    """Return for each image the position of the first image of its patient."""
    patients = manifest.patients.tolist()
    return [patients.index(patient) for patient in patients]


def findings(manifest: Manifest) -> dict[str, Finding]:
    return {found.check: found for found in manifest.findings}


def test_spellings_of_a_column_are_merged_across_tables(tmp_path: Path) -> None:
    visits = [
        table(tmp_path / "visit1.csv", ["1", "2", "P-3", "unknown"]),
        table(tmp_path / "visit2.csv", ["1.0", "002", "p_3", "-"]),
    ]
    manifest = load_dataset(*visits)
    assert groups(manifest) == [0, 1, 2, 3, 0, 1, 2, 7]
    found = findings(manifest)
    assert found["patient-ids-merged"].count == 6
    assert "were merged into 3 patients" in found["patient-ids-merged"].problem
    assert found["patient-unknown"].count == 2
    assert "2 images have a word for unknown" in found["patient-unknown"].problem
    assert "p_3" not in repr(manifest.findings)


def test_neither_hash_nor_splits_depend_on_the_spelling(tmp_path: Path) -> None:
    hashes, splits = set(), set()
    for name, spell in (("one", "{}"), ("two", "{:06}"), ("three", "{}.0")):
        folder = tmp_path / name
        folder.mkdir()
        rows = [spell.format(number // 3) for number in range(120)]
        manifest = load_dataset(table(folder / "t.csv", rows))
        hashes.add(manifest.hash)
        splits.add(tuple(make_splits(manifest).splits.tolist()))
    assert len(hashes) == len(splits) == 1


def test_official_splits_that_share_patients_in_another_spelling(tmp_path: Path) -> None:
    rows = [
        f"{'P-' if n % 4 < 2 else 'p0'}{n // 4},{'train' if n % 4 < 2 else 'test'}"
        for n in range(48)
    ]
    path = table(tmp_path / "t.csv", rows, "file,label,patient,split")
    overlap = [f for f in make_splits(load_dataset(path)).findings if f.check == "patient-overlap"]
    assert {found.severity for found in overlap} == {"serious"}
    assert sum(found.count for found in overlap) == 12


def test_identifiers_that_a_spreadsheet_rounded(tmp_path: Path) -> None:
    manifest = load_dataset(table(tmp_path / "t.csv", ["1.20E+11", "1.21E+11", "7"]))
    assert findings(manifest)["patient-ids-rounded"].count == 2


def test_an_identifier_of_too_many_images_is_doubtful(tmp_path: Path) -> None:
    numbers = [*map(str, range(30))]
    manifest = load_dataset(table(tmp_path / "a.csv", ["4711"] * 30 + numbers))
    assert manifest.describe().patients == 31
    assert findings(manifest)["patient-id-shared"].count == 30
    manifest = load_dataset(table(tmp_path / "b.csv", ["Studie"] * 30 + numbers))
    assert manifest.describe().patients == 60
    assert "30 of 60" in findings(manifest)["patient-unknown"].problem
    for number in range(60):
        patient = "77" if number < 30 else f"K{number}"
        dicom(tmp_path / "d" / "ab"[number % 2] / f"{number}.dcm", PatientID=patient)
    assert findings(load_dataset(tmp_path / "d"))["patient-id-shared"].count == 30


@pytest.mark.parametrize(
    "second",
    [
        {"PatientID": "h400{}", "IssuerOfPatientID": "NORTH"},
        {"PatientID": "00h400{}"},
        {"PatientID": "H400{}"},
        {"PatientID": ""},
        {"PatientID": "Anonymous"},
        {"PatientID": "another {}"},
    ],
)
def test_images_of_one_study_are_of_one_patient(tmp_path: Path, second: dict[str, str]) -> None:
    for number in range(4):
        folder = tmp_path / "ab"[number % 2]
        study = f"1.2.3.{number}"
        fields = {name: value.format(number) for name, value in second.items()}
        dicom(folder / f"{number}-1.dcm", study, PatientID=f"h400{number}")
        dicom(folder / f"{number}-2.dcm", study, **fields)
    manifest = load_dataset(tmp_path)
    assert groups(manifest) == [0, 0, 2, 2, 4, 4, 6, 6]
    found = findings(manifest)
    assert ("study-of-several-patients" in found) == ("another" in second["PatientID"])
    if "another" in second["PatientID"]:
        assert "8 different PatientIDs" in found["study-of-several-patients"].problem
        assert found["study-of-several-patients"].count == 4
    spelled = (
        second["PatientID"].casefold().lstrip("0") == "h400{}" or "IssuerOfPatientID" in second
    )
    assert ("patient-ids-merged" in found) == spelled


def test_studies_join_more_than_two_identifiers(tmp_path: Path) -> None:
    for name, number, study in (
        ("1", "A", "1.1"),
        ("2", "B", "1.1"),
        ("3", "B", "1.2"),
        ("4", "C", "1.2"),
        ("5", "D", "1.3"),
    ):
        dicom(tmp_path / "ab"[int(name) % 2] / f"{name}.dcm", study, PatientID=number)
    patients = {Path(r.id).stem: r.patient for r in load_dataset(tmp_path).records}
    assert len({patients[name] for name in "1234"}) == 1
    assert patients["5"] != patients["1"]


def test_a_study_of_many_patients_joins_none(tmp_path: Path) -> None:
    for number in range(12):
        dicom(tmp_path / "ab"[number % 2] / f"{number}.dcm", "1.2.3", PatientID=f"K{number // 2}")
    manifest = load_dataset(tmp_path)
    assert manifest.describe().patients == 6
    assert findings(manifest)["study-of-many-patients"].count == 12


def test_a_study_alone_is_a_doubtful_patient(tmp_path: Path) -> None:
    for number in range(8):
        dicom(tmp_path / "ab"[number % 2] / f"{number}.dcm", f"1.2.{number // 2}", PatientID="")
    manifest = load_dataset(tmp_path)
    assert manifest.describe().patients == 4
    assert findings(manifest)["patient-only-study"].count == 8
    assert not any("1.2." in text for text in (repr(manifest.findings), repr(manifest.records)))


def test_names_stand_in_for_missing_identifiers(tmp_path: Path) -> None:
    names = ["Doe^Jane", "DOE, JANE", "Roe^Max", "Roe^Max", "Poe^Eve", "Anonymous", "Hidden", "Loe"]
    for number, name in enumerate(names):
        patient = "K5" if number == 3 else ""
        path = tmp_path / "ab"[number % 2] / f"{number}.dcm"
        dicom(path, f"1.2.{number}", PatientID=patient, PatientName=name)
    manifest = load_dataset(tmp_path)
    patients = {record.id[2:]: record.patient for record in manifest.records}
    assert patients["0.dcm"] == patients["1.dcm"]
    assert patients["2.dcm"] == patients["3.dcm"]
    assert manifest.describe().patients == 6
    assert findings(manifest)["patient-only-name"].count == 5
    assert findings(manifest)["patient-only-study"].count == 2
    assert not any("oe" in text for text in map(repr, manifest.records))


def test_names_of_several_patients_or_many_studies_join_none(tmp_path: Path) -> None:
    for number in range(40):
        patient, name = ("", "Chest^Room") if number < 30 else (f"K{number}", "Doe^Jane")
        path = tmp_path / "ab"[number % 2] / f"{number}.dcm"
        dicom(path, f"1.2.{number}", PatientID=patient, PatientName=name)
    dicom(tmp_path / "a" / "40.dcm", "1.2.40", PatientID="", PatientName="Doe^Jane")
    manifest = load_dataset(tmp_path)
    assert manifest.describe().patients == 41
    assert findings(manifest)["patient-only-study"].count == 31
    assert "patient-only-name" not in findings(manifest)


def test_issuers_distinguish_patients_unless_one_is_missing(tmp_path: Path) -> None:
    fields = [("7", "North"), ("7", "South"), ("8", "North"), ("8", "")]
    for number, (patient, issuer) in enumerate(fields):
        issued = {"IssuerOfPatientID": issuer} if issuer else {}
        dicom(tmp_path / "ab"[number // 2] / f"{number}.dcm", PatientID=patient, **issued)
    assert groups(load_dataset(tmp_path)) == [0, 1, 2, 2]


def test_headers_come_before_names_of_a_viewer(tmp_path: Path) -> None:
    for patient in range(12):
        for series in range(3):
            name = f"{'ab'[patient % 2]}/pat{patient:03}/IM-{series:04}-0001.dcm"
            dicom(tmp_path / name, PatientID=f"H{patient}")
    manifest = load_dataset(tmp_path)
    assert manifest.describe().patients == 12
    assert "patient-evidence-disagrees" not in findings(manifest)
    owners = defaultdict(set)
    for record in make_splits(manifest).records:
        owners[record.id.split("/")[1]].add(record.split)
    assert all(len(splits) == 1 for splits in owners.values())


def test_names_of_a_viewer_in_folders_are_not_those_of_a_published_set(tmp_path: Path) -> None:
    names = [f"{'ab'[p % 2]}/pat{p:03}/IM-{s:04}-0001.png" for p in range(4) for s in range(3)]
    manifest = load_dataset(put(tmp_path, *names))
    assert manifest.describe().patients == 4
    assert findings(manifest)["patient-folders"].count == 12


def test_a_published_set_does_not_repeat_names_in_its_classes(tmp_path: Path) -> None:
    names = [f"{label}/IM-{n // 2:04}-{n:04}.jpg" for label in "ab" for n in range(20)]
    assert findings(load_dataset(put(tmp_path, *names)))["patient-unknown"].count == 40


def test_dates_are_not_patients(tmp_path: Path) -> None:
    names = [f"{'ab'[n % 2]}/2024013{n % 2}_{n:03}.png" for n in range(8)]
    manifest = load_dataset(put(tmp_path / "names", *names))
    assert findings(manifest)["patient-unknown"].count == 8
    names = [f"{'ab'[n % 2]}/202401{n:02}/{i}.png" for n in range(10, 22) for i in range(3)]
    manifest = load_dataset(put(tmp_path / "folders", *names))
    assert findings(manifest)["patient-unknown"].count == 36


def test_a_convention_needs_nearly_all_files_of_a_class(tmp_path: Path) -> None:
    names = [f"a/IM-{n // 2:04}-{n:04}.jpeg" for n in range(9)]
    put(tmp_path, *names, "b/1.png", "b/2.png")
    assert load_dataset(tmp_path).describe().patients == 7
    put(tmp_path, "a/x.png", "a/y.png")
    manifest = load_dataset(tmp_path)
    assert findings(manifest)["patient-unknown"].count == 13


def test_headers_that_disagree_with_a_convention_decide(tmp_path: Path) -> None:
    for number in range(6):
        name = f"{'ab'[number % 2]}/0000000{number // 2}_{number:03}.dcm"
        dicom(tmp_path / name, PatientID=f"H{number}")
    manifest = load_dataset(tmp_path)
    assert manifest.describe().patients == 6
    disagreement = findings(manifest)["patient-evidence-disagrees"]
    assert (disagreement.severity, disagreement.count) == ("serious", 6)
    assert "3 patients whom DICOM headers divide into several" in disagreement.problem


def test_a_column_that_disagrees_with_headers_decides(tmp_path: Path) -> None:
    lines = ["file,label,patient"]
    for number in range(6):
        dicom(tmp_path / f"{number}.dcm", PatientID=f"H{number // 2}")
        lines.append(f"{number}.dcm,{'ab'[number % 2]},{number if number < 5 else ''}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    manifest = load_dataset(tmp_path / "t.csv")
    # The last image has no patient in the column, and that of its header has one.
    assert groups(manifest) == [0, 1, 2, 3, 4, 4]
    disagreement = findings(manifest)["patient-evidence-disagrees"]
    assert (disagreement.severity, disagreement.count) == ("serious", 4)


def test_folders_are_patients_in_both_classes(tmp_path: Path) -> None:
    names = [f"{label}/{n:03}/{i}.png" for label in "ab" for n in range(12) for i in range(2)]
    manifest = load_dataset(put(tmp_path, *names))
    assert manifest.describe().patients == 12
    note = findings(manifest)["patient-folders"].problem
    assert "48 images of 12 patients in 24 folders; folders of one name count as one" in note
    assert load_dataset(tmp_path, patient_folder=0).describe().patients == 48


@pytest.mark.parametrize(
    "names",
    [
        [f"{c}/scanner{n}/{i}.png" for c in "ab" for n in range(12) for i in range(2)],
        [f"{c}/{n}/{i}.png" for c in "ab" for n in range(4) for i in range(2)],  # few folders
        [f"{c}/{n}/{i}.png" for c in "ab" for n in range(12) for i in range(15)],  # many images
        [f"{c}/{c}{n}/1.png" for c in "ab" for n in range(12)],  # each image has its own
    ],
)
def test_other_folders_are_not_patients(tmp_path: Path, names: list[str]) -> None:
    manifest = load_dataset(put(tmp_path, *names))
    assert manifest.describe().patients == len(names)
    assert "patient-folders" not in findings(manifest)


def test_a_pattern_finds_folders_below_the_classes(tmp_path: Path) -> None:
    put(tmp_path, *(f"1_{c}/x_{n}/{i}.png" for c in "ab" for n in range(3) for i in range(2)))
    assert load_dataset(tmp_path, patient=r"(x_\d)").describe().patients == 3
    assert load_dataset(tmp_path, patient=r"^(\d)\.").describe().patients == 2  # names come first
    with pytest.raises(UsageError, match="no folder below the classes"):
        load_dataset(tmp_path, patient=r"(1_)")


def test_level_of_patient_folders(tmp_path: Path) -> None:
    put(tmp_path, *(f"{c}/x{n}/s{i}/1.png" for c in "ab" for n in range(3) for i in range(2)))
    assert load_dataset(tmp_path).describe().patients == 12
    assert load_dataset(tmp_path, patient_folder=1).describe().patients == 2
    assert load_dataset(tmp_path, patient_folder=2).describe().patients == 3
    with pytest.raises(UsageError, match="reaches the class folder"):
        load_dataset(tmp_path, patient_folder=3)
    with pytest.raises(UsageError, match="give only one"):
        load_dataset(tmp_path, patient_folder=1, patient=r"(\d)")
    with pytest.raises(UsageError, match="level"):
        load_dataset(tmp_path, patient_folder=-1)


def test_patient_folders_of_a_table(tmp_path: Path) -> None:
    put(tmp_path, *(f"x{n // 2}/{n}.png" for n in range(8)))
    rows = [f"x{n // 2}/{n}.png,{'ab'[n % 2]},{n}" for n in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["file,label,patient", *rows]))
    assert load_dataset(tmp_path / "t.csv").describe().patients == 8
    manifest = load_dataset(tmp_path / "t.csv", patient_folder=1)
    assert groups(manifest) == [0, 0, 2, 2, 4, 4, 6, 6]
    with pytest.raises(UsageError, match="reaches the class folder"):
        load_dataset(tmp_path / "t.csv", patient_folder=2)


def test_patient_folders_below_classes_with_other_names(tmp_path: Path) -> None:
    names = [f"{c}/x{n}/{i}.png" for c in ("0_well", "1_ill") for n in range(3) for i in range(2)]
    new_names = {"0_well": "NORMAL", "1_ill": "PNEUMONIA"}
    put(tmp_path, *names)
    manifest = load_dataset(tmp_path, class_map=new_names, patient_folder=1)
    assert manifest.describe().patients == 3
    with pytest.raises(UsageError, match="reaches the class folder"):
        load_dataset(tmp_path, class_map=new_names, patient_folder=2)


def test_the_option_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "d", *(f"{c}/x{n}/{i}.png" for c in "ab" for n in range(3) for i in range(2)))
    data = str(tmp_path / "d")
    assert main(["audit", "--quick", data, "--positive", "a", "--patient-folder"]) == 0
    assert "12 images of 3 patients" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["audit", "--quick", "--patient-folder", data])
    assert "give DATA before this option" in capsys.readouterr().err


def test_folders_of_patients_above_the_classes(tmp_path: Path) -> None:
    for number in range(24):
        label = ("NORMAL", "TB")[number % 2]
        put(tmp_path / "a", f"patient{number // 2}/{label}/1.png")
        put(tmp_path / "b", f"site{number // 2}/{label}/1.png")
    manifest = load_dataset(tmp_path / "a")
    assert manifest.describe().patients == 12
    assert findings(manifest)["patient-folders"].count == 24
    assert not any(record.columns for record in manifest.records)
    assert load_dataset(tmp_path / "a", patient_folder=0).describe().patients == 24
    assert {record.columns["site"] for record in load_dataset(tmp_path / "b").records}


def test_a_convention_with_what_browsers_append_to_an_ending(tmp_path: Path) -> None:
    endings = ("jpg_large", "jpeg", "jpg!d", "jpg~")
    for number in range(24):
        name = f"IM-{number // 2:04}-000{number % 2}.{endings[number % 4]}"
        path = put(tmp_path, f"{'ab'[number // 2 % 2]}/{name}") / "ab"[number // 2 % 2] / name
        path.write_bytes(b"\xff\xd8\xff\xe0" + name.encode())
    assert load_dataset(tmp_path).describe().patients == 12


def test_counts_are_those_of_files_and_not_of_mentions(tmp_path: Path) -> None:
    for number in range(24):
        put(tmp_path / "x", f"{'ab'[number % 2]}/patient_{number // 4}/{number}.png")
    manifest = load_dataset(tmp_path / "x", tmp_path / "x")
    assert len(manifest.records) == 24
    assert "24 images of 6 patients" in findings(manifest)["patient-keys"].problem
    put(tmp_path / "t", *"abcd")
    rows = ["a,x,1,train", "a,x,1,test", "a,x,1,", "b,y,,", "b,y,2,", "c,x,,", "c,x,,", "d,y,2,"]
    path = tmp_path / "t" / "t.csv"
    path.write_text("\n".join(["file,label,patient,split", *rows]))
    manifest = load_dataset(path)
    assert len(manifest.records) == 5
    assert "4 images of 2 patients" in findings(manifest)["patient-keys"].problem
    assert "1 of 5 images" in findings(manifest)["patient-unknown"].problem
