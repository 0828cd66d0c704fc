"""The code blocks of the how-to about the PACS run, with Orthanc and dcmtk on the page's ports."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

from docs_code import ROOT, read_blocks
from pacs_peers import DICOMWEB, chest, needs, own_network, to_bytes, write_bundle_of_brightness
from plainfilm.pacs.codes import read_codes

pytestmark = [
    pytest.mark.slow,
    needs("Orthanc", "storescu", "dsrdump", "openssl", "curl"),
    pytest.mark.skipif(not DICOMWEB.exists(), reason="orthanc-dicomweb: not installed"),
]

SHORTER = {
    "plainfilm listen": "plainfilm listen --workers 1",
    "plainfilm dicomweb": "plainfilm dicomweb --workers 1",
    "--quiet-seconds 1": "--quiet-seconds 0.1",
}
PAGE = ROOT / "docs" / "how-to" / "connect-to-a-pacs.md"


class Session:
    """Runs the blocks of the page in order; servers run until the end, one of each kind."""

    def __init__(self) -> None:
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        self.output: list[str] = []

    def run(self, language: str, text: str) -> None:
        if language == "console":
            for line in text.replace("\\\n", " ").splitlines():
                self.run_line(line)
        elif language == "toml":
            Path("codes.toml").write_text(text, "utf-8")
            assert read_codes(Path("codes.toml")).of("pneumonia").scheme == "SCT"
            assert tomllib.loads(text)
        else:
            assert language == "json"
            Path("orthanc.json").write_text(text, "utf-8")

    def run_line(self, line: str) -> None:
        for long, short in SHORTER.items():
            line = line.replace(long, short)
        words = shlex.split(line)
        if words[0].endswith("Orthanc"):
            self.start("Orthanc", words, "http://127.0.0.1:8042/system")
        elif words[:2] == ["plainfilm", "listen"]:
            command = [sys.executable, "-m", *words]
            self.start("listen", command, "http://127.0.0.1:9104/readyz")
        elif words[0] == "plainfilm":
            self.shell(f"{shlex.quote(sys.executable)} -m {line}")
        else:
            self.shell(line)

    def shell(self, line: str) -> None:
        """Run a line; repeat a search until it finds something."""
        for _ in range(200):
            done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            target = re.search(r"tools/find.*> (\S+\.id)$", line)
            if target is None or Path(target[1]).read_text():
                self.output.append(done.stdout)
                return
            time.sleep(0.1)
        pytest.fail(f"nothing was found: {line}")

    def start(self, name: str, command: list[str], url: str) -> None:
        """Start a server and wait until it is ready."""
        self.stop(name)
        self.servers[name] = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(300):
            assert self.servers[name].poll() is None, f"{name} ended"
            with contextlib.suppress(OSError):
                direct.open(url, timeout=5).close()
                return
            time.sleep(0.1)
        pytest.fail(f"{name} did not become ready")

    def stop(self, name: str) -> None:
        if server := self.servers.pop(name, None):
            if name == "Orthanc":  # its own way to stop takes 3 seconds
                server.kill()
                server.wait(30)
                return
            server.terminate()
            assert server.wait(30) == 0


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_bundle_of_brightness(tmp_path / "runs" / "first")
    shutil.copy(ROOT / "examples" / "pacs" / "route.lua", tmp_path)
    Path("one.dcm").write_bytes(to_bytes(chest("one", StudyDate="20260101")))
    with own_network() as isolated, contextlib.ExitStack() as stack:
        if not isolated:
            pytest.skip("a network of its own is not allowed here")
        session = Session()
        for name in ("listen", "Orthanc"):
            stack.callback(session.stop, name)
        for block in read_blocks(PAGE):
            session.run(block.language, block.text)
    assert any(
        "Imaging Measurement Report" in text and "Pneumonia" in text for text in session.output
    )
    assert Path("picture.png").read_bytes()[:4] == b"\x89PNG"
