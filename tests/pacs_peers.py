"""Real peers for the tests of the hospital network: Orthanc, dcmtk and dicom3tools.

Orthanc listens on all addresses: `own_network` moves the test into a network of its own, where
only the loopback exists. ``from pacs_peers import archive`` gives a module one Orthanc.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pacs_files import chest, lossless, odd_chests, to_bytes, write_bundle_of_brightness

__all__ = [
    "Orthanc",
    "archive",
    "chest",
    "dcmtk",
    "dicom_errors",
    "echoscu",
    "free_port",
    "lossless",
    "needs",
    "network",
    "odd_chests",
    "own_network",
    "storescu",
    "to_bytes",
    "write_bundle_of_brightness",
]

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
LOOPBACK = "127.0.0.1"
_NEW_NETWORK = 0x40000000
_ADDRESS_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def needs(*programs: str) -> pytest.MarkDecorator:
    """Return a mark that skips where a program is not installed."""
    missing = [name for name in programs if not shutil.which(name, path=PATH)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)}: not installed")


def free_port() -> int:
    """Return a TCP port that no program uses now."""
    with socket.socket() as own:
        own.bind((LOOPBACK, 0))
        return int(own.getsockname()[1])


@contextlib.contextmanager
def own_network() -> Iterator[bool]:
    """Move this thread, and all that it starts, into a network with only a loopback.

    Yields False, and changes nothing, where the system does not allow it.
    """
    here = Path("/proc/thread-self/ns/net")
    if not (sys.platform.startswith("linux") and here.exists()):
        yield False
        return
    library = ctypes.CDLL(None, use_errno=True)
    before = os.open(here, os.O_RDONLY)
    try:
        if library.unshare(_NEW_NETWORK):
            yield False
            return
        try:
            _raise_loopback()
            yield True
        finally:
            if library.setns(before, _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "cannot return to the network of the tests")
    finally:
        os.close(before)


def _raise_loopback() -> None:
    """Bring the loopback interface up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(own, _ADDRESS_FLAGS, request))[1]
        fcntl.ioctl(own, _SET_FLAGS, struct.pack("16sh22x", b"lo", flags | _UP))


@dataclass
class Orthanc:
    """An archive in its own process: C-STORE, C-ECHO, storage commitment, REST and DICOMweb.

    Attributes
    ----------
    folder
        Its configuration and database.
    modalities
        AE title to the port on the loopback of each DICOM peer that it knows.
    isolated
        Whether it runs in a network of its own; if not, it admits only its modalities.
    options
        Further entries of its configuration.
    """

    folder: Path
    modalities: Mapping[str, int] = field(default_factory=dict)
    isolated: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    lua: str = ""
    title: str = "ORTHANC"
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.http_port}"

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicom-web"

    @property
    def destination(self) -> str:
        """Return the archive as ``--to`` takes it."""
        return f"{self.title}@{LOOPBACK}:{self.port}"

    def start(self) -> Orthanc:
        """Start it, or start it again on the same ports, and wait until it answers."""
        program = shutil.which("Orthanc", path=PATH)
        if program is None or not DICOMWEB.exists():
            pytest.skip("orthanc and orthanc-dicomweb: not installed")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "orthanc.json").write_text(json.dumps(self._configuration()))
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, str(self.folder / "orthanc.json")], stdout=log, stderr=log
            )
        for _ in range(400):
            with contextlib.suppress(OSError):
                self.get("system")
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise RuntimeError((self.folder / "orthanc.log").read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        """Stop it; what it holds stays in its folder. Its own way to stop takes 3 seconds."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def __enter__(self) -> Orthanc:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _configuration(self) -> dict[str, Any]:
        strict = not self.isolated
        peers = {
            title.lower(): {
                "AET": title,
                "Host": LOOPBACK,
                "Port": port,
                "AllowStorageCommitment": True,
            }
            for title, port in self.modalities.items()
        }
        scripts = []
        if self.lua:
            (self.folder / "route.lua").write_text(self.lua)
            scripts = [str(self.folder / "route.lua")]
        return {
            "Name": "archive of the tests",
            "StorageDirectory": str(self.folder / "db"),
            "IndexDirectory": str(self.folder / "db"),
            "Plugins": [str(DICOMWEB)],
            "HttpPort": self.http_port,
            "DicomPort": self.port,
            "DicomAet": self.title,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomCheckModalityHost": strict,
            "DicomAlwaysAllowStore": not strict,
            "DicomAlwaysAllowEcho": not strict,
            "DicomModalities": peers,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Ssl": False},
            "DicomAssociationCloseDelay": 0,
            "StableAge": 1,
            "OverwriteInstances": False,
            "LuaScripts": scripts,
            **self.options,
        }

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Return what its REST interface answers."""
        asked = urllib.request.Request(f"{self.url}/{path}", body, method=method)
        with _DIRECT.open(asked, timeout=30) as answer:
            return bytes(answer.read())

    def get(self, path: str) -> Any:
        return json.loads(self.request("GET", path))

    def upload(self, data: bytes) -> str:
        """Store a file; return Orthanc's identifier of the instance."""
        return str(json.loads(self.request("POST", "instances", data))["ID"])

    def count(self) -> int:
        return int(self.get("statistics")["CountInstances"])

    def wait(self, count: int, seconds: float = 20) -> int:
        """Wait until it holds so many instances; return how many it holds at the end."""
        end = time.monotonic() + seconds
        while (found := self.count()) < count and time.monotonic() < end:
            time.sleep(0.05)
        return found

    def instances(self, modality: str = "") -> dict[str, dict[str, Any]]:
        """Return the attributes by keyword of each instance, by Orthanc's identifier."""
        found = {one: self.get(f"instances/{one}/simplified-tags") for one in self.get("instances")}
        return {one: tags for one, tags in found.items() if modality in ("", tags["Modality"])}

    def file(self, instance: str) -> bytes:
        """Return the DICOM file of an instance."""
        return self.request("GET", f"instances/{instance}/file")

    def preview(self, instance: str) -> bytes:
        """Return an image as PNG."""
        return self.request("GET", f"instances/{instance}/preview")

    def clear(self) -> None:
        """Delete everything that it holds."""
        for one in self.get("patients"):
            self.request("DELETE", f"patients/{one}")


@pytest.fixture(scope="module")
def network() -> Iterator[bool]:
    """Move the tests of a module into a network of their own; False if that is impossible."""
    with own_network() as isolated:
        yield isolated


@pytest.fixture(scope="module")
def archive(network: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Start an Orthanc for the tests of a module; it admits PLAINFILM and STORESCU."""
    folder = tmp_path_factory.mktemp("orthanc")
    known = {"PLAINFILM": free_port(), "STORESCU": free_port()}
    with Orthanc(folder, known, isolated=network) as running:
        yield running


def dcmtk(program: str, *arguments: object, seconds: float = 60) -> tuple[int, str]:
    """Run a program; return its exit status and all that it writes."""
    found = shutil.which(program, path=PATH)
    if found is None:
        pytest.skip(f"{program}: not installed")
    done = subprocess.run(
        [found, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def storescu(
    port: int, files: Sequence[Path], *options: str, calling: str = "STORESCU", called: str = ""
) -> tuple[int, str]:
    """Send files with dcmtk; ``-xs`` proposes JPEG lossless, ``-xy`` JPEG baseline."""
    called = called or "PLAINFILM"
    head = ("-v", "-aet", calling, "-aec", called, "-to", "10", *options)
    return dcmtk("storescu", *head, LOOPBACK, port, *files)


def echoscu(port: int, *options: str, calling: str = "STORESCU", called: str = "") -> bool:
    """Return whether a C-ECHO succeeds."""
    head = ("-aet", calling, "-aec", called or "PLAINFILM", "-to", "5", *options)
    return dcmtk("echoscu", *head, LOOPBACK, port)[0] == 0


def dicom_errors(path: Path) -> list[str]:
    """Return the errors that dciodvfy finds in a file; its warnings are left out."""
    status, text = dcmtk("dciodvfy", path)
    errors = [line for line in text.splitlines() if line.startswith("Error")]
    return errors or ([f"exit status {status}"] if status else [])
