"""Layouts of public data sets find tables, keep given options, and are proposed."""

from __future__ import annotations

from pathlib import Path

import pytest

import public_sets
from plainfilm.cli.main import main
from plainfilm.data import Manifest, load_dataset
from plainfilm.data.sources.layouts import LAYOUTS, Layout
from plainfilm.errors import SourceError, UsageError
from public_sets.counts import SETS, WRITERS, Counts, count


def findings(manifest: Manifest) -> dict[str, str]:
    return {found.check: f"{found.problem}; {found.remedy}" for found in manifest.findings}


def test_a_table_may_be_given_instead_of_the_folder(tmp_path: Path) -> None:
    folder = public_sets.rsna(tmp_path)
    manifest = load_dataset(folder / "stage_2_train_labels.csv", layout="rsna")
    assert count(manifest) == SETS["rsna"]
    three = load_dataset(folder / "stage_2_detailed_class_info.csv", layout="rsna")
    assert three.task.classes == ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")
    assert three.label_array().sum(axis=0).tolist() == [4, 4, 3]


def test_boxes_of_three_readers(tmp_path: Path) -> None:
    manifest = load_dataset(public_sets.vindr_boxes(tmp_path), layout="vindr")
    assert count(manifest) == Counts(
        images=9,
        patients=9,
        positive={"Cardiomegaly": 2, "Lung Opacity": 1, "Nodule/Mass": 1, "Pleural effusion": 1},
        splits={None: 9},
    )
    any_reader = load_dataset(tmp_path / "vinbigdata", layout="vindr", reduce="any")
    assert count(any_reader).positive == {
        "Cardiomegaly": 2,
        "Lung Opacity": 1,
        "Nodule/Mass": 1,
        "Pleural effusion": 2,
        "Pneumonia": 1,
        "Tuberculosis": 1,
    }


def test_the_archive_folder_may_be_given(tmp_path: Path) -> None:
    public_sets.nih(tmp_path)
    assert count(load_dataset(tmp_path, layout="nih")) == SETS["nih"]


def test_options_that_are_given_replace_those_of_the_layout(tmp_path: Path) -> None:
    folder = public_sets.chexpert(tmp_path)
    manifest = load_dataset(
        folder, layout="chexpert", labels="Edema", uncertain="positive", blank="unknown"
    )
    assert manifest.task.classes == ("no Edema", "Edema")
    assert count(manifest).positive == {"Edema": 3}
    assert count(manifest).left_out == {"missing": 1, "no-label": 5}


def test_the_expressions_of_layout_and_user_both_apply(tmp_path: Path) -> None:
    folder = public_sets.padchest(tmp_path)
    frontal = load_dataset(folder, layout="padchest", where='Projection in ("PA", "AP")')
    assert len(frontal) == 11
    assert "exclude" not in frontal.task.labels


@pytest.mark.parametrize(
    "layout", [one for one in LAYOUTS if one.frontal], ids=lambda one: one.name
)
def test_frontal_images_are_selected(layout: Layout, tmp_path: Path) -> None:
    frontal = {"chexpert": 10, "mimic-cxr": 7, "padchest": 12, "openi": 5}
    folder = WRITERS[layout.name](tmp_path)
    manifest = load_dataset(folder, layout=layout.name, where=layout.frontal)
    assert len(manifest) == frontal[layout.name]
    assert f"'{layout.frontal}'" in findings(load_dataset(folder, layout=layout.name))["layout"]


def test_a_set_without_persons_says_so(tmp_path: Path) -> None:
    found = findings(load_dataset(public_sets.siim(tmp_path), layout="siim"))
    assert "name images, not persons" in found["layout-patients"]


def test_a_known_table_is_proposed_and_not_applied(tmp_path: Path) -> None:
    table = public_sets.nih(tmp_path) / "Data_Entry_2017.csv"
    with pytest.raises(SourceError, match="no column could be the path") as caught:
        load_dataset(table)
    assert "looks like NIH ChestX-ray14: layout= nih reads" in str(caught.value.remedy)
    manifest = load_dataset(
        table,
        path_column="Image Index",
        labels="Finding Labels",
        separator="|",
        images=tmp_path,
    )
    assert "layout= nih reads" in findings(manifest)["layout-known"]
    assert {record.official for record in manifest.records} == {None}


def test_a_known_list_without_a_header_is_proposed(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        load_dataset(public_sets.covidx(tmp_path) / "train.txt")
    assert "looks like COVIDx: layout= covidx reads" in str(caught.value.remedy)


def test_images_and_not_boxes_are_counted(tmp_path: Path) -> None:
    found = findings(load_dataset(public_sets.rsna(tmp_path), layout="rsna"))
    assert "11 images of 11 patients" in found["patient-keys"]
    assert "(11 images)" in found["classes-renamed"]
    assert "3 further rows of 2 images are combined" in found["rows-combined"]
    assert "repeated-files" not in found


def test_other_tables_are_not_taken_for_a_known_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "b.png").write_bytes(b"x")
    (tmp_path / "t.csv").write_text("file,label,patientId\na.png,x,1\nb.png,y,2\n")
    assert "layout-known" not in findings(load_dataset(tmp_path / "t.csv"))


def test_missing_lists_and_tables_are_said(tmp_path: Path) -> None:
    folder = public_sets.nih(tmp_path)
    (folder / "test_list.txt").unlink()
    (folder / "train_val_list.txt").unlink()
    manifest = load_dataset(folder, layout="nih")
    assert "test_list.txt" in findings(manifest)["split-lists-missing"]
    assert count(manifest).splits == {None: 17}
    folder = public_sets.mimic(tmp_path)
    (folder / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    with pytest.raises(SourceError, match="a table of MIMIC-CXR-JPG is missing"):
        load_dataset(folder, layout="mimic-cxr")
    with pytest.raises(SourceError, match="the folder has no table of CheXpert"):
        load_dataset(folder, layout="chexpert")


def test_an_unknown_layout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layout= is not a known data set") as caught:
        load_dataset(tmp_path, layout="imagenet")
    assert "nih, chexpert, mimic-cxr" in str(caught.value.remedy)


def test_the_folder_of_the_archive_may_have_another_name(tmp_path: Path) -> None:
    folder = public_sets.chexpert(tmp_path).rename(tmp_path / "archive")
    assert count(load_dataset(folder, layout="chexpert")) == SETS["chexpert"]


def test_a_table_may_have_another_name_and_fewer_labels(tmp_path: Path) -> None:
    folder = public_sets.chexpert(tmp_path)
    for name in ("train", "valid"):
        lines = (folder / f"{name}.csv").read_text().splitlines()
        rows = [line.split(",")[:9] for line in lines]
        (folder / f"{name}_nine_columns.csv").write_text("\n".join(map(",".join, rows)) + "\n")
        (folder / f"{name}.csv").unlink()
    manifest = load_dataset(folder, layout="chexpert")
    expected = ("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity")
    assert manifest.task.labels == expected
    assert count(manifest).positive == {"Cardiomegaly": 2, "Lung Opacity": 1}
    assert count(manifest).splits == {"train": 9, "validation": 3}
    with pytest.raises(UsageError, match="labels= names a column that does not exist"):
        load_dataset(folder, layout="chexpert", labels=["Cardiomegaly", "Edema"])


def test_a_table_of_views_may_be_absent(tmp_path: Path) -> None:
    folder = public_sets.mimic(tmp_path)
    (folder / "mimic-cxr-2.0.0-metadata.csv.gz").unlink()
    assert count(load_dataset(folder, layout="mimic-cxr")) == SETS["mimic-cxr"]


def test_annotations_may_be_anywhere_below_or_next_to_the_images(tmp_path: Path) -> None:
    folder = public_sets.vindr(tmp_path)
    table = folder / "annotations" / "image_labels_test.csv"
    assert len(load_dataset(table, layout="vindr")) == 3
    for path in (folder / "annotations").iterdir():
        path.rename(folder / path.name)
    assert count(load_dataset(folder, layout="vindr")) == SETS["vindr"]


def test_the_first_lists_of_covidx_have_no_sources(tmp_path: Path) -> None:
    folder = public_sets.covidx(tmp_path)
    for name in ("train", "test"):
        lines = (folder / f"{name}.txt").read_text().splitlines()
        (folder / f"{name}_split.txt").write_text(
            "".join(f"{line.rpartition(' ')[0]}\n" for line in lines)
        )
        (folder / f"{name}.txt").unlink()
    assert count(load_dataset(folder, layout="covidx")) == SETS["covidx"]


def test_reports_and_dates_are_not_kept(tmp_path: Path) -> None:
    kept = {
        column
        for name in ("padchest", "mimic-cxr", "openi")
        for record in load_dataset(WRITERS[name](tmp_path), layout=name).records
        for column in record.columns
    }
    assert {"Projection", "ViewPosition", "projection", "PatientSex_DICOM"} <= kept
    assert not kept & {"Report", "StudyDate_DICOM", "StudyID", "study_id", "dicom_id"}
    assert not kept & {"impression", "indication", "uid", "PatientID", "subject_id"}


def test_known_patients_need_no_caution(tmp_path: Path) -> None:
    folder = public_sets.rsna(tmp_path)
    rows = [f"p{number:02},n{number // 2}" for number in range(1, 13)]
    (folder / "persons.csv").write_text("patientId,person\n" + "\n".join(rows) + "\n")
    manifest = load_dataset(folder, layout="rsna", join=folder / "persons.csv", patient="person")
    assert "layout-patients" not in findings(manifest)
    assert len(set(manifest.patients)) == 7


def test_show_counts_the_most_frequent_labels_and_prints_the_options_for_frontal_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = public_sets.padchest(tmp_path), tmp_path / "s.png"
    assert main(["show", str(folder), "--layout", "padchest", "--out", str(out)]) == 0
    output = capsys.readouterr()
    rows = [line.split() for line in output.out.splitlines()]
    assert rows[0] == ["padchest:", "16", "images", "of", "13", "patients"]
    assert rows[1:5] == [
        ["positive", "for", "all"],
        ["cardiomegaly", "4"],
        ["pleural", "effusion", "3"],
        ["pneumonia", "3"],
    ]
    assert ["none", "of", "the", "labels", "5"] in rows
    assert ["images", "16"] in rows
    assert """add --where 'Projection in ("PA", "AP", "AP_horizontal")'""" in output.err
    vindr = public_sets.vindr(tmp_path)
    assert main(["show", str(vindr), "--layout", "vindr", "--out", str(out)]) == 0
    assert "(6 rarer labels)" in capsys.readouterr().out


def test_tables_are_joined_in_addition_and_patients_replaced(tmp_path: Path) -> None:
    folder = public_sets.mimic(tmp_path)
    people = "subject_id,sex\n10000101,F\n10000102,M\n11000103,F\n11000104,M\n13000107,F\n"
    (folder / "people.csv").write_text(people)
    manifest = load_dataset(folder, layout="mimic-cxr", join=folder / "people.csv")
    assert count(manifest) == SETS["mimic-cxr"]
    assert [record.columns["sex"] for record in manifest.records].count("F") == 5
    by_study = load_dataset(folder, layout="mimic-cxr", patient_folder=1)
    assert len(set(by_study.patients)) == 7
    by_view = load_dataset(public_sets.chexpert(tmp_path), layout="chexpert", patient=r"view(\d)")
    assert len(set(by_view.patients)) == 2


def test_other_labels_are_not_renamed(tmp_path: Path) -> None:
    folder = public_sets.rsna(tmp_path)
    assert load_dataset(folder, layout="rsna", labels="Target").task.classes == ("0", "1")


def test_the_second_stage_of_siim(tmp_path: Path) -> None:
    folder = public_sets.siim(tmp_path)
    text = (folder / "train-rle.csv").read_text().replace(", ", ",")
    (folder / "train-rle.csv").rename(folder / "stage_2_sample_submission.csv")
    (folder / "stage_2_train.csv").write_text(text)
    assert count(load_dataset(folder, layout="siim")) == SETS["siim"]


def test_a_part_of_a_set_may_be_present(tmp_path: Path) -> None:
    folder = public_sets.nih(tmp_path)
    for path in folder.glob("images_*/images/*.png"):
        if path.name.startswith(("00000103", "00000106", "00000110")):
            path.unlink()  # all that the list of the test set names
    manifest = load_dataset(folder, layout="nih")
    assert count(manifest).splits == {"train": 11}
    found = [one for one in manifest.findings if one.check == "split-list-names"]
    assert [one.count for one in found] == [1, 6]
