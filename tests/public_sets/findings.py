"""Copies of sets with several findings for each image."""

from __future__ import annotations

from pathlib import Path

from public_sets.images import write_images, write_lines

_CHEXPERT = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion"),
    *("Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices"),
)


def nih(root: Path) -> Path:
    """ChestX-ray14: findings separated by ``|``, several folders, two official lists.

    One file is missing.
    """
    rows = [
        # name, findings, follow-up, patient, age, sex, view
        "00000101_000.png,Cardiomegaly,0,101,058Y,M,PA",
        "00000101_001.png,Cardiomegaly|Emphysema,1,101,058Y,M,PA",
        "00000101_002.png,Cardiomegaly|Effusion,2,101,059Y,M,PA",
        "00000102_000.png,No Finding,0,102,081Y,M,PA",
        "00000103_000.png,Hernia,0,103,074Y,F,PA",
        "00000103_001.png,Hernia,1,103,075Y,F,AP",
        "00000103_002.png,Hernia|Infiltration,2,103,075Y,F,PA",
        "00000104_000.png,Mass|Nodule,0,104,041Y,F,AP",
        "00000105_000.png,No Finding,0,105,033Y,M,PA",
        "00000105_001.png,Infiltration,1,105,034Y,M,PA",
        "00000106_000.png,Effusion|Pneumothorax,0,106,066Y,F,AP",
        "00000106_001.png,No Finding,1,106,066Y,F,AP",
        "00000107_000.png,No Finding,0,107,019Y,M,PA",  # missing
        "00000108_000.png,Cardiomegaly,0,108,070Y,F,PA",
        "00000109_000.png,Effusion,0,109,052Y,M,PA",
        "00000109_001.png,Pleural_Thickening,1,109,053Y,M,PA",
        "00000110_000.png,No Finding,0,110,027Y,F,PA",
        "00000111_000.png,Infiltration,0,111,045Y,M,AP",
    ]
    folder = root / "nih"
    write_lines(
        folder / "Data_Entry_2017.csv",
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
        *(f"{row},2500,2048,0.171,0.171," for row in rows),
    )
    names = [row.partition(",")[0] for row in rows]
    test = [name for name in names if name[:8] in ("00000103", "00000106", "00000110")]
    write_lines(folder / "test_list.txt", *test)
    write_lines(folder / "train_val_list.txt", *(name for name in names if name not in test))
    write_lines(
        folder / "BBox_List_2017.csv",
        "Image Index,Finding Label,Bbox [x,y,w,h],,,",
        "00000101_000.png,Cardiomegaly,225.0,547.0,86.7,79.1,,,",
    )
    present = [name for name in names if name != "00000107_000.png"]
    write_images(folder / "images_001" / "images", present[:9])
    write_images(folder / "images_002" / "images", present[9:])
    return folder


def chexpert(root: Path) -> Path:
    """CheXpert: 1, 0, -1 (uncertain) and blank; paths start with the name of the folder.

    Laterals have no AP/PA. One file is missing.
    """
    train = [
        _chexpert("patient00101/study1/view1_frontal", "M,61,Frontal,AP", "No Finding"),
        _chexpert("patient00101/study1/view2_lateral", "M,61,Lateral,", "No Finding"),
        _chexpert("patient00101/study2/view1_frontal", "M,62,Frontal,AP", "Edema", "Cardiomegaly"),
        _chexpert(
            "patient00102/study1/view1_frontal",
            "F,47,Frontal,PA",
            *("Lung Opacity,Pleural Effusion", "Pneumonia"),
        ),
        _chexpert(
            "patient00103/study1/view1_frontal",
            "F,80,Frontal,AP",
            *("Pleural Effusion,Support Devices", "", "Edema"),
        ),
        _chexpert(
            "patient00103/study1/view2_lateral",
            "F,80,Lateral,",
            *("Pleural Effusion,Support Devices", "", "Edema"),
        ),
        _chexpert("patient00104/study1/view1_frontal", "M,55,Frontal,PA", "Cardiomegaly", "Edema"),
        _chexpert("patient00105/study1/view1_frontal", "F,29,Frontal,PA"),
        _chexpert("patient00106/study1/view1_frontal", "M,33,Frontal,PA", "Pneumonia"),  # missing
        _chexpert(
            "patient00107/study1/view1_frontal", "F,66,Frontal,AP", "No Finding,Support Devices"
        ),
    ]
    rest = ",".join(_CHEXPERT)
    valid = [
        _chexpert("patient00201/study1/view1_frontal", "M,71,Frontal,AP", "Cardiomegaly", "", rest),
        _chexpert("patient00202/study1/view1_frontal", "F,24,Frontal,PA", "No Finding", "", rest),
        _chexpert(
            "patient00203/study1/view1_frontal",
            "M,68,Frontal,AP",
            *("Edema,Pleural Effusion", "", rest),
        ),
    ]
    folder = root / "CheXpert-v1.0-small"
    for split, rows in {"train": train, "valid": valid}.items():
        paths = [f"{split}/{row.partition(',')[0]}" for row in rows]
        write_lines(
            folder / f"{split}.csv",
            f"Path,Sex,Age,Frontal/Lateral,AP/PA,{','.join(_CHEXPERT)}",
            *(f"CheXpert-v1.0-small/{split}/{row}" for row in rows),
        )
        write_images(folder, (path for path in paths if "patient00106" not in path))
    return folder


def _chexpert(
    path: str, person: str, positive: str = "", uncertain: str = "", zero: str = ""
) -> str:
    """Return a row; a label in several of the lists has the value of the first."""
    values = dict.fromkeys(zero.split(","), "0.0")
    values |= dict.fromkeys(uncertain.split(","), "-1.0")
    values |= dict.fromkeys(positive.split(","), "1.0")
    return f"{path}.jpg,{person},{','.join(values.get(name, '') for name in _CHEXPERT)}"


def mimic(root: Path) -> Path:
    """MIMIC-CXR-JPG: labels of studies, splits and views of images, in three compressed tables.

    One study has no labels, one file is missing.
    """
    images = [
        # image, study, subject, split, view
        ("aa01-01", "50000001", "10000101", "train", "PA"),
        ("aa01-02", "50000001", "10000101", "train", "LATERAL"),
        ("aa02-01", "50000002", "10000101", "train", "AP"),
        ("aa03-01", "50000003", "10000102", "train", "AP"),
        ("aa04-01", "50000004", "10000102", "train", "PA"),
        ("aa04-02", "50000004", "10000102", "train", "LATERAL"),
        ("aa05-01", "50000005", "11000103", "validate", "AP"),
        ("aa06-01", "50000006", "11000104", "test", "PA"),
        ("aa06-02", "50000006", "11000104", "test", "LL"),
        ("aa07-01", "50000007", "12000105", "train", "AP"),  # without labels
        ("aa08-01", "50000008", "12000106", "train", ""),  # missing
        ("aa09-01", "50000009", "13000107", "test", "AP"),
    ]
    names = sorted(_CHEXPERT)
    studies: dict[str, dict[str, str]] = {
        "10000101,50000001": {"Pneumonia": "1.0", "Pleural Effusion": "0.0"},
        "10000101,50000002": {"No Finding": "1.0"},
        "10000102,50000003": {"Edema": "-1.0", "Pleural Effusion": "1.0"},
        "10000102,50000004": {"Pneumonia": "-1.0", "Atelectasis": "1.0"},
        "11000103,50000005": {"Edema": "1.0"},
        "11000104,50000006": {"No Finding": "1.0"},
        "12000106,50000008": {"Pneumonia": "1.0"},
        "13000107,50000009": {"Support Devices": "1.0", "Pneumonia": "0.0"},
    }
    folder = root / "mimic-cxr-jpg"
    write_lines(
        folder / "mimic-cxr-2.0.0-split.csv.gz",
        "dicom_id,study_id,subject_id,split",
        *(f"{image},{study},{subject},{split}" for image, study, subject, split, _ in images),
    )
    write_lines(
        folder / "mimic-cxr-2.0.0-metadata.csv.gz",
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,"
        "StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
        "PatientOrientationCodeSequence_CodeMeaning",
        *(
            f"{image},{subject},{study},CHEST (PA AND LAT),{view},3056,2544,21800506,213014.531,"
            "CHEST (PA AND LAT),,Erect"
            for image, study, subject, _, view in images
        ),
    )
    write_lines(
        folder / "mimic-cxr-2.0.0-chexpert.csv.gz",
        f"subject_id,study_id,{','.join(names)}",
        *(
            f"{study},{','.join(labels.get(name, '') for name in names)}"
            for study, labels in studies.items()
        ),
    )
    write_images(
        folder / "files",
        (
            f"p{subject[:2]}/p{subject}/s{study}/{image}.jpg"
            for image, study, subject, *_ in images
            if image != "aa08-01"
        ),
    )
    return folder


def padchest(root: Path) -> Path:
    """PadChest: lists of labels with blanks inside, folders in a column, 16-bit PNG names.

    One row has no labels, one says that it is to be excluded, one that nothing changed. One file
    is missing.
    """
    rows = [
        # image, folder, study, patient, birth, sex, projection, labels
        "a01.png,0,S1,P1,1950.0,F,PA,,['normal']",
        "a02.png,0,S1,P1,1950.0,F,L,,['normal']",
        "a03.png,0,S2,P2,1941.0,M,PA,,\"['pleural effusion', 'costophrenic angle blunting']\"",
        "a04.png,1,S3,P2,1941.0,M,L,,\"['cardiomegaly', ' pleural effusion']\"",
        "a05.png,1,S4,P3,1962.0,F,AP_horizontal,,['pneumonia']",
        "a06.png,1,S5,P4,1933.0,F,PA,,['exclude']",
        "a07.png,54,S6,P5,1958.0,M,PA,,['cardiomegaly']",
        "a08.png,54,S7,P6,1971.0,M,PA,,",
        "a09.png,54,S8,P7,1949.0,F,PA,,\"['pneumonia', 'infiltrates']\"",  # missing
        "a10.png,0,S9,P8,1980.0,F,PA,,['normal']",
        "a11.png,0,S10,P8,1980.0,F,PA,,['unchanged']",
        "a12.png,1,S11,P9,1944.0,M,PA,,['scoliosis']",
        "a13.png,1,S12,P10,1937.0,M,AP,,\"['pneumonia', 'suboptimal study']\"",
        "a14.png,54,S13,P11,1966.0,F,COSTAL,,['rib fracture']",
        "a15.png,0,S14,P12,1953.0,M,PA,,['normal']",
        "a16.png,0,S15,P13,1990.0,F,PA,,['normal']",
        "a17.png,1,S16,P14,1939.0,M,PA,,['cardiomegaly']",
        "a18.png,1,S16,P14,1939.0,M,L,,['cardiomegaly']",
        "a19.png,54,S17,P15,1946.0,F,AP,,['pneumonia']",
        "a20.png,54,S18,P16,1951.0,M,PA,,['pleural effusion']",
    ]
    folder = root / "padchest"
    lines = []
    for number, row in enumerate(rows):
        image, place, study, patient, birth, sex, view, _, labels = row.split(",", 8)
        lines.append(
            f"{number},{image},{place},20140915,{study},{patient},{birth},{sex},None,{view},"
            "Manual review of DICOM fields,No,CR,PhilipsMedicalSystems,MONOCHROME2,0,"
            f"\"['1', '1']\",0.2,12,2047.0,4095.0,1760,2140,None,None,None,None,330,4991845,"
            f'" sin hallazg , signific {number} .",Physician,{labels},[],[],[],[]'
        )
    write_lines(
        folder / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv",
        ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,"
        "ViewPosition_DICOM,Projection,MethodProjection,Pediatric,Modality_DICOM,"
        "Manufacturer_DICOM,PhotometricInterpretation_DICOM,PixelRepresentation_DICOM,"
        "PixelAspectRatio_DICOM,SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,"
        "WindowWidth_DICOM,Rows_DICOM,Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,"
        "ExposureInuAs_DICOM,ExposureTime,RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,"
        "Labels,Localizations,LabelsLocalizationsBySentence,labelCUIS,LocalizationsCUIS",
        *lines,
    )
    files = ["/".join(row.split(",")[1::-1]) for row in rows]
    write_images(folder, (name for name in files if name != "54/a09.png"))
    return folder


def openi(root: Path) -> Path:
    """Open-i (Indiana), tables of Kaggle: findings of reports, views of images, joined by number.

    One report is not indexed, one has no image. One file is missing.
    """
    reports = {
        "1": "normal",
        "2": "Cardiomegaly;Pulmonary Artery",
        "3": "normal",
        "4": "Pleural Effusion;Cardiomegaly",
        "5": "No Indexing",
        "6": "Opacity",
        "7": "normal",
        "8": "Calcinosis",  # without an image
    }
    views = {"1": "FL", "2": "FL", "3": "F", "4": "FL", "5": "FL", "6": "FL", "7": "FL"}
    text = '"The heart, as far as seen, is {}.\nNo ""acute"" disease."'
    projections = [
        (uid, f"{uid}_IM-{int(uid):04}-{number}001.dcm.png", view)
        for uid, letters in views.items()
        for number, view in enumerate(
            ("Frontal" if letter == "F" else "Lateral" for letter in letters), 3
        )
    ]
    folder = root / "openi"
    write_lines(
        folder / "indiana_reports.csv",
        "uid,MeSH,Problems,image,indication,comparison,findings,impression",
        *(
            f"{uid},{problems.replace(';', '/borderline;')},{problems},Xray Chest PA and Lateral,"
            f"Positive TB test,None.,{text.format(uid)},Normal chest x-XXXX."
            for uid, problems in reports.items()
        ),
    )
    write_lines(
        folder / "indiana_projections.csv",
        "uid,filename,projection",
        *(",".join(row) for row in projections),
    )
    write_images(
        folder / "images" / "images_normalized",
        (name for _, name, _ in projections if name != "6_IM-0006-3001.dcm.png"),
    )
    return folder
