"""Copies of sets with several rows for each image: boxes, masks or readers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from public_sets.images import write_dicom, write_lines

_VINDR_FINDINGS = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture"),
    *("Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity"),
    *("Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion"),
    *("COPD", "Lung tumor", "Pneumonia", "Tuberculosis"),
)


def rsna(root: Path) -> Path:
    """RSNA pneumonia challenge: one row for each box, names without ``.dcm``.

    A second table has three classes. The test images have no labels. One file is missing.
    """
    boxes = {"p04": 2, "p07": 1, "p09": 3, "p12": 1}
    patients = [f"p{number:02}" for number in range(1, 13)]
    labels, classes = [], []
    for patient in patients:
        for box in range(boxes.get(patient, 0)):
            labels.append(f"{patient},{264 + box}.0,152.0,213.0,379.0,1")
            classes.append(f"{patient},Lung Opacity")
        if patient not in boxes:
            labels.append(f"{patient},,,,,0")
            odd = int(patient[1:]) % 2
            classes.append(f"{patient},{'Normal' if odd else 'No Lung Opacity / Not Normal'}")
    folder = root / "rsna"
    write_lines(folder / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", *labels)
    write_lines(folder / "stage_2_detailed_class_info.csv", "patientId,class", *classes)
    for patient in patients:
        if patient != "p11":
            write_dicom(folder / "stage_2_train_images" / f"{patient}.dcm", patient)
    for patient in ("t01", "t02"):
        write_dicom(folder / "stage_2_test_images" / f"{patient}.dcm", patient)
    return folder


def siim(root: Path) -> Path:
    """SIIM-ACR pneumothorax: run-length masks or -1, a column name that begins with a space.

    Files are two folders down; the patient is in the header. One file has no row, one is missing.
    """
    masks = {3: 1, 5: 2, 8: 1, 10: 3}
    rows = []
    for number in range(1, 13):
        uid = f"1.2.276.0.7230010.3.1.4.8323329.{number}.1517875160.8375"
        for mask in range(masks.get(number, 1)):
            runs = f"387620 23 {996 + mask} 33 982 41" if number in masks else "-1"
            rows.append(f"{uid}, {runs}")
    folder = root / "siim"
    write_lines(folder / "train-rle.csv", "ImageId, EncodedPixels", *rows)
    for number in range(1, 14):
        uid = f"1.2.276.0.7230010.3.1.4.8323329.{number}.1517875160.8375"
        patient = "q01" if number == 2 else f"q{number:02}"  # 1 and 2 are one patient
        if number != 12:
            place = folder / "dicom-images-train" / f"study{number}" / f"series{number}"
            write_dicom(place / f"{uid}.dcm", patient, uid)
    return folder


_READINGS = {
    # the findings of three readers for each training image
    "v01": ("Cardiomegaly", "Cardiomegaly", ""),
    "v02": ("Pleural effusion", "", ""),
    "v03": ("", "", ""),
    "v04": ("Cardiomegaly,Pleural effusion", "Cardiomegaly,Pleural effusion", "Cardiomegaly"),
    "v05": ("", "", ""),  # missing
    "v06": ("Tuberculosis,Lung Opacity", "Lung Opacity", "Pneumonia"),
    "v07": ("", "", ""),
    "v08": ("", "", ""),
    "v09": ("Nodule/Mass", "Nodule/Mass", "Nodule/Mass"),
    "v10": ("", "", ""),
}


def vindr(root: Path) -> Path:
    """VinDr-CXR of PhysioNet: training images read by three readers, test images by consensus.

    The two tables spell one column differently. The headers name no patient. One file is missing.
    """
    folder = root / "vindr-cxr"
    readings = [
        f"{image},R{number},{_flags(found)}"
        for image, three in _READINGS.items()
        for number, found in enumerate(three, 8)
    ]
    consensus = {"w01": "Cardiomegaly", "w02": "", "w03": "Pleural effusion,Lung Opacity"}
    names = ",".join(_VINDR_FINDINGS)
    write_lines(
        folder / "annotations" / "image_labels_train.csv",
        f"image_id,rad_id,{names},Other diseases,No finding",
        *readings,
    )
    write_lines(
        folder / "annotations" / "image_labels_test.csv",
        f"image_id,{names},Other disease,No finding",
        *(f"{image},{_flags(found)}" for image, found in consensus.items()),
    )
    _write_vindr(folder / "train", _READINGS)
    _write_vindr(folder / "test", consensus)
    return folder


def _flags(found: str) -> str:
    """Return 1 or 0 for each finding, for another disease, and for no finding."""
    values = [int(name in found.split(",")) for name in _VINDR_FINDINGS]
    return ",".join(map(str, [*values, 0, int(not found)]))


def vindr_boxes(root: Path) -> Path:
    """VinDr-CXR of Kaggle: one row for each box and reader, ``No finding`` without a box.

    Only the training images have labels.
    """
    folder = root / "vinbigdata"
    rows = []
    for image, three in _READINGS.items():
        for number, found in enumerate(three, 8):
            for name in found.split(",") if found else []:
                rows += [f"{image},{name},3,R{number},691,1375,1653,1831"] * (1 + (name[0] == "L"))
            if not found:
                rows.append(f"{image},No finding,14,R{number},,,,")
    write_lines(
        folder / "train.csv", "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max", *rows
    )
    write_lines(folder / "sample_submission.csv", "image_id,PredictionString", "w01,14 1 0 0 1 1")
    _write_vindr(folder / "train", _READINGS)
    _write_vindr(folder / "test", ["w01"])
    return folder


def _write_vindr(folder: Path, images: Iterable[str]) -> None:
    for image in images:
        if image != "v05":
            write_dicom(folder / f"{image}.dicom")
