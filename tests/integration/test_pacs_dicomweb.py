"""`plainfilm dicomweb` as a process: rounds, the end of the only one, a stop during a request."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom")
pytest.importorskip("onnx")

from pacs_files import write_bundle_of_brightness
from pacs_peers import Orthanc, archive, chest, network, to_bytes  # noqa: F401
from pacs_service import wait_for
from plainfilm.cli.main import main

TODAY = f"{date.today():%Y%m%d}"
TO = ("--to", "http://127.0.0.1:9/dicom-web")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle_of_brightness(tmp_path_factory.mktemp("bundle") / "bright").folder


@pytest.fixture
def closed() -> Iterator[str]:
    """Return the URL of a port that nothing listens on."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{own.getsockname()[1]}/dicom-web"


def words(bundle: Path, state: Path, source: str, *more: str) -> list[str]:
    """Return the arguments of the command."""
    quick = ["--quiet-seconds", "0.1", "--workers", "1", "--http-port", "off"]
    return ["dicomweb", str(bundle), "--from", source, "--state", str(state), *quick, *more]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "plainfilm", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def events(text: str) -> list[tuple[str, str | None]]:
    lines = [json.loads(line) for line in text.splitlines()]
    return [(line["event"], line.get("reason") or line.get("outcome")) for line in lines]


def test_new_images_of_an_archive_get_reports_until_a_signal(
    archive: Orthanc,  # noqa: F811
    bundle: Path,
    tmp_path: Path,
) -> None:
    url = archive.dicomweb
    archive.upload(to_bytes(chest("first", StudyDate=TODAY)))
    arguments = words(bundle, tmp_path / "state", url, "--to", url, "--every", "1")
    process = start(*arguments)
    try:
        assert archive.wait(3) == 3
        archive.upload(to_bytes(chest("second", StudyDate=TODAY)))
        assert archive.wait(6) == 6
        time.sleep(1.5)  # a round that finds the results
    finally:
        process.terminate()
        _, text = process.communicate(timeout=60)
    assert process.returncode == 0
    assert archive.count() == 6
    assert sorted(tags["Modality"] for tags in archive.instances().values()) == [
        *("DX", "DX", "OT", "OT", "SR", "SR")
    ]
    found = events(text)
    assert found.count(("polled", None)) == 2
    assert found[-1] == ("stopped", "done")
    assert main(["pacs", "status", str(tmp_path / "state")]) == 0


def test_one_round_without_archive_fails(bundle: Path, tmp_path: Path, closed: str) -> None:
    process = start(*words(bundle, tmp_path / "state", closed, *TO, "--once"))
    _, text = process.communicate(timeout=60)
    assert process.returncode == 1
    assert ("polling-interrupted", "no-connection") in events(text)


@pytest.mark.parametrize(("once", "status"), [((), 0), (("--once",), 1)])
def test_a_stop_ends_a_request_in_progress(
    bundle: Path, tmp_path: Path, once: tuple[str, ...], status: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        accepted = threading.Event()

        def accept() -> None:
            peer, _ = silent.accept()
            with peer:
                accepted.set()
                peer.recv(1 << 16)
                time.sleep(0.1)
                while peer.recv(1 << 16):
                    pass

        threading.Thread(target=accept, daemon=True).start()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = start(*words(bundle, tmp_path / "state", url, *TO, *once))
        try:
            assert wait_for(accepted.is_set, 30)
            begun = time.monotonic()
        finally:
            process.send_signal(signal.SIGTERM)
            _, text = process.communicate(timeout=60)
        assert process.returncode == status
        assert time.monotonic() - begun < 10
        assert "polling-interrupted" not in text


@pytest.mark.parametrize(
    ("options", "problem", "remedy"),
    [
        (("--from", "ORTHANC@127.0.0.1:4242"), "DICOMweb only", "plainfilm listen"),
        (("--from", "http://archive/dicom-web"), "fetched without encryption", "--plain"),
        (("--from", "https://me:secret@archive"), "has credentials", "--credentials"),
        (("--to", "http://archive/dicom-web"), "sent without encryption", "--plain"),
        (("--credentials", "none"), "", ""),
    ],
)
def test_wrong_settings_have_a_remedy(
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, str],
    problem: str,
    remedy: str,
) -> None:
    given = words(bundle, tmp_path / "state", "https://127.0.0.1/dicom-web", *TO, *options)
    umask = os.umask(0o022)
    assert main(given) in (1, 2)
    os.umask(umask)
    text = capsys.readouterr().err
    assert problem in text
    assert remedy in text
    assert "secret" not in text
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("option", ["--days=-1", "--days=x", "--every=0", "--every=nan"])
def test_numbers_out_of_range_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["dicomweb", "a", "--state", "b", "--to", "c", "--from", "d", option])
    assert "must be" in capsys.readouterr().err
