"""The nginx configuration of examples/service in front of a real service."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from test_serve import MakeBundle, Server, Start, multipart, start  # noqa: F401 (a fixture)

from plainfilm.phantom import write_dataset

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin") or ""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not NGINX, reason="nginx is not installed"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="its paths are those of Linux"),
]

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "examples" / "service" / "nginx.conf"
NAME = "xray.hospital.example"
TOKEN = "of-the-tests-0123456789"
IMAGE = "application/octet-stream"


@dataclass
class Proxy:
    """nginx in front of a service."""

    port: int
    server: Server
    trusted: ssl.SSLContext
    certificate: Path

    def connect(self, timeout: float = 20) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout)
        return self.trusted.wrap_socket(plain, server_hostname=NAME)

    def open(self, timeout: float = 20) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(NAME, timeout=timeout)
        connection.sock = self.connect(timeout)
        return connection

    def head(self, path: str, kind: str, *lines: str, method: str = "POST") -> bytes:
        """Return the head of a request."""
        common = (f"Host: {NAME}", f"Authorization: Bearer {TOKEN}", f"Content-Type: {kind}")
        return "\r\n".join([f"{method} {path} HTTP/1.1", *common, *lines, "", ""]).encode()

    def ask(self, method: str, path: str, body: Any = None, kind: str = IMAGE) -> tuple[int, bytes]:
        with contextlib.closing(self.open()) as connection:
            return request(connection, method, path, body, kind)


def request(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, kind: str = ""
) -> tuple[int, bytes]:
    """Return the status and the body of an answer; the connection stays open."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind or IMAGE}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", f"/CN={NAME}"]  # type: ignore[list-item]
    command += ["-addext", f"subjectAltName=DNS:{NAME}"]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def configure(folder: Path, port: int, upstream: int, certificate: Path, key: Path) -> Path:
    """Write a main configuration around that of the example, with its ports and paths replaced."""
    text = CONFIGURATION.read_text("utf-8")
    for pattern, value in (
        (r"listen 443 ", f"listen 127.0.0.1:{port} "),
        (r"127\.0\.0\.1:8000", f"127.0.0.1:{upstream}"),
        (r"/etc/ssl/\S+\.pem", str(certificate)),
        (r"/etc/ssl/\S+\.key", str(key)),
    ):
        text, count = re.subn(pattern, value, text)
        assert count == 1, pattern
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{kind}_temp_path {folder / 'temporary' / kind};" for kind in kinds)
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/errors.log warn; worker_processes 1;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}\n{text}\n}}\n",
        "utf-8",
    )
    return path


@pytest.fixture
def proxy(start: Start, make_bundle: MakeBundle, tmp_path: Path) -> Iterator[Proxy]:  # noqa: F811
    """Start a service and nginx in front of it, whose folders for temporary files are removed."""
    limits = {"stall_seconds": 1}
    server = start(make_bundle().folder, "--allow-host", NAME, limits=limits, PLAINFILM_TOKEN=TOKEN)
    certificate, key = make_certificate(tmp_path)
    port = free_port()
    (tmp_path / "temporary").mkdir()
    path = configure(tmp_path, port, server.port, certificate, key)
    command = [NGINX, "-p", str(tmp_path), "-e", str(tmp_path / "errors.log"), "-c", str(path)]
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "[warn]" not in done.stderr, done.stderr
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        found = Proxy(port, server, ssl.create_default_context(cafile=certificate), certificate)
        for _ in range(100):
            with contextlib.suppress(OSError):
                found.connect().close()
                break
            time.sleep(0.05)
        shutil.rmtree(tmp_path / "temporary")  # writing a body or an answer to the disk would fail
        yield found
    finally:
        process.terminate()
        process.wait(10)
    errors = (tmp_path / "errors.log").read_text("utf-8")
    assert not re.search(r"\[(crit|alert|emerg)\]", errors), errors


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("drawn")
    write_dataset(folder, images={"train": 4}, seed=1, size=64, workers=1, format="png")
    return [path.read_bytes() for path in sorted(folder.rglob("*.png"))]


def connections_to(port: int) -> int:
    """Return how many connections to a port of this machine exist or have just been closed."""
    rows = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    remote = [row.split()[2] for row in rows if row.split()[3] != "0A"]
    return sum(int(address.partition(":")[2], 16) == port for address in remote)


def test_requests_pass_over_few_connections(proxy: Proxy, images: list[bytes]) -> None:
    with contextlib.closing(proxy.open()) as connection:
        for n in range(20):
            status, body = request(connection, "POST", "/v1/predictions", images[n % 4])
            assert status == 200 and json.loads(body)["predictions"][0]["probabilities"]
    for _ in range(5):  # each over its own connection to nginx
        assert proxy.ask("POST", "/v1/predictions", images[0])[0] == 200
    assert connections_to(proxy.server.port) <= 2, "nginx opened a connection for each request"
    status, body = proxy.ask("POST", "/v1/predictions?include=seen,original,heatmap", images[0])
    assert status == 200 and set(json.loads(body)["predictions"][0]["images"]) == {
        *("seen", "original", "heatmap")
    }
    assert proxy.ask("GET", "/readyz")[0] == 200
    assert b"<html" in proxy.ask("GET", "/")[1].lower()
    assert proxy.ask("GET", "/metrics")[0] == 404
    assert proxy.ask("GET", "/v1/none")[0] == 404
    if shutil.which("curl"):
        command = ["curl", "--silent", "--http2", "--cacert", str(proxy.certificate)]
        command += ["--resolve", f"{NAME}:{proxy.port}:127.0.0.1", "--write-out", "%{http_version}"]
        command += ["--header", f"Authorization: Bearer {TOKEN}"]
        url = f"https://{NAME}:{proxy.port}/v1/bundles"
        done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
        assert done.stdout.startswith('{"bundles"') and done.stdout.endswith(("2", "1.1"))


def test_the_stream_passes_in_both_directions_without_a_delay(
    proxy: Proxy, images: list[bytes]
) -> None:
    content, kind = multipart(*images)
    # Each result is sent when it is done and the next image has arrived; the last one is not sent.
    ends = [content.index(image) - 10 for image in images[1:]]
    with proxy.connect() as connection:
        length = f"Content-Length: {len(content)}"
        head = proxy.head("/v1/predictions/stream", kind, length, "Connection: close")
        connection.sendall(head + content[: ends[0]])
        for begin, end in itertools.pairwise(ends):
            time.sleep(0.5)
            connection.sendall(content[begin:end])
        received = b""
        while b'"index"' not in received:
            received += (piece := connection.recv(1 << 16))
            assert piece, received
        assert b" 200 " in received[:20]
        connection.sendall(content[ends[-1] :])
        while piece := connection.recv(1 << 16):
            received += piece
    assert received.count(b'"index"') == len(images)


def test_an_upgrade_is_not_passed_on(proxy: Proxy, images: list[bytes]) -> None:
    lines = ["HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA", "Sec-WebSocket-Version: 13"]
    lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", f"Content-Length: {len(images[0])}"]
    for protocol in ("h2c", "websocket"):
        upgrade = ("Connection: Upgrade, HTTP2-Settings, close", f"Upgrade: {protocol}")
        with proxy.connect() as connection:
            head = proxy.head("/v1/predictions", IMAGE, *upgrade, *lines)
            connection.sendall(head + images[0])
            answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 200") and answer.count(b"HTTP/1.1") == 1
        assert b'"probabilities"' in answer


def test_large_bodies_pass_and_larger_ones_are_refused(proxy: Proxy) -> None:
    status, body = proxy.ask("POST", "/v1/predictions", b"x" * (60 << 20))
    assert (status, json.loads(body)["code"]) == (422, "not-an-image")
    for size, expected in ((257 << 20, b"application/problem+json"), (300 << 20, b"text/html")):
        with proxy.connect() as connection:
            connection.sendall(proxy.head("/v1/predictions", IMAGE, f"Content-Length: {size}"))
            connection.sendall(b"x" * 1000)
            answer = connection.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 413") and expected in answer


def test_slow_bodies_pass_and_silent_ones_end(proxy: Proxy, images: list[bytes]) -> None:
    length = f"Content-Length: {len(images[0])}"
    head = proxy.head("/v1/predictions", IMAGE, length, "Connection: close")
    results: dict[str, bytes] = {}

    def send(name: str, pieces: list[bytes], pause: float) -> None:
        with proxy.connect() as connection:
            connection.sendall(head)
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            results[name] = b"".join(iter(lambda: connection.recv(1 << 16), b""))

    step = len(images[0]) // 8 + 1
    steady = [images[0][at : at + step] for at in range(0, len(images[0]), step)]
    clients: list[Callable[[], None]] = [
        lambda: send("steady", steady, 0.25),  # longer than the limit of the service in all
        *(lambda n=n: send(f"silent {n}", [images[0][:100]], 0) for n in range(20)),  # type: ignore[misc]
    ]
    threads = [threading.Thread(target=client) for client in clients]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    assert proxy.ask("POST", "/v1/predictions", images[1])[0] == 200
    assert time.monotonic() - began < 2
    for thread in threads:
        thread.join(20)
    assert results.pop("steady").startswith(b"HTTP/1.1 200")
    assert len(results) == 20
    for answer in results.values():
        assert answer.startswith(b"HTTP/1.1 408"), answer[:100]
