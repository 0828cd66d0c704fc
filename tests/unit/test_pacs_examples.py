"""The files of examples/pacs agree with `plainfilm listen`, and systemd accepts the unit."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom")

from plainfilm.cli.main import build_parser
from plainfilm.pacs.service import STOP_SECONDS
from plainfilm.pacs.settings import DicomDestination, parse_destination, parse_peer

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "pacs"
UNIT = FOLDER / "plainfilm-listen.service"
ORTHANC = json.loads((FOLDER / "orthanc.json").read_text("utf-8"))


def unit() -> dict[str, str]:
    text = UNIT.read_text("utf-8").replace("\\\n", " ")
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.M))


def test_the_unit_starts_the_service_with_options_that_exist() -> None:
    program, *words = shlex.split(unit()["ExecStart"])
    assert program.endswith("/bin/plainfilm") and words[0] == "listen"
    parsed = build_parser("listen").parse_args(words)
    assert str(parsed.state) == f"%S/{unit()['StateDirectory']}"
    (destination,), (peer,) = map(parse_destination, parsed.to), map(parse_peer, parsed.peer)
    assert isinstance(destination, DicomDestination) and destination.tls
    assert destination.host == peer.address and peer.address in unit()["IPAddressAllow"].split()
    given = dict(re.findall(r"^LoadCredential=(\w+):(.+)$", UNIT.read_text("utf-8"), re.M))
    files = (parsed.tls_cert, parsed.tls_key, parsed.tls_ca)
    assert [str(path) for path in files] == [f"%d/{name}" for name in given]
    assert int(unit()["TimeoutStopSec"]) > STOP_SECONDS + 5


def test_systemd_accepts_the_unit_and_counts_it_as_sandboxed(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text("utf-8").replace("/opt/plainfilm/bin/plainfilm", "/bin/true"))
    checked, rated = (
        subprocess.run(["systemd-analyze", *words, copy], capture_output=True, text=True)
        for words in (["--man=no", "verify"], ["--no-pager", "security", "--offline=true"])
    )
    assert checked.returncode == 0 and checked.stdout + checked.stderr == ""
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", rated.stdout)
    assert exposure is not None and float(exposure[1]) <= 1.5


def test_orthanc_and_the_unit_name_each_other() -> None:
    parsed = build_parser("listen").parse_args(shlex.split(unit()["ExecStart"])[1:])
    peer = ORTHANC["DicomModalities"]["plainfilm"]
    assert (peer["AET"], peer["Port"], peer["UseDicomTls"]) == (parsed.aet, parsed.port, True)
    assert parse_peer(parsed.peer[0]).title == ORTHANC["DicomAet"]
    destination = parse_destination(parsed.to[0])
    assert isinstance(destination, DicomDestination)
    assert (destination.tls, destination.port) == (ORTHANC["DicomTlsEnabled"], ORTHANC["DicomPort"])
    assert ORTHANC["DicomAlwaysAllowStore"] is False
    assert "/modalities/plainfilm/store" in (FOLDER / "route.lua").read_text("utf-8")
    assert ORTHANC["LuaScripts"][0].endswith("/route.lua")


def test_the_container_runs_the_service_with_options_that_exist() -> None:
    text = (ROOT / "Containerfile").read_text("utf-8").replace("\\\n#", "")
    (line,) = re.findall(r"^# +podman run .* plainfilm (listen .*?) \.\.\.$", text, re.M)
    parsed = build_parser("listen").parse_args(shlex.split(line))
    assert f" -e HEALTH_PORT={parsed.http_port} " in text
    assert f"-v plainfilm-state:{parsed.state}:U" in text
