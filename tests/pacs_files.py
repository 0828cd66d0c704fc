"""Drawn chest radiographs as DICOM files with chosen and odd attributes, and a small bundle."""

from __future__ import annotations

import functools
import hashlib
import io
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from locked_points import locked
from plainfilm.bundle import Bundle, BundleMetadata, Provenance, write_bundle
from plainfilm.config import FitConfig, NetworkConfig, Recipe
from plainfilm.phantom import sample_patient
from plainfilm.phantom.encode import encode
from plainfilm.phantom.radiograph import render
from plainfilm.records import PixelSpec, Task

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

LONG = "Wolfeschlegelsteinhausenbergerdorff-Schmidt-Rottenmanner-Weiland"
ODD: dict[str, dict[str, Any]] = {
    "ordinary": {},
    "computed radiography": {"SOPClassUID": CR, "Modality": "CR", "PresentationIntentType": None},
    "no study ID": {"StudyID": None},
    "empty attributes": dict.fromkeys(
        ("StudyID", "StudyDate", "StudyTime", "PatientID", "PatientName", "PatientSex"), ""
    ),
    "few attributes": dict.fromkeys(
        (
            *("StudyID", "StudyDate", "StudyTime", "PatientBirthDate", "PatientSex", "PatientAge"),
            *("AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "InstanceNumber"),
            *("SpecificCharacterSet", "PatientOrientation", "ImagerPixelSpacing", "Manufacturer"),
            *("AnatomicRegionSequence", "ImageLaterality"),
        )
    ),
    "Korean name": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 149"],
        "PatientName": "Hong^Gildong=洪^吉洞=홍^길동",
    },
    "Japanese name": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    },
    "Latin-1 name": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Ångström^Jürgen"},
    "long names": {
        "PatientName": LONG,
        "PatientID": LONG,
        "ReferringPhysicianName": f"{LONG[:40]}^{LONG[:20]}",
        "StudyID": "1234567890123456",
        "AccessionNumber": "ABCDEFGHIJKLMNOP",
    },
    "no laterality": {"ImageLaterality": None, "Laterality": None},
    "right side": {"ImageLaterality": "R"},
    "lateral view": {"ViewPosition": "LL"},
    "no view": {"ViewPosition": None},
    "hand": {"BodyPartExamined": "HAND", "AnatomicRegionSequence": None},
    "no body part": {"BodyPartExamined": None, "AnatomicRegionSequence": None},
    "for processing": {
        "SOPClassUID": DX_FOR_PROCESSING,
        "PresentationIntentType": "FOR PROCESSING",
    },
    "secondary capture": {
        "SOPClassUID": SECONDARY_CAPTURE,
        "Modality": "OT",
        "ConversionType": "DI",
    },
    "invalid dates": {
        "PatientBirthDate": "1970.01.01",
        "StudyDate": "1.2.2000",
        "StudyTime": "noon",
    },
}
"""Attributes by keyword of each odd file; None removes one."""


@functools.lru_cache(maxsize=16)
def _film(seed: int, size: tuple[int, int]) -> bytes:
    """Return a drawn radiograph as an uncompressed DX file."""
    rng = np.random.default_rng(seed)
    patient = sample_patient(rng)
    picture = render(rng, size=size, patient=patient, pneumonia="lobar" if seed % 2 else None)
    return encode(rng, picture, "dicom", patient=patient, key=str(seed), image=1)


def uid(*parts: object) -> str:
    """Return a UID that depends only on ``parts``."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


def chest(
    image: object = 1,
    *,
    study: object = None,
    seed: int = 1,
    size: tuple[int, int] = (160, 128),
    frames: int = 1,
    attributes: Mapping[str, Any] | None = None,
    **more: Any,
) -> Any:
    """Return a pydicom data set of a drawn frontal chest radiograph.

    Parameters
    ----------
    image
        Name of the image: another name has another SOP Instance UID.
    study
        Name of the study, and of the patient; by default that of the image.
    seed
        Seed of the drawing.
    size
        Height and width in pixels.
    frames
        Number of frames.
    attributes, more
        Attributes by keyword; None removes one.
    """
    pydicom = pytest.importorskip("pydicom")
    made = pydicom.dcmread(io.BytesIO(_film(seed, size)))
    study = image if study is None else study
    made.PositionerType = ""
    made.SOPInstanceUID = uid("image", image)
    made.StudyInstanceUID = uid("study", study)
    made.SeriesInstanceUID = uid("series", study)
    made.PatientID = f"SYNTHETIC-{study}"
    made.PatientName = f"SYNTHETIC^{study}"
    if frames > 1:
        made.NumberOfFrames = frames
        made.PixelData = made.PixelData * frames
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some values are invalid on purpose
        for keyword, value in {**(attributes or {}), **more}.items():
            if value is not None:
                setattr(made, keyword, value)
            elif keyword in made:
                delattr(made, keyword)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    return made


def to_bytes(dataset: Any) -> bytes:
    """Return a data set as a DICOM file."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def odd_chests(*names: str) -> dict[str, bytes]:
    """Return DICOM files with odd attributes, by name; all of `ODD`, two frames, and damaged."""
    files = {name: to_bytes(chest(f"odd {name}", attributes=odd)) for name, odd in ODD.items()}
    files["two frames"] = to_bytes(chest("odd two frames", frames=2))
    files["truncated"] = to_bytes(chest("odd truncated"))[:-9000]
    return {name: files[name] for name in names} if names else files


def lossless(data: bytes) -> bytes:
    """Return a file compressed as JPEG lossless, as many detectors send it."""
    program = shutil.which("dcmcjpeg")
    if program is None:
        pytest.skip("dcmcjpeg: not installed")
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "a.dcm"), Path(folder, "b.dcm")
        source.write_bytes(data)
        subprocess.run([program, "+e1", "+ua", source, made], check=True, capture_output=True)
        return made.read_bytes()


def write_bundle_of_brightness(
    folder: Path,
    labels: Sequence[str] = ("pneumonia",),
    *,
    kind: str = "binary",
    size: int = 32,
    threshold: float = 0.5,
) -> Bundle:
    """Write a bundle with activation maps that predicts bright images as positive."""
    pytest.importorskip("onnx")
    from onnx_networks import brightness_graph

    classes = ("normal", labels[0]) if kind == "binary" else tuple(labels)
    task = Task(kind, tuple(labels), classes)  # type: ignore[arg-type]
    recipe = Recipe("brightness", "", PixelSpec(size), NetworkConfig("none"), FitConfig(1))
    metadata = BundleMetadata(
        task=task,
        pixels=recipe.input,
        temperature=1.0,
        points=tuple(locked(label, "balanced", threshold) for label in task.labels),
        has_activation_map=True,
        provenance=Provenance(recipe=recipe, seed=0, epoch=1),
    )
    gains = [1.0 - 0.5 * number for number in range(len(labels))]
    end = "Softmax" if kind == "multiclass" else "Sigmoid"
    graph = brightness_graph(gains, size, activation=True, end=end)
    return write_bundle(folder, metadata, graph=graph, weights=b"none")
