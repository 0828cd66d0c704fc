"""Drawn copies of public data sets are read with the right labels, patients and splits.

The counts are made by hand from the rows in ``public_sets``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import public_sets
from plainfilm.data import Manifest, load_dataset
from plainfilm.data.sources.layouts import LAYOUTS, Layout
from plainfilm.errors import SourceError, UsageError


@dataclass(frozen=True)
class Counts:
    """Counts of a set made by hand from its rows; labels that are not named have no positive."""

    images: int
    patients: int
    positive: dict[str, int]
    splits: dict[str | None, int]
    unknown: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=lambda: {"missing": 1})


SETS = {
    "nih": Counts(
        images=17,
        patients=10,
        positive={
            "Cardiomegaly": 4,
            "Effusion": 3,
            "Emphysema": 1,
            "Hernia": 3,
            "Infiltration": 3,
            "Mass": 1,
            "Nodule": 1,
            "Pleural_Thickening": 1,
            "Pneumothorax": 1,
        },
        splits={"train": 11, "test": 6},
    ),
    "chexpert": Counts(
        images=12,
        patients=9,
        positive={
            "Cardiomegaly": 2,
            "Edema": 2,
            "Lung Opacity": 1,
            "Pleural Effusion": 4,
            "Support Devices": 3,
        },
        splits={"train": 9, "validation": 3},
        unknown={"Cardiomegaly": 1, "Edema": 1, "Pneumonia": 1},
    ),
    "mimic-cxr": Counts(
        images=10,
        patients=5,
        positive={
            "Atelectasis": 2,
            "Edema": 1,
            "Pleural Effusion": 1,
            "Pneumonia": 2,
            "Support Devices": 1,
        },
        splits={"train": 6, "validation": 1, "test": 3},
        unknown={"Edema": 1, "Pneumonia": 2},
        left_out={"missing": 1, "no-label": 1},
    ),
    "padchest": Counts(
        images=16,
        patients=13,
        positive={
            "cardiomegaly": 4,
            "costophrenic angle blunting": 1,
            "pleural effusion": 3,
            "pneumonia": 3,
            "rib fracture": 1,
            "scoliosis": 1,
            "suboptimal study": 1,
        },
        splits={None: 16},
        left_out={"missing": 1, "no-label": 1},
    ),
    "vindr": Counts(
        images=12,
        patients=12,
        positive={"Cardiomegaly": 3, "Lung Opacity": 2, "Nodule/Mass": 1, "Pleural effusion": 2},
        splits={"train": 9, "test": 3},
    ),
    "rsna": Counts(images=11, patients=11, positive={"Lung Opacity": 4}, splits={None: 11}),
    "siim": Counts(images=11, patients=10, positive={"Pneumothorax": 4}, splits={None: 11}),
    "covidx": Counts(
        images=12, patients=10, positive={"positive": 7}, splits={"train": 8, "test": 4}
    ),
    "openi": Counts(
        images=10,
        patients=6,
        positive={"Cardiomegaly": 4, "Opacity": 1, "Pleural Effusion": 2, "Pulmonary Artery": 2},
        splits={None: 10},
    ),
    "kermany": Counts(
        images=17,
        patients=13,
        positive={"PNEUMONIA": 10},
        splits={"train": 10, "validation": 2, "test": 5},
        left_out={},
    ),
}


WRITERS: dict[str, Callable[[Path], Path]] = {
    name: getattr(public_sets, name.partition("-")[0]) for name in SETS
}


def count(manifest: Manifest) -> Counts:
    labels = manifest.label_array()
    names = manifest.task.labels
    positive = {name: int(np.sum(labels[:, i] == 1)) for i, name in enumerate(names)}
    unknown = {name: int(np.isnan(labels[:, i]).sum()) for i, name in enumerate(names)}
    return Counts(
        images=len(manifest),
        patients=len(set(manifest.patients)),
        positive={name: number for name, number in positive.items() if number},
        splits=dict(Counter(record.official for record in manifest.records)),
        unknown={name: number for name, number in unknown.items() if number},
        left_out=dict(Counter(item.reason for item in manifest.left_out)),
    )


@pytest.mark.parametrize("name", SETS)
def test_counts_are_those_made_by_hand(name: str, tmp_path: Path) -> None:
    folder = WRITERS[name](tmp_path)
    manifest = load_dataset(folder, layout=name)
    assert count(manifest) == SETS[name]
    assert "patient-ids-merged" not in {found.check for found in manifest.findings}


def test_every_layout_is_tested() -> None:
    assert set(SETS) == {layout.name for layout in LAYOUTS}


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
