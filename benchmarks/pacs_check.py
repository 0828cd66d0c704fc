"""Checks every DICOM file that the hospital network writes, and looks for leaks of patient data.

    python benchmarks/pacs_check.py [BUNDLE] [--folder FOLDER] [--names 40]

Needs the extras pacs, dicom and test, and Orthanc, dcmtk, dicom3tools. Sends drawn images with odd
and missing attributes, random ones among them, and the DICOM files of FOLDER to ``plainfilm
listen``. Counts the errors of dciodvfy in all results. Then looks for the names, identifiers and
UIDs of the images in the state folder outside spool, outbox and quarantine, in the log and in the
metrics, while results wait for an archive that is down and after their delivery.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from _measure import machine, table
from _pacs import Hospital, chest, hospital, to_bytes, write_json

from pacs_files import LONG, odd_chests
from pacs_peers import dicom_errors, storescu

FILES = ("spool", "outbox", "quarantine")
"""Folders that may contain patient data."""

VALUES: dict[str, tuple[Any, ...]] = {
    "PatientName": (None, "", LONG, "^^^", "A^B^C^D^E", "O'Neil^Zoë"),
    "PatientID": (None, "", LONG, "0", "A B/C"),
    "PatientSex": (None, "", "M", "F", "O", "X", "female"),
    "PatientBirthDate": (None, "", "19700101", "1970", "1970.01.01"),
    "StudyDate": (None, "", "20260131", "20261332", "yesterday"),
    "StudyTime": (None, "", "120000.123456", "12", "noon"),
    "StudyID": (None, "", "1", LONG[:16]),
    "AccessionNumber": (None, "", "A1", "ABCDEFGHIJKLMNOP"),
    "ReferringPhysicianName": (None, "", "Refer^Doctor", LONG),
    "SpecificCharacterSet": (None, "", "ISO_IR 100", "ISO_IR 192", "UTF8"),
    "ImageLaterality": (None, "", "L", "R", "U", "B"),
    "Laterality": (None, "", "L", "R"),
    "PatientOrientation": (None, "", ["L", "F"], ["A", "F"], ["R", "F"]),
    "ViewPosition": (None, "", "PA", "AP", "LL", "RAO"),
    "BodyPartExamined": (None, "", "CHEST", "THORAX", "HAND"),
    "SeriesNumber": (None, "", "1", "2147483647"),
    "InstanceNumber": (None, "", "1"),
    "IssuerOfPatientID": (None, "HOSPITAL"),
    "PresentationIntentType": (None, "FOR PRESENTATION"),
    "ImagerPixelSpacing": (None, [0.2, 0.2]),
    "PixelSpacing": (None, [0.2, 0.2], [0.1, 0.3]),
}


def files(folder: Path, given: Path | None, count: int) -> list[Path]:
    """Write odd images, and return all paths."""
    chosen = random.Random(3)
    made = odd_chests()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(count):
            odd = {keyword: chosen.choice(values) for keyword, values in VALUES.items()}
            name = f"random {number}"
            made[name] = to_bytes(chest(name, attributes=odd))
        mixed = [chest(f"mixed {n}", study="mixed", seed=n) for n in range(1, 4)]
    made |= {f"mixed {n}": to_bytes(one) for n, one in enumerate(mixed)}
    folder.mkdir()
    for name, data in made.items():
        (folder / f"{name}.dcm").write_bytes(data)
    return [*sorted(folder.glob("*.dcm")), *(sorted(given.rglob("*.dcm")) if given else [])]


def secrets(paths: list[Path]) -> set[bytes]:
    """Return the texts of the images that only these folders may contain."""
    import pydicom

    found = set[bytes]()
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = pydicom.dcmread(path, force=True, stop_before_pixels=True)
            for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID"):
                found.add(str(read.get(keyword, "")).encode())
            name = read.get("PatientName", "")
            parts = str(name).replace("=", "^").split("^")
            found |= {part.encode() for part in parts}
            found |= {bytes(getattr(name, "original_string", b"") or b"")}
    return {one for one in found if len(one) >= 6} | {b"STORESCU"}


def leaks(own: Hospital, words: set[bytes]) -> Counter[str]:
    """Return where a text of an image occurs outside the folders that may contain it."""
    places = {
        str(path.relative_to(own.service.state)): path.read_bytes()
        for path in own.service.state.rglob("*")
        if path.is_file() and path.relative_to(own.service.state).parts[0] not in FILES
    }
    places["log"] = own.service.log.read_bytes()
    places["metrics"] = own.service.get("metrics").encode()
    places["names of files"] = "\n".join(map(str, own.service.state.rglob("*"))).encode()
    return Counter(
        f"{place}: {word.decode(errors='replace')}"
        for place, data in places.items()
        for word in words
        if word in data
    )


def errors(own: Hospital) -> tuple[Counter[str], Counter[str]]:
    """Return the results by modality, and the errors that dciodvfy finds in them."""
    kinds, found = Counter[str](), Counter[str]()
    with tempfile.NamedTemporaryFile(suffix=".dcm") as place:
        for one, tags in own.archive.instances().items():
            kinds["report" if tags["Modality"] == "SR" else "capture"] += 1
            Path(place.name).write_bytes(own.archive.file(one))
            found.update(dicom_errors(Path(place.name)))
    return kinds, found


def main() -> int:
    """Send, check and look."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--folder", type=Path, help="further DICOM files")
    parser.add_argument("--names", type=int, default=40, help="files with random attributes")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(machine(), flush=True)
    options = ("--quiet-seconds", "0.3", "--secondary-capture")
    with hospital(args.bundle, *options) as own:
        paths = files(own.folder / "odd", args.folder, args.names)
        words = secrets(paths)
        own.archive.stop()
        refused = [path.stem for path in paths if send(own, path)]
        wait_for_answers(own)
        waiting = len([*(own.service.state / "outbox").iterdir()])
        found = leaks(own, words)
        own.archive.start()
        for _ in range(240):
            if not [*(own.service.state / "outbox").iterdir()]:
                break
            time.sleep(0.5)
        found += leaks(own, words)
        kinds, wrong = errors(own)
    row = {
        "files": len(paths),
        "refused": ", ".join(refused),
        "waited for the archive": waiting,
        **kinds,
        "dciodvfy errors": wrong.total(),
        "leaks": found.total(),
    }
    print(table([*row], [[*row.values()]]))
    for text, number in [*wrong.most_common(20), *found.most_common(20)]:
        print(f"{number} x {text}")
    write_json(args.json, {"machine": machine(), **row, "errors": wrong, "leaks": found})
    return int(bool(wrong or found))


SYNTAXES = {
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
}
"""Transfer syntax to the option of storescu that proposes it."""


def send(own: Hospital, path: Path) -> int:
    """Send one file with the syntax that it has; return the exit status of storescu."""
    import pydicom

    meta = pydicom.dcmread(path, force=True, stop_before_pixels=True).file_meta
    option = SYNTAXES.get(str(meta.get("TransferSyntaxUID", "")), "-x=")
    return storescu(own.service.port, [path], option)[0]


def wait_for_answers(own: Hospital) -> None:
    """Wait until no received image waits for its answer."""
    for _ in range(120):
        time.sleep(0.5)
        if not [*(own.service.state / "spool").iterdir()]:
            return


if __name__ == "__main__":
    sys.exit(main())
