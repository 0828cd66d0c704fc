"""The hospital network from end to end: images from dcmtk and Orthanc, results in Orthanc.

Each row of the failure table of docs/explanation/hospital-network.md that concerns the service as
a whole is a test here.
"""

from __future__ import annotations

import base64
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom")
pytest.importorskip("onnx")

import pydicom

from pacs_peers import (
    Orthanc,
    chest,
    free_port,
    lossless,
    needs,
    network,  # noqa: F401 (a fixture)
    storescu,
    to_bytes,
    write_bundle_of_brightness,
)
from pacs_service import Listener, wait_for
from plainfilm.inference.codes import IMAGE_CODES

pytestmark = [pytest.mark.slow, needs("Orthanc", "storescu")]

EXAMPLES = Path(__file__).parents[2] / "examples" / "pacs"
# In addition to the example: forwards every study whenever it is stable, so also after each result.
STABLE_STUDY = """
function OnStableStudy(studyId, tags, metadata)
  for _, seriesId in ipairs(ParseJson(RestApiGet('/studies/' .. studyId))['Series']) do
    local body = {}
    body['Resources'] = { seriesId }
    body['Asynchronous'] = true
    RestApiPost('/modalities/plainfilm/store', DumpJson(body, true))
  end
end
"""
SENDER = "ZQSENDER"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle_of_brightness(tmp_path_factory.mktemp("bundle") / "bright").folder


@pytest.fixture(scope="module")
def archive(network: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:  # noqa: F811
    lua = (EXAMPLES / "route.lua").read_text() + STABLE_STUDY
    known = {"PLAINFILM": free_port()}
    folder = tmp_path_factory.mktemp("orthanc")
    with Orthanc(folder, known, isolated=network, lua=lua) as running:
        yield running


@pytest.fixture(scope="module")
def service(
    archive: Orthanc, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Listener]:
    """Start a service that stays up for the whole module; its temporary files are in one folder."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "temporary").mkdir()
    running = Listener(
        bundle,
        folder / "state",
        archive.destination,
        archive.modalities["PLAINFILM"],
        environment={"TMPDIR": str(folder / "temporary")},
    )
    try:
        yield running.start()
    finally:
        running.kill()


def write(folder: Path, **files: bytes) -> list[Path]:
    paths = [folder / f"{name}.dcm" for name in files]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    return paths


def results(archive: Orthanc, study: str, modality: str = "") -> list[pydicom.Dataset]:
    """Return the results in the archive on a study of `chest`."""
    query = {"Level": "Instance", "Query": {"PatientID": f"SYNTHETIC-{study}"}}
    found = json.loads(archive.request("POST", "tools/find", json.dumps(query).encode()))
    data = [pydicom.dcmread(io.BytesIO(archive.file(one))) for one in found]
    own = [one for one in data if one.get("ManufacturerModelName") == "plainfilm"]
    return [one for one in own if modality in ("", one.Modality)]


def content(report: pydicom.Dataset) -> list[tuple[str, str]]:
    """Return code and value of all coded and numeric items of a report."""
    found = []

    def visit(item: pydicom.Dataset) -> None:
        if item.get("ValueType") in ("CODE", "NUM"):
            name = item.ConceptNameCodeSequence[0]
            if item.ValueType == "CODE":
                value = item.ConceptCodeSequence[0]
                value = value.get("CodeValue") or value.LongCodeValue
            else:
                value = str(item.MeasuredValueSequence[0].NumericValue)
            found.append((str(name.CodeValue), str(value)))
        for inner in item.get("ContentSequence", ()):
            visit(inner)

    visit(report)
    return found


def test_an_image_becomes_a_report_and_a_picture_in_its_study(
    service: Listener, archive: Orthanc, tmp_path: Path
) -> None:
    image = chest("first")
    files = write(tmp_path, first=lossless(to_bytes(image)))
    status, text = storescu(service.port, files, "-xs")
    assert status == 0, text
    found = wait_for(lambda: len(results(archive, "first")) == 2 and results(archive, "first"))
    assert {one.StudyInstanceUID for one in found} == {image.StudyInstanceUID}
    assert {(one.Modality, one.SeriesNumber) for one in found} == {("SR", 9001), ("OT", 9002)}
    (report,) = results(archive, "first", "SR")
    codes = dict(content(report))
    assert codes["233604007"] in ("52101004", "272519000")  # pneumonia: present or absent
    assert 0 <= float(codes["122157"]) <= 1
    wait_for(lambda: not service.files("spool") and not service.files("outbox"))
    assert not service.files("spool") and not service.files("outbox")
    assert service.get("readyz")[0] == 200


def test_what_an_archive_forwards_again_is_not_answered_again(
    service: Listener, archive: Orthanc
) -> None:
    duplicates = service.metric('plainfilm_received_total{event="duplicate"}')
    own = service.metric('plainfilm_received_total{event="own"}')
    archive.upload(to_bytes(chest("loop")))
    assert wait_for(lambda: len(results(archive, "loop")) == 2)
    # The series and the study are forwarded, and the study again when the results make it stable.
    for event, least in (("own", own + 2), ("duplicate", duplicates + 2)):
        name = f'plainfilm_received_total{{event="{event}"}}'
        assert wait_for(lambda name=name, least=least: service.metric(name) >= least)
    assert len(results(archive, "loop")) == 2


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "lateral": ({"ViewPosition": "LL"}, "not-frontal"),
    "hand": ({"BodyPartExamined": "HAND", "AnatomicRegionSequence": None}, "other-body-part"),
    "two frames": ({"frames": 2}, "several-frames"),
    "black": ({}, "blank"),
}


def test_refused_images_have_a_reason_and_no_probability(
    service: Listener, archive: Orthanc, tmp_path: Path
) -> None:
    images = {name: chest(name, **attributes) for name, (attributes, _) in REFUSED.items()}
    images["black"].PixelData = bytes(len(images["black"].PixelData))
    files = write(tmp_path, **{name: to_bytes(one) for name, one in images.items()})
    assert storescu(service.port, files)[0] == 0
    damaged = write(tmp_path, damaged=damage(lossless(to_bytes(chest("damaged")))))
    assert storescu(service.port, damaged, "-xs")[0] == 0
    for name in (*REFUSED, "damaged"):
        reports = wait_for(lambda name=name: results(archive, name))
        assert len(reports) == 1, (name, service.lines[-5:])
        found = dict(content(reports[0]))
        codes = [REFUSED[name][1]] if name in REFUSED else IMAGE_CODES
        assert found["111050"] == "111235" and found["111052"] in codes
        assert "122157" not in found and "233604007" not in found
    # Only what could not be decoded is kept.
    assert len(service.files("quarantine")) == 1
    assert service.metric('plainfilm_answered_images_total{outcome="not-frontal"}') == 1


def damage(data: bytes) -> bytes:
    """Return a compressed file whose pixels cannot be decoded."""
    return data.replace(b"\xff\xd8\xff", b"\0\0\0", 1)


def test_images_of_a_study_are_in_one_report_and_a_late_one_in_another(
    service: Listener, archive: Orthanc, tmp_path: Path
) -> None:
    images = {name: chest(name, study="group", seed=len(name)) for name in ("a", "bb", "ccc")}
    files = write(tmp_path, **{name: to_bytes(one) for name, one in images.items()})
    assert storescu(service.port, files[:2])[0] == 0
    wait_for(lambda: len(results(archive, "group")) == 3)
    assert storescu(service.port, files)[0] == 0  # two of them again
    wait_for(lambda: len(results(archive, "group")) == 5)
    found = results(archive, "group", "SR")
    assert sorted(len(evidence(report)) for report in found) == [1, 2]
    assert set.union(*map(evidence, found)) == {one.SOPInstanceUID for one in images.values()}
    assert len(results(archive, "group", "OT")) == 3


def evidence(report: pydicom.Dataset) -> set[str]:
    """Return the UIDs of the images of a report."""
    return {
        image.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    }


def test_the_network_process_is_started_again(
    service: Listener, archive: Orthanc, tmp_path: Path
) -> None:
    restarts = service.metric("plainfilm_receiver_restarts")
    (pid,) = receivers(service)
    os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: service.metric("plainfilm_receiver_restarts") == restarts + 1)
    files = write(tmp_path, again=to_bytes(chest("again")))
    assert wait_for(lambda: storescu(service.port, files)[0] == 0)
    assert wait_for(lambda: len(results(archive, "again")) == 2)
    assert service.get("readyz")[0] == 200


def receivers(service: Listener) -> list[int]:
    """Return the ids of the network processes: children that listen on the port."""
    assert service.process is not None
    listed = Path(f"/proc/{service.process.pid}/task").glob("*/children")
    children = {int(pid) for path in listed for pid in path.read_text("ascii").split()}
    return [
        pid
        for pid in children
        if b"plainfilm.pacs.receiver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_every_metric_of_the_alerts_exists(service: Listener) -> None:
    text = service.get("metrics")[1]
    exist = set(re.findall(r"^# TYPE (\w+) \w+$", text, re.M))
    alerts = (EXAMPLES / "plainfilm-listen-alerts.yml").read_text("utf-8")
    assert set(re.findall(r"\bplainfilm_\w+", alerts)) <= exist
    assert 'plainfilm_answered_images_total{outcome="failed"} 0' in text


SECRETS = {
    "PatientName": "Zqsecret^Name",
    "PatientID": "ZQ-SECRET-ID",
    "AccessionNumber": "ZQACCESSION",
    "ReferringPhysicianName": "Zqdoctor^Secret",
    "InstitutionName": "Zqhospital Secret",
    "ImageComments": "Zqcomment secret",
    "StudyDescription": "Zqstudy secret",
    "SOPInstanceUID": "1.2.826.0.1.991188.11.22",
    "StudyInstanceUID": "1.2.826.0.1.991188.33.44",
    "SeriesInstanceUID": "1.2.826.0.1.991188.55.66",
}


def test_nothing_of_a_patient_is_outside_of_the_folders_of_files(
    service: Listener, archive: Orthanc, tmp_path: Path
) -> None:
    other = {**SECRETS, "SOPInstanceUID": "1.2.826.0.1.991188.77"}
    whole, changed, broken = (
        to_bytes(chest("secret", attributes=found))
        for found in (SECRETS, SECRETS | {"ViewPosition": "LL"}, other)
    )
    files = write(tmp_path, whole=whole, changed=changed, broken=damage(lossless(broken)))
    before = archive.count()
    assert storescu(service.port, files, "-xs", calling=SENDER)[0] == 0
    assert wait_for(lambda: archive.count() >= before + 4)
    storescu(service.port, files[:1], calling=SENDER, called="ZQOTHERAE")
    everything = {
        path.name: path.read_bytes() for path in service.state.iterdir() if path.is_file()
    }
    assert {"ledger.db", "ledger.db-wal"} <= everything.keys()
    for path in (service.state.parent / "temporary").rglob("*"):
        everything[path.name] = path.name.encode() + (path.read_bytes() if path.is_file() else b"")
    everything["output"] = "".join(service.lines).encode()
    everything["metrics"] = service.get("metrics")[1].encode()
    for text in (*SECRETS.values(), other["SOPInstanceUID"], SENDER, "ZQOTHERAE"):
        forms = [*forms_of(text.partition("^")[0])]
        for name, data in everything.items():
            assert not [form for form in forms if form in data], (name, text)


def forms_of(text: str) -> Iterator[bytes]:
    """Yield a text in the encodings in which it could be written."""
    for data in (text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be")):
        yield data
        yield data.hex().encode()
        yield data.hex().upper().encode()
        for shift in range(3):
            # Without the first and last characters, which depend on the neighbours.
            if form := base64.b64encode(bytes(shift) + data)[4:-4]:
                yield form


def test_kill_9_loses_no_image_and_answers_none_twice(
    archive: Orthanc, bundle: Path, tmp_path: Path
) -> None:
    own = Listener(
        bundle, tmp_path / "state", archive.destination, free_port(), options=("--no-capture",)
    )
    names = [f"kill {number}" for number in range(40)]
    files = write(tmp_path, **{name: to_bytes(chest(name, size=(64, 48))) for name in names})
    rng, sent = random.Random(5), threading.Event()

    def send() -> None:
        for first in range(0, 40, 10):
            batch = [*files[first : first + 10], *files[max(0, first - 2) : first]]
            while storescu(own.port, batch)[0] != 0:  # what arrived is sent again, too
                time.sleep(0.1)
        sent.set()

    sender = threading.Thread(target=send, daemon=True)
    try:
        own.start()
        sender.start()
        with socket.create_connection(("127.0.0.1", own.port)):  # holds up no restart
            time.sleep(0.3)
            own.kill()
            own.start()
        for _ in range(1):
            time.sleep(rng.uniform(0.1, 1.2))
            own.kill()
            own.start()
        assert sent.wait(60)
        done = wait_for(lambda: own.metric("plainfilm_waiting_images") == 0 and outbox_empty(own))
        assert done, (own.lines[-5:], own.files("spool"))
        counts = Counter(len(results(archive, name)) for name in names)
        assert counts == {1: 40}
        assert own.files("spool") == []
        # A kill between the file and its record leaves a file that the ledger does not know.
        assert len(own.files("quarantine")) <= 2
        assert own.stop() == 0
    finally:
        own.kill()


def outbox_empty(service: Listener) -> bool:
    return not service.files("outbox") and not service.files("spool")


def test_a_stopped_service_leaves_images_and_continues(
    archive: Orthanc, bundle: Path, tmp_path: Path
) -> None:
    slow = ("--quiet-seconds", "3600")
    model = Path(shutil.copytree(bundle, tmp_path / "model"))
    own = Listener(model, tmp_path / "state", archive.destination, free_port(), slow)
    try:
        own.start()
        assert storescu(own.port, write(tmp_path, stopped=to_bytes(chest("stopped"))))[0] == 0
        began = time.monotonic()
        assert own.stop() == 0 and time.monotonic() - began < 10
        assert len(own.files("spool")) == 1 and not results(archive, "stopped")
        # A service that has no room accepts no image, says so, and answers what it has.
        own.options = ("--reserve-mb", "999999999", "--no-capture")
        own.start()
        assert wait_for(lambda: len(results(archive, "stopped")) == 1)
        assert own.get("readyz") == (503, '{"code": "disk-full"}')
        status, text = storescu(own.port, write(tmp_path, full=to_bytes(chest("full"))))
        assert status != 0 or "A700" in text or "Refused" in text
        assert own.files("spool") == []
        swap_bundle(own, model, tmp_path)
        assert own.stop() == 0
    finally:
        own.kill()


def swap_bundle(own: Listener, model: Path, folder: Path) -> None:
    """Replace the bundle of a service, and then by one that is not complete."""
    other = write_bundle_of_brightness(folder / "other", threshold=0.9)
    assert own.process is not None
    for source, outcome in ((other.folder, "swapped"), (folder / "none", "kept")):
        shutil.rmtree(model)
        if source.exists():
            shutil.copytree(source, model)
        own.process.send_signal(signal.SIGHUP)
        assert wait_for(lambda outcome=outcome: own.log("bundle", outcome=outcome))
    assert own.log("bundle", outcome="swapped")[0]["bundle"] == other.id
