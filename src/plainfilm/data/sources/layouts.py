"""Describes how published data sets are stored, for ``layout=``.

A layout only fills in options: everything that it does can also be said with options. It is used
when it is named. A table that looks like one is only reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from plainfilm.data.sources.options import SourceOptions

_CHEXPERT = (
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices"),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a published data set, or one of its tables, is stored.

    Attributes
    ----------
    name
        Value of ``layout=``. Several layouts of one name are several tables of one set.
    title
        Name of the set in messages.
    tables
        Patterns of the paths of its tables below its folder, each for one table; empty for class
        folders.
    columns
        Columns by which such a table is recognised.
    sources
        Values of the last of four columns by which a table without a header line is recognised.
    options
        Options that the user need not give. Paths in ``images``, ``join`` and ``split_lists`` start
        from the folder of the set. Of several ``labels``, a table may lack some.
    further
        Patterns of tables that are joined if they are there.
    prefix
        Pattern of the name of its folder, if the paths in its tables begin with that name.
    frontal
        Expression for ``where=`` that selects frontal images, if the set has others.
    caution
        Why identifiers of the set are not those of persons, as a clause without a full stop.
    """

    name: str
    title: str
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    options: SourceOptions
    frontal: str = ""
    caution: str = ""
    sources: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    prefix: str = ""


# The names of the column for other diseases differ between the tables of VinDr-CXR.
_VINDR = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture"),
    *("Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity"),
    *("Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion"),
    *("COPD", "Lung tumor", "Pneumonia", "Tuberculosis"),
)
_IMAGE_IDS = (
    "its images are from ChestX-ray14, and its patient identifiers name images, not persons"
)

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "nih",
        "NIH ChestX-ray14",
        tables=("Data_Entry_2017*.csv*",),
        columns=("Image Index", "Finding Labels", "Follow-up #"),
        options={
            "path_column": "Image Index",
            "labels": "Finding Labels",
            "separator": "|",
            "patient": "Patient ID",
            "images": ".",
            "split_lists": ("train_val_list.txt", "test_list.txt"),
        },
    ),
    Layout(
        "chexpert",
        "CheXpert",
        tables=("train.csv", "valid.csv"),
        columns=("Path", "Frontal/Lateral", "AP/PA", "Enlarged Cardiomediastinum"),
        options={
            "path_column": "Path",
            "labels": _CHEXPERT,
            "blank": "negative",
            "uncertain": "unknown",
            "patient_folder": 2,
            "images": ".",
        },
        prefix="CheXpert*",
        frontal='`Frontal/Lateral` == "Frontal"',
    ),
    Layout(
        "mimic-cxr",
        "MIMIC-CXR-JPG",
        tables=("mimic-cxr-2.*-split.csv*",),
        columns=("dicom_id", "study_id", "subject_id"),
        options={
            "path_column": "dicom_id",
            "labels": _CHEXPERT,
            "blank": "negative",
            "uncertain": "unknown",
            "patient": "subject_id",
            "split_column": "split",
            "images": "files",
            "join": ("mimic-cxr-2.*-chexpert.csv*",),
        },
        further=("mimic-cxr-2.*-metadata.csv*",),
        frontal='ViewPosition in ("PA", "AP")',
    ),
    Layout(
        "padchest",
        "PadChest",
        tables=("PADCHEST*.csv*",),
        columns=("ImageID", "ImageDir", "Projection", "Labels"),
        options={
            "path_column": "{ImageDir}/{ImageID}",
            "labels": "Labels",
            "patient": "PatientID",
            "images": ".",
            # Without a finding: unusable, or as in an earlier image.
            "where": """not ("'exclude'" in Labels or "'unchanged'" in Labels)""",
        },
        frontal='Projection in ("PA", "AP", "AP_horizontal")',
    ),
    Layout(
        "vindr",
        "VinDr-CXR",
        tables=("annotations/image_labels_train.csv", "annotations/image_labels_test.csv"),
        columns=("image_id", "Aortic enlargement", "ILD", "Nodule/Mass"),
        options={
            "path_column": "image_id",
            "labels": _VINDR,
            "reduce": "majority",
            "images": ".",
        },
    ),
    Layout(
        "vindr",
        "VinDr-CXR, boxes of the Kaggle competition",
        tables=("train.csv",),
        columns=("image_id", "class_name", "class_id", "rad_id"),
        options={
            "path_column": "image_id",
            "labels": "class_name",
            "reduce": "majority",
            "images": ".",
        },
    ),
    Layout(
        "rsna",
        "RSNA Pneumonia Detection Challenge",
        tables=("stage_2_train_labels.csv",),
        columns=("patientId", "x", "y", "width", "height", "Target"),
        options={
            "path_column": "patientId",
            "labels": "Target",
            "class_map": {"0": "No Lung Opacity", "1": "Lung Opacity"},
            "patient": "patientId",
            "reduce": "any",
            "images": ".",
        },
        caution=_IMAGE_IDS,
    ),
    Layout(
        "rsna",
        "RSNA Pneumonia Detection Challenge, three classes",
        tables=("stage_2_detailed_class_info.csv",),
        columns=(),
        options={
            "path_column": "patientId",
            "labels": "class",
            "patient": "patientId",
            "reduce": "any",
            "images": ".",
        },
        caution=_IMAGE_IDS,
    ),
    Layout(
        "siim",
        "SIIM-ACR Pneumothorax Segmentation",
        tables=("train-rle.csv",),
        columns=("ImageId", "EncodedPixels"),
        options={
            "path_column": "ImageId",
            "labels": "EncodedPixels",
            "class_map": {"-1": "No Pneumothorax", "*": "Pneumothorax"},
            "reduce": "any",
            "images": ".",
        },
        caution=_IMAGE_IDS,
    ),
    Layout(
        "covidx",
        "COVIDx",
        tables=("train.txt", "val.txt", "test.txt"),
        columns=(),
        options={
            "header": ("patient", "file", "label", "source"),
            "delimiter": " ",
            "path_column": "file",
            "labels": "label",
            "patient": "patient",
            "images": ".",
        },
        sources=("cohen", "fig1", "actmed", "sirm", "rsna", "ricord", "bimcv", "stonybrook"),
    ),
    Layout(
        "covidx",
        "COVIDx, first version",
        tables=("train_split*.txt", "test_split*.txt"),
        columns=(),
        options={
            "header": ("patient", "file", "label"),
            "delimiter": " ",
            "path_column": "file",
            "labels": "label",
            "patient": "patient",
            "images": ".",
        },
    ),
    Layout(
        "openi",
        "Open-i, Indiana University",
        tables=("indiana_projections.csv",),
        columns=("uid", "filename", "projection"),
        options={
            "path_column": "filename",
            "labels": "Problems",
            "separator": ";",
            "patient": "uid",
            "images": ".",
            "join": ("indiana_reports.csv",),
            "where": 'Problems != "No Indexing"',
        },
        frontal='projection == "Frontal"',
    ),
    Layout(
        "kermany",
        "Kermany's paediatric set",
        tables=(),
        columns=(),
        options={"positive": "PNEUMONIA"},
    ),
)


def recognise(columns: Iterable[str]) -> Layout | None:
    """Return the layout of a table with these columns, or None."""
    names = list(columns)
    for layout in LAYOUTS:
        if layout.columns and set(names).issuperset(layout.columns):
            return layout
        if len(names) == 4 and names[-1] in layout.sources:  # the first row, read as a header
            return layout
    return None
