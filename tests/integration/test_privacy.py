"""Patient identity does not leave the input files.

Canaries are planted in all elements of DICOM headers that may contain an identity, in the columns
of a table and in the comments of images. Then all commands run, and everything written, printed or
logged is searched for the canaries.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pydicom
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import config as pydicom_config
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import JPEG2000Lossless

from plainfilm.cli.main import main
from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import PlainfilmError
from plainfilm.phantom import write_dataset
from plainfilm.training import open_run

pytest.importorskip("keras")

pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[bytes]

CANARY = re.compile(rb"Zq[0-9A-F]{8}Kx", re.IGNORECASE)
UID_ROOT = "1.2.826.0.1.991188"
DATES = ("19330517", "1933-05-17", "17.05.1933")
TEXTS = frozenset({"PN", "LO", "SH", "LT", "ST", "UT", "UC", "AE", "UR"})
PLAIN = frozenset(  # elements for decoding, and elements that are kept on purpose
    {"SOPClassUID", "MediaStorageSOPClassUID", "TransferSyntaxUID", "Manufacturer"}
    | {"SpecificCharacterSet", "PixelDataProviderURL", "PatientID"}
)
SALT = "Zq5A175A17Kx is the salt"
PATIENTS = 46


def canary(number: int) -> str:
    return f"Zq{number:08X}Kx"


def planted() -> Dataset:
    """Return a DICOM data set with a canary in every element that may contain an identity."""
    data = Dataset()
    for number, (kind, _, _, _, keyword) in DicomDictionary.items():
        tag = Tag(number)
        if not keyword or keyword in PLAIN or tag.group in (0x0000, 0x0002, 0x0004, 0x7FE0):
            continue
        if kind in TEXTS:
            value = f"{canary(number)}^Given" if kind == "PN" else canary(number)
        elif kind == "UI":
            value = f"{UID_ROOT}.{number}"
        elif kind == "DA":
            value = DATES[0]
        elif kind == "DT":
            value = f"{DATES[0]}101010"
        else:
            continue
        data.add_new(tag, kind, value)
    for at, (element, kind) in enumerate([(0x0022, "LO"), (0x1500, "LO"), (0x4000, "LT")]):
        data.add_new(Tag(0x6000, element), kind, canary(0x60000000 + at))
    inner = Dataset()
    inner.PatientID, inner.PatientName = canary(0xA1), f"{canary(0xA2)}^B"
    inner.ReferencedSOPInstanceUID = f"{UID_ROOT}.77"
    outer = Dataset()
    outer.OtherPatientIDsSequence = [inner]
    for keyword in ("OtherPatientIDsSequence", "RequestAttributesSequence", "ContentSequence"):
        setattr(data, keyword, [inner, outer])
    block = data.private_block(0x0009, canary(0xB1), create=True)
    block.add_new(1, "LO", canary(0xB2))
    block.add_new(2, "UN", canary(0xB3).encode())
    return data


def plant(path: Path, extra: Dataset, patient: str, out: Path, syntax: str = "") -> Path:
    """Write a copy of a DICOM file that is full of canaries."""
    data = pydicom.dcmread(path)
    del data.PatientIdentityRemoved
    data.update(extra)
    data.PatientID = patient
    data.file_meta.MediaStorageSOPInstanceUID = f"{UID_ROOT}.5"
    data.file_meta.ImplementationClassUID = f"{UID_ROOT}.6"
    data.file_meta.ImplementationVersionName = canary(0xC1)
    data.file_meta.SourceApplicationEntityTitle = canary(0xC2)
    data.preamble = canary(0xC3).encode().ljust(128, b"\0")
    if syntax:
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = encapsulate([canary(0xD2).encode() * 9])
    out.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=False)
    out.write_bytes(stream.getvalue())
    return out


@dataclass
class Site:
    """The data with canaries, the output folder, and everything that was printed or logged."""

    data: Path
    bad: Path
    pictures: Path
    table: Path
    out: Path
    secrets: list[bytes]
    output: list[str] = field(default_factory=list)


def hashes_of(text: str) -> Iterator[bytes]:
    """Yield unsalted hashes."""
    for name in ("md5", "sha1", "sha256"):
        yield hashlib.new(name, text.encode()).hexdigest()[:16].encode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    top = tmp_path_factory.mktemp("privacy")
    drawn = top / "drawn"
    write_dataset(
        drawn, images={"train": 96, "test": 42}, seed=5, size=64, format="dicom", workers=1
    )
    extra = planted()
    patients = [f"{canary(0x00100020)}{number}" for number in range(PATIENTS)]
    data = top / "hospital"
    rows = [
        "file,label,patient_id,Patient Name,birth date,MRN,accession_number,StudyInstanceUID,"
        "remarks,exam,series,reader,age"
    ]
    mode = pydicom_config.settings.writing_validation_mode
    pydicom_config.settings.writing_validation_mode = pydicom_config.IGNORE
    try:
        for number, path in enumerate(sorted(drawn.rglob("*.dcm"))):
            split, label = path.relative_to(drawn).parts[:2]
            name = f"{split}/{label}/{number:04}.dcm"
            plant(path, extra, patients[number % PATIENTS], data / name)
            cells = [f"hospital/{name}", label, patients[number % PATIENTS], f"{canary(1)} B"]
            cells += [DATES[1], canary(2), canary(3), f"{UID_ROOT}.8", canary(4), DATES[2]]
            rows.append(",".join([*cells, f"{UID_ROOT}.9", f"{canary(5)}^C", "50"]))
        bad = break_some(next(drawn.rglob("*.dcm")), extra, top / "bad")
    finally:
        pydicom_config.settings.writing_validation_mode = mode
    # Add files that cannot be decoded.
    for path in sorted(bad.iterdir()):
        shutil.copy(path, data / "train" / "NORMAL" / path.name)
    table = top / "labels.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    secrets = [UID_ROOT.encode(), *(date.encode() for date in DATES)]
    secrets += [digest for patient in patients for digest in hashes_of(patient)]
    secrets += [digest for n in (1, 2, 3, 4) for digest in hashes_of(canary(n))]
    return Site(data, bad, draw_pictures(top / "pictures"), table, top / "out", secrets)


def break_some(path: Path, extra: Dataset, folder: Path) -> Path:
    """Write files that cannot be decoded for different reasons."""
    patient = f"{canary(0x00100020)}0"
    whole = plant(path, extra, patient, folder / "whole.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(whole[: len(whole) - 500])
    (folder / "header.dcm").write_bytes(whole[:3000])
    (folder / "noise.dcm").write_bytes(whole[:2000] + os.urandom(2000) + whole[4000:])
    (folder / "whole.dcm").unlink()
    words = {"NumberOfFrames", "WindowCenter", "RescaleSlope", "RescaleIntercept"}
    data = pydicom.dcmread(path)
    for keyword in ("NumberOfFrames", "BitsStored", "PixelRepresentation"):
        if keyword not in data:
            setattr(data, keyword, 1)
    data.save_as(folder / "base.dcm", enforce_file_format=True)
    for keyword in sorted(words):
        marked = plant(folder / "base.dcm", extra, patient, folder / f"{keyword}.dcm").read_bytes()
        element = Tag(keyword)
        at = marked.find(
            element.group.to_bytes(2, "little") + element.element.to_bytes(2, "little")
        )
        word = canary(0xD1).encode()
        length = int.from_bytes(marked[at + 6 : at + 8], "little")
        value = marked[: at + 6] + len(word).to_bytes(2, "little") + word
        (folder / f"{keyword}.dcm").write_bytes(value + marked[at + 8 + length :])
    (folder / "base.dcm").unlink()
    plant(path, extra, patient, folder / "codec.dcm", syntax=JPEG2000Lossless)
    plant(path, extra, patient, folder / "private.dcm", syntax=f"{UID_ROOT}.3")
    return folder


def draw_pictures(folder: Path) -> Path:
    """Write images with an identity in their comments."""
    folder.mkdir()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    text = PngInfo()
    text.add_text("Patient", canary(0xE1))
    text.add_itxt("Comment", canary(0xE2))
    exif = Image.Exif()
    exif[270], exif[315], exif[306] = canary(0xE3), canary(0xE4), "1933:05:17 10:10:10"
    picture.save(folder / "a.png", pnginfo=text, exif=exif)
    picture.save(folder / "b.jpeg", exif=exif, comment=canary(0xE5).encode())
    picture.save(folder / "c.tiff", exif=exif, description=canary(0xE6))
    picture.save(folder / "d.webp", exif=exif, xmp=canary(0xE7).encode())
    for name in ("a.png", "b.jpeg", "c.tiff", "d.webp"):
        data = (folder / name).read_bytes()
        (folder / f"cut-{name}").write_bytes(data[: len(data) // 2])
    return folder


class Recorder(logging.Handler):
    """Records what any library logs."""

    def __init__(self, output: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self.output = output

    def emit(self, record: logging.LogRecord) -> None:
        self.output.append(f"{record.name} {record.getMessage()} {record.exc_info}")


@pytest.fixture(scope="module")
def recording(site: Site) -> Iterator[None]:
    root, recorder = logging.getLogger(), Recorder(site.output)
    level = root.level
    root.addHandler(recorder)
    root.setLevel(logging.DEBUG)
    for quiet in ("matplotlib", "tensorflow", "h5py", "jax", "absl"):
        logging.getLogger(quiet).setLevel(logging.INFO)
    yield
    root.removeHandler(recorder)
    root.setLevel(level)


@pytest.fixture
def plainfilm(
    site: Site, recording: None, monkeypatch: pytest.MonkeyPatch, capfdbinary: Capture
) -> Callable[..., str]:
    """Return a function that runs the command, records its output and checks its status."""
    monkeypatch.setenv("PLAINFILM_SALT", SALT)
    monkeypatch.setenv("PLAINFILM_CACHE", str(site.out / "cache"))

    def run(status: int, *arguments: object) -> str:
        found = main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        site.output += [out.decode(errors="replace"), err.decode(errors="replace")]
        assert found == status, err.decode(errors="replace")
        assert b"a defect in plainfilm" not in err
        return site.output[-2]

    return run


@pytest.fixture(scope="module")
def settings(tiny_settings: tuple[str, ...]) -> list[str]:
    return [part for one in tiny_settings if "limit" not in one for part in ("--set", one)]


def test_the_canaries_are_there(site: Site) -> None:
    """The search finds the planted canaries, so that the tests below can fail."""
    found = search(next(site.data.rglob("0000.dcm")).read_bytes(), site.secrets)
    assert len(found) > 300
    assert any(b"00100010" in one for one in found)  # PatientName
    assert search(site.table.read_bytes(), site.secrets)
    pictures = {path.name: path.read_bytes() for path in site.pictures.glob("?.*")}
    assert all(search(data, site.secrets) for data in pictures.values()), pictures.keys()
    hidden = io.BytesIO()
    with zipfile.ZipFile(hidden, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", canary(7))
    assert any(search(part, site.secrets) for part in unpack(Path("x.npz"), hidden.getvalue()))
    assert search(canary(7).encode("utf-16-le"), site.secrets)
    assert search(base64.b64encode(canary(7).encode()), site.secrets) == set()
    html = b'src="data:x;base64,' + base64.b64encode(canary(7).encode()) + b'"'
    assert any(search(part, site.secrets) for part in unpack(Path("x.html"), html))


def test_all_commands(site: Site, plainfilm: Callable[..., str], settings: list[str]) -> None:
    run = site.out / "run"
    plainfilm(0, "show", site.data, "--out", site.out / "samples.png")
    plainfilm(0, "train", site.data, "--recipe", "swift", "--out", run, *settings)
    plainfilm(0, "train", site.data, "--recipe", "swift", "--out", run, *settings)  # does nothing
    plainfilm(0, "evaluate", run, site.table, "--out", site.out / "by-table", "--workers", 2)
    plainfilm(0, "report", run)
    for form in ("table", "csv", "jsonl"):
        printed = plainfilm(0, "predict", run, site.data, site.pictures, "--format", form)
        assert len(printed.splitlines()) > 100
    plainfilm(0, "predict", run, site.pictures, "--heatmaps", site.out / "maps")
    plainfilm(1, "predict", run, site.bad / "cut.dcm", site.bad / "codec.dcm")
    plainfilm(0, "doctor")
    # Patients come from the headers only.
    manifest = open_run(run).manifest
    assert manifest.describe().patients == PATIENTS
    assert {"corrupt", "truncated"} <= {item.reason for item in manifest.left_out}
    problems = {found.check: found.problem for found in manifest.findings}
    assert "DICOM headers" in problems["patient-keys"]


def test_wrong_use(site: Site, plainfilm: Callable[..., str], tmp_path: Path) -> None:
    out = ("--out", tmp_path / "x.png")
    table = site.table
    for arguments in (
        ("--labels", "Patient Name"),
        ("--labels", "nothing"),
        ("--labels", "label,MRN"),
        ("--labels", "exam"),
        ("--positive", "nothing"),
        ("--patient", "("),
        ("--patient", "nothing"),
    ):
        plainfilm(2, "show", table, *out, *arguments)
    for arguments in (
        ("--split-column", "MRN"),
        ("--labels", "label,age"),
        ("--path-column", "reader"),
    ):
        plainfilm(1, "show", table, *out, *arguments)
    lines = table.read_text(encoding="utf-8").splitlines()
    (site.table.parent / "headless.csv").write_text("\n".join(lines[1:]), encoding="utf-8")
    plainfilm(1, "show", site.table.parent / "headless.csv", *out)
    twice = [lines[0].replace("MRN", "age"), *lines[1:]]
    (site.table.parent / "twice.csv").write_text("\n".join(twice), encoding="utf-8")
    plainfilm(1, "show", site.table.parent / "twice.csv", *out)
    repeated = [*lines, *lines[1:9], lines[9].replace("NORMAL,Zq", "PNEUMONIA,Zq")]
    (site.table.parent / "repeated.csv").write_text("\n".join(repeated), encoding="utf-8")
    plainfilm(1, "show", site.table.parent / "repeated.csv", *out)
    with pytest.raises(PlainfilmError) as caught:
        main(["show", str(table), *map(str, out), "--split-column", "MRN", "--debug"])
    site.output.append(str(caught.value) + repr(caught.value.__dict__))


def test_in_memory(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAINFILM_SALT", SALT)
    for root in (site.data, site.table):
        manifest = load_dataset(root)
        site.output.append(repr(manifest))
        assert manifest.describe().patients >= PATIENTS
        (site.out / "manifests").mkdir(parents=True, exist_ok=True)
        manifest.write(site.out / "manifests" / f"{root.stem}.parquet")
    columns = {name for record in manifest.records for name in record.columns}
    assert columns == {"age"}


def test_no_output_contains_an_identity(site: Site) -> None:
    """Search the output of the tests above, which must run first."""
    assert (site.out / "run" / "evaluation" / "report.html").is_file(), "run the other tests first"
    assert sum(map(len, site.output)) > 100_000
    for text in site.output:
        assert not search(text.encode(errors="replace"), site.secrets), text[:2000]
    kinds = set()
    for path in sorted(site.out.rglob("*")):
        assert not search(os.fsencode(path.name), site.secrets), path
        if not path.is_file():
            continue
        kinds.add(path.suffix)
        for part in unpack(path, path.read_bytes()):
            assert not search(part, site.secrets), path
    assert {".parquet", ".npz", ".safetensors", ".onnx", ".html", ".png", ".json", ".u8"} <= kinds


def test_a_bundle_names_no_record(site: Site) -> None:
    manifest = Manifest.read(site.out / "run" / "manifest.parquet")
    for path in (site.out / "run" / "bundle").iterdir():
        data = path.read_bytes()
        for record in manifest.records:
            for word in (record.id, Path(record.id).name, record.patient, record.path):
                assert word.encode() not in data, path


def search(data: bytes, secrets: list[bytes]) -> set[bytes]:
    """Return the canaries found in ASCII, UTF-8 and UTF-16."""
    found: set[bytes] = set()
    plain = [data]
    if b"\0" in data:
        plain += [data[0::2], data[1::2]]  # the letters of UTF-16 in either byte order
    for text in plain:
        found.update(CANARY.findall(text))
        found.update(secret for secret in secrets if secret in text)
    return found


def unpack(path: Path, data: bytes) -> Iterator[bytes]:
    """Yield the content of a file, and its compressed or encoded parts."""
    yield data
    if path.suffix == ".parquet":
        table: Any = parquet.read_table(io.BytesIO(data))
        yield repr(table.schema.metadata).encode()
        yield repr(table.to_pydict()).encode()
    elif path.suffix in (".npz", ".zip", ".keras"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield archive.read(name)
    elif path.suffix == ".png":
        with Image.open(io.BytesIO(data)) as picture:
            yield repr(picture.info).encode()
            yield repr(dict(picture.getexif())).encode()
    elif path.suffix == ".html":
        for coded in re.findall(rb"base64,([A-Za-z0-9+/=]+)", data):
            inner = base64.b64decode(coded)
            yield inner
            if inner.startswith(b"\x89PNG"):
                yield from unpack(Path("inner.png"), inner)
