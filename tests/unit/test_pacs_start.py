"""Checks before `plainfilm listen` receives anything: each problem has a remedy."""

from __future__ import annotations

import argparse
import functools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom")
pytest.importorskip("onnx")

from pacs_files import write_bundle_of_brightness
from plainfilm.cli.hospital_options import service_settings
from plainfilm.cli.main import build_parser, main
from plainfilm.pacs.state_folder import StateLock

pytestmark = pytest.mark.skipif(os.name != "posix", reason="state folders need flock")

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle_of_brightness(tmp_path_factory.mktemp("bundle") / "bright").folder


def listen(bundle: Path, folder: Path, *options: str) -> int:
    words = ["listen", str(bundle), "--state", str(folder / "state"), "--http-port", "off"]
    return main([*words, "--port", "0", *(options if "--to" in options else [*TO, *options])])


TO = ("--to", "ORTHANC@127.0.0.1:4242")
PEM = ("--tls-cert", "a.pem", "--tls-key", "b.pem", "--tls-ca", "c.pem")


@pytest.fixture(autouse=True)
def unchanged_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep this process unchanged: a service mutes libraries and changes the umask."""
    for name in ("mute_libraries", "disable_core_dumps", "return_large_blocks"):
        monkeypatch.setattr(f"plainfilm.pacs.service.{name}", lambda: None)
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("options", "problem", "remedy"),
    [
        (("--to", "archive"), "this is not a destination", "--to ORTHANC@host:4242"),
        (("--to", "ORTHANC@archive:4242"), "without encryption", "--plain"),
        (("--to", "http://archive/dicom-web"), "without encryption", "https://"),
        (("--to", "tls:ORTHANC@archive:2762"), "needs certificates", "--tls-cert"),
        (("--peer", "CT1=10.0.0.5"), "must be encrypted", "--plain"),
        (("--peer", "ct.hospital"), "a peer has an AE title and an IP address", "--peer"),
        (("--aet", "A" * 17), "this is not an AE title", "1 to 16"),
        (PEM[:4], "TLS needs a certificate, its key and an authority", "--tls-ca together"),
        (("--limit", "speed=1"), "unknown limit", "pixels"),
    ],
)
def test_wrong_options_are_reported_with_a_remedy(
    bundle: Path,
    tmp_path: Path,
    capsys: Capture,
    options: tuple[str, ...],
    problem: str,
    remedy: str,
) -> None:
    assert listen(bundle, tmp_path, *options) == 2
    text = capsys.readouterr().err
    assert problem in text and remedy in text
    assert not (tmp_path / "state").exists()


def test_files_that_cannot_be_used_are_reported(
    bundle: Path, tmp_path: Path, capsys: Capture
) -> None:
    codes = tmp_path / "codes.toml"
    codes.write_text("not = [toml")
    assert listen(bundle, tmp_path, "--codes", str(codes)) == 2
    assert "not valid TOML" in capsys.readouterr().err
    pem = [tmp_path / name if name.endswith("pem") else name for name in PEM]
    for option, path in zip(pem[::2], pem[1::2], strict=True):
        assert listen(bundle, tmp_path, *map(str, pem)) == 2
        assert f"{option} cannot be used" in capsys.readouterr().err
        Path(path).touch()
    assert listen(bundle, tmp_path, "--host", "nonsense.invalid", "--plain") == 2
    assert "this host name has no address" in capsys.readouterr().err
    assert listen(bundle, tmp_path, "--credentials", str(tmp_path / "none")) == 2
    assert "none cannot be read" in capsys.readouterr().err
    web = ("--to", "http://127.0.0.1:9/dicom-web", "--credentials", str(tmp_path / "none"))
    assert listen(bundle, tmp_path, *web) == 2
    assert "none cannot be read" in capsys.readouterr().err
    assert listen(tmp_path / "no bundle", tmp_path) != 0
    assert "no bundle" in capsys.readouterr().err


def test_a_state_folder_in_use_and_a_port_in_use_are_reported(
    bundle: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["listen", str(bundle), "--state", str(tmp_path / "state"), *TO]
        assert main([*words, "--port", "0", "--http-port", port]) == 2
        assert "--http-port" in capsys.readouterr().err
        assert listen(bundle, tmp_path, "--port", port) == 2
        assert "choose another --port" in capsys.readouterr().err
    at_once = functools.partial(StateLock, seconds=0.1)
    monkeypatch.setattr("plainfilm.pacs.service.StateLock", at_once)
    with StateLock(tmp_path / "state"):
        assert listen(bundle, tmp_path) == 2
    assert "another service uses the state folder" in capsys.readouterr().err


def test_a_bundle_with_which_no_report_can_be_made_is_refused(
    bundle: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a label that DICOM does not allow")

    monkeypatch.setattr("plainfilm.pacs.result_trial.make_report", fail)
    assert listen(bundle, tmp_path) == 1
    assert "no DICOM report can be made with this bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"), [("--quiet-seconds", "soon"), ("--http-port", "x"), ("--port", "99999")]
)
def test_values_are_checked(
    bundle: Path, tmp_path: Path, capsys: Capture, option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        listen(bundle, tmp_path, option, value)
    assert ended.value.code == 2 and repr(value) in capsys.readouterr().err


def parsed(*words: str) -> Any:
    arguments: argparse.Namespace = build_parser("listen").parse_args(
        ["listen", "runs/first", "--state", "state", *TO, *words]
    )
    return service_settings(arguments)


def test_options_become_settings() -> None:
    found = parsed("--no-capture", "--quiet-seconds", "2.5", "--http-port", "off", *TO)
    assert not found.capture and found.quiet == 2.5 and found.http_port is None
    assert len(found.destinations) == 1  # the same one twice
    assert parsed().http_port == 9104 and parsed().reserve == 1 << 30
    assert parsed("--reserve-mb", "5").reserve == 5 << 20


def test_help_and_parsing_load_no_library_of_the_network() -> None:
    code = (
        "import sys; from plainfilm.cli.main import build_parser; build_parser('listen');"
        "import plainfilm.pacs; from plainfilm.pacs import settings;"
        "print({'pynetdicom', 'highdicom', 'pydicom', 'numpy'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
