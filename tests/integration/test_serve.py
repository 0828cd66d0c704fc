"""The service as a process: hostile clients, signals, killed decoders, equal predictions."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("h11")

import test_privacy

from plainfilm.bundle import Bundle
from plainfilm.phantom import write_dataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals stop the service"),
]

MakeBundle = Callable[..., Bundle]
DATA = Path(os.environ.get("PLAINFILM_DATA", "../shared/data"))
TOKEN = "of-the-tests-0123456789"


@dataclass
class Server:
    """A service in its own process."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)
    listener: threading.Thread = field(default_factory=threading.Thread)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        kind: str = "application/octet-stream",
        timeout: float = 60,
        **headers: str,
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            if body is not None:
                named["content-type"] = kind
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()

    def post(self, data: bytes, kind: str = "application/octet-stream") -> tuple[int, Any]:
        status, _, body = self.ask("POST", "/v1/predictions", data, kind)
        return status, json.loads(body)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def children(self) -> list[int]:
        # A process is listed with the thread that started it.
        listed = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for path in listed for pid in path.read_text("ascii").split()]

    def memory(self) -> int:
        """Return the resident bytes of the service and its decoders."""
        pages = 0
        for pid in (self.process.pid, *self.children()):
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def decoders_ready(self) -> int:
        metrics = self.ask("GET", "/metrics")[2].decode()
        return int(metrics.rpartition("\nplainfilm_decoders_ready ")[2].split()[0])

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.lines)]

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        for _ in range(600):
            for row in self.log():
                if row["event"] == event and fields.items() <= row.items():
                    return row
            time.sleep(0.05)
        raise AssertionError(f"no {event} {fields} in {self.lines[-5:]}")


Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a service; the fixture stops all of them."""
    started: list[Server] = []

    def run(
        *bundles: object,
        limits: dict[str, int] | None = None,
        program: Sequence[str] = ("-m", "plainfilm"),
        **env: str,
    ) -> Server:
        command = [sys.executable, *program, "serve", *map(str, bundles), "--port", "0"]
        for name, value in (limits or {}).items():
            command += ["--limit", f"{name}={value}"]
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, **env}
        )
        server = Server(process, 0)
        started.append(server)
        assert process.stderr is not None

        def listen(stream: Any = process.stderr) -> None:
            server.lines.extend(iter(stream.readline, ""))

        server.listener = threading.Thread(target=listen, daemon=True)
        server.listener.start()
        server.port = server.wait_for("listening")["port"]
        return server

    yield run
    for server in started:
        server.process.kill()
        server.process.wait()
        assert server.process.stderr is not None
        server.listener.join(10)
        server.process.stderr.close()


def multipart(*files: bytes, name: str = "a") -> tuple[bytes, str]:
    mark = "0123456789abcdef"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for data in files
    ]
    return b"".join([*parts, f"--{mark}--\r\n".encode()]), f"multipart/form-data; boundary={mark}"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("drawn")
    write_dataset(folder, images={"train": 40}, seed=1, size=64, workers=1)
    return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix == ".jpeg"] or [
        path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.suffix != ".csv"
    ]


@pytest.fixture
def bundle(make_bundle: MakeBundle) -> Path:
    return make_bundle().folder


def test_hostile_clients_are_disconnected_and_others_are_served(
    start: Start, bundle: Path, drawn: list[bytes]
) -> None:
    limits = {"head_seconds": 1, "stall_seconds": 1, "connections": 40, "body": 100_000}
    server = start(bundle, limits={**limits, "file": 50_000, "held": 200_000})
    before = server.memory()
    # Headers that never end, silent connections, and a body that never arrives.
    slow = [server.connect() for _ in range(30)]
    for n, one in enumerate(slow):
        one.sendall((b"", b"POST / HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nx: ")[n % 3])
    body = server.connect()
    body.sendall(
        b"POST /v1/predictions HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n"
        b"content-length: 1000\r\n\r\nabc"
    )
    assert server.post(drawn[0])[0] == 200
    assert b" 408 " in body.recv(100)
    for one in slow:
        assert one.recv(100) == b""  # closed by the service
    # Endless headers at full speed.
    with server.connect() as fast:
        with contextlib.suppress(OSError):
            for _ in range(100):
                fast.sendall(b"x: " + b"y" * 1000 + b"\r\n" if _ else b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            assert b" 431 " in fast.recv(1000)
    # Headers above the limit in one piece.
    with server.connect() as whole:
        whole.sendall(
            b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 40_000 + b"\r\n\r\n"
        )
        assert b" 431 " in whole.recv(1000)
    # Bodies above the limit, declared or received; the client can read the refusal.
    for head in (b"content-length: 1000000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"):
        with server.connect() as large:
            large.sendall(b"POST /v1/predictions HTTP/1.1\r\nhost: localhost\r\n")
            large.sendall(b"content-type: image/png\r\n" + head)
            with contextlib.suppress(OSError):
                for _ in range(100):
                    large.sendall((b"2710\r\n" if b"chunked" in head else b"") + b"x" * 10_000)
                    large.sendall(b"\r\n" if b"chunked" in head else b"")
            assert b" 413 " in large.recv(1000)
    # Bytes that are not HTTP.
    with server.connect() as wrong:
        wrong.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20)
        answer = wrong.recv(1000)
        assert answer == b"" or (b" 400 " in answer and b"bad-request" in answer)
    # Clients that disconnect within the body, and before the answer.
    content, kind = multipart(*drawn[:8])
    for cut in (100, len(content) // 2, len(content)):
        for _ in range(10):
            with server.connect() as gone:
                gone.sendall(
                    b"POST /v1/predictions/stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: "
                    + kind.encode()
                    + f"\r\ncontent-length: {len(content)}\r\n\r\n".encode()
                    + content[:cut]
                )
    # Connections above the limit.
    many = [server.connect() for _ in range(60)]
    answers = Counter(one.recv(20)[9:12] for one in many[45:])
    assert answers[b"503"] + answers[b""] == 15 and answers[b"503"] > 0
    for one in (*slow, body, *many):
        one.close()
    time.sleep(1.5)
    assert server.post(drawn[0])[0] == 200
    metrics = server.ask("GET", "/metrics")[2].decode()
    assert "\nplainfilm_requests_active 0\n" in metrics and "\nplainfilm_held_bytes 0\n" in metrics
    assert server.memory() < before + (64 << 20)
    assert not [row for row in server.log() if row["event"] == "defect"]


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "broken").is_dir(), reason="the real broken files are missing")
def test_broken_files_get_the_right_status_and_memory_stays_constant(
    start: Start, bundle: Path, drawn: list[bytes]
) -> None:
    from plainfilm.errors import ImageError
    from plainfilm.pixels import Limits, read_image
    from plainfilm.records import PixelSpec

    server = start(bundle)
    limits = Limits(bytes=64 << 20, pixels=50_000_000, frames=1_000)
    paths = [path for path in sorted((DATA / "broken").rglob("*")) if path.suffix != ".csv"]
    paths = [path for path in paths if path.is_file()]
    assert len(paths) > 100
    for _ in range(2):
        wrong = []
        for path in paths:
            data = path.read_bytes()
            try:
                read_image(data, PixelSpec(16), limits=limits)
                expected = (200, None)
            except ImageError as error:
                expected = (422, error.reason)
            status, content = server.post(data)
            if (status, content.get("code")) != expected:
                wrong.append((path.name, expected, status, content))
        assert not wrong
        first = locals().get("first") or server.memory()
    assert server.memory() < first + (48 << 20)
    assert server.post(drawn[0])[0] == 200
    assert not [row for row in server.log() if row["event"] in ("defect", "decoder")]


def test_no_identity_leaves_the_service(
    start: Start, bundle: Path, tmp_path: Path, drawn: list[bytes]
) -> None:
    from pydicom import config

    write_dataset(tmp_path / "d", images={"train": 4}, seed=5, size=64, format="dicom", workers=1)
    path = next((tmp_path / "d").rglob("*.dcm"))
    extra = test_privacy.planted()
    mode = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        whole = test_privacy.plant(path, extra, "patient", tmp_path / "w.dcm")
        bad = test_privacy.break_some(path, extra, make(tmp_path / "bad"))
    finally:
        config.settings.writing_validation_mode = mode
    pictures = test_privacy.draw_pictures(tmp_path / "pictures")
    audit = tmp_path / "audit.jsonl"
    server = start(bundle, "--audit-log", audit)
    secrets = [test_privacy.UID_ROOT.encode(), *(d.encode() for d in test_privacy.DATES)]
    name = test_privacy.canary(9)
    outputs, statuses = [], Counter[int]()
    for one in (whole, *sorted(bad.iterdir()), *sorted(pictures.iterdir())):
        data = one.read_bytes()
        query = f"?include=seen,original,heatmap&{name}={name}"
        status, headers, content = server.ask("POST", f"/v1/predictions{query}", data, x_name=name)
        statuses[status] += 1
        outputs += [content, repr(headers).encode()]
        parts, kind = multipart(data, name=name)
        for path_ in ("/v1/predictions", "/v1/predictions/stream"):
            outputs.append(server.ask("POST", path_ + query, parts, kind)[2])
    for path_ in (f"/{name}", f"/static/{name}", f"/v1/model?bundle={name}", "/metrics"):
        outputs.append(server.ask("GET", path_)[2])
    outputs.append(server.ask("POST", f"/v1/predictions?label={name}", whole.read_bytes())[2])
    assert statuses[200] >= 5 and statuses[422] >= 5 and set(statuses) == {200, 422}
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    time.sleep(0.2)
    outputs += ["\n".join(server.lines).encode(), audit.read_bytes()]
    for text in outputs:
        assert not test_privacy.search(text, secrets), text[:500]
        for part in test_privacy.unpack(Path("x.html"), text.replace(b"base64,", b"base64,")):
            assert not test_privacy.search(part, secrets)
    assert len(audit.read_text("utf-8").splitlines()) > 3 * sum(statuses.values()) - 10


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_killed_decoder_is_replaced_and_no_request_is_lost(
    start: Start, bundle: Path, drawn: list[bytes]
) -> None:
    server = start(bundle)
    content, kind = multipart(*drawn * 20)
    answers: list[tuple[int, bytes]] = []

    def ask() -> None:
        status, _, body = server.ask("POST", "/v1/predictions", content, kind)
        answers.append((status, body))

    workers = server.decoders_ready()
    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    killed = 0
    while any(thread.is_alive() for thread in asking):
        # Wait for the replacement before the next kill: a process may start slowly.
        if server.decoders_ready() >= workers:
            os.kill(server.children()[0], signal.SIGKILL)
            killed += 1
        time.sleep(1)
    assert killed and len(answers) == 4
    for status, body in answers:
        assert status == 200
        outcomes = Counter(item["reason"] or "ok" for item in json.loads(body)["predictions"])
        # A file whose decoder is killed twice fails; all others succeed.
        assert outcomes["ok"] + outcomes["decoder-died"] == 20 * len(drawn), outcomes
        assert outcomes["decoder-died"] <= 2
    server.wait_for("decoder", outcome="died")
    for _ in range(100):
        if server.ask("GET", "/readyz")[0] == 200 and len(server.children()) >= 1:
            break
        time.sleep(0.1)
    assert server.post(drawn[0])[0] == 200


@dataclass
class Traffic:
    """Clients that send requests without pause, and the outcomes."""

    server: Server
    data: bytes
    stop: threading.Event = field(default_factory=threading.Event)
    outcomes: Counter[str] = field(default_factory=Counter)
    bundles: set[str] = field(default_factory=set)

    def run(self) -> None:
        while not self.stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
            sent = False
            try:
                connection.connect()
                while not self.stop.is_set():
                    sent = False
                    connection.request(
                        "POST", "/v1/predictions", self.data, {"content-type": "image/jpeg"}
                    )
                    sent = True
                    answer = connection.getresponse()
                    content = json.loads(answer.read())
                    self.outcomes[str(answer.status)] += 1
                    self.bundles.add(answer.headers["x-plainfilm-bundle"])
                    assert content["bundle"]["id"] == answer.headers["x-plainfilm-bundle"]
                    if answer.headers.get("connection") == "close":
                        break
            except ConnectionRefusedError:
                self.outcomes["refused"] += 1
                return
            except OSError as error:
                self.outcomes[f"lost {type(error).__name__}" if sent else "not sent"] += 1
            finally:
                connection.close()


def jpeg(drawn: list[bytes]) -> bytes:
    return next(data for data in drawn if data[:2] == b"\xff\xd8")


@contextlib.contextmanager
def traffic(server: Server, data: bytes) -> Iterator[Traffic]:
    load = Traffic(server, data)
    threads = [threading.Thread(target=load.run) for _ in range(6)]
    for thread in threads:
        thread.start()
    yield load
    load.stop.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_under_load_loses_no_request(
    start: Start, bundle: Path, drawn: list[bytes], number: signal.Signals
) -> None:
    server = start(bundle)
    with traffic(server, jpeg(drawn)) as load:
        time.sleep(1)
        server.process.send_signal(number)
        assert server.process.wait(30) == 0
    assert load.outcomes["200"] > 20 and load.outcomes["refused"] == 6
    assert set(load.outcomes) <= {"200", "refused", "not sent"}, load.outcomes
    server.wait_for("stopped")


HANGING = """
import sys, threading
from plainfilm.cli.main import main
from plainfilm.runtime import Predictor

Predictor.predict_images = lambda self, images: threading.Event().wait()
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("limits", "signals", "status", "seconds"),
    [
        ({"stop_seconds": 2}, 1, 1, 2),  # the request is still in progress
        ({"stop_seconds": 60}, 2, 1, 0.5),
        ({"stop_seconds": 60, "seconds": 1}, 1, 0, 3),  # the client has its 504
    ],
)
def test_a_network_that_never_returns_does_not_prevent_the_stop(
    start: Start,
    bundle: Path,
    drawn: list[bytes],
    tmp_path: Path,
    limits: dict[str, int],
    signals: int,
    status: int,
    seconds: float,
) -> None:
    script = tmp_path / "hanging.py"
    script.write_text(HANGING, encoding="utf-8")
    server = start(bundle, limits=limits, program=[str(script)])
    children = server.children()
    with server.connect() as client:
        client.sendall(
            b"POST /v1/predictions HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\n"
            + f"content-length: {len(drawn[0])}\r\n\r\n".encode()
            + drawn[0]
        )
        if status == 0:
            assert b" 504 " in client.recv(100)
        else:
            time.sleep(0.5)
        began = time.monotonic()
        for _ in range(signals):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert server.process.wait(30) == status
    assert time.monotonic() - began < seconds + 3
    if status:
        assert server.wait_for("stopped", outcome="forced")["active"] == 1
    assert children
    assert not any(Path(f"/proc/{pid}/cwd").exists() for pid in children)


def test_bundles_are_swapped_under_load(
    start: Start, make_bundle: MakeBundle, drawn: list[bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "served"
    first = make_bundle(folder)
    server = start(folder)
    with traffic(server, jpeg(drawn)) as load:
        time.sleep(0.7)
        second = make_bundle(folder, gains=(2.0,))
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("bundle", outcome="swapped", bundle=second.id)
        time.sleep(0.3)
        (folder / "network.onnx").write_bytes(b"broken")
        server.process.send_signal(signal.SIGHUP)
        kept = server.wait_for("bundle", outcome="kept")
        time.sleep(0.3)
    assert set(load.outcomes) == {"200"}, load.outcomes
    assert load.bundles == {first.id, second.id} and "sealed" in kept["problem"]
    assert server.ask("GET", "/v1/model")[1]["x-plainfilm-bundle"] == second.id


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "kermany224").is_dir(), reason="the real images are missing")
def test_predictions_equal_those_of_the_command_for_every_batch_size(
    start: Start, tiny_run: Any, run_plainfilm: Any
) -> None:
    paths = sorted((DATA / "kermany224" / "test").rglob("*.jpeg"))[::3][:200]
    done = run_plainfilm("predict", tiny_run.folder, *paths, "--format", "jsonl")
    expected = [json.loads(line) for line in done.stdout.splitlines()]
    server = start(tiny_run.folder)
    content, kind = multipart(*(path.read_bytes() for path in paths))
    together = json.loads(server.ask("POST", "/v1/predictions", content, kind)[2])["predictions"]
    alone = [server.post(path.read_bytes())[1]["predictions"][0] for path in paths[:40]]
    assert len(together) == len(expected) == 200
    for item, row in [*zip(together, expected, strict=True), *zip(alone, expected, strict=False)]:
        for key in row.keys() - {"file", "bundle"}:
            assert json.dumps(item[key]) == json.dumps(row[key])


def test_wrong_tokens_and_unsafe_settings_are_refused(
    start: Start, bundle: Path, run_plainfilm: Any, tmp_path: Path
) -> None:
    refused = run_plainfilm("serve", bundle, "--host", "0.0.0.0", "--port", 0)
    assert refused.returncode == 2 and "needs a token" in refused.stderr
    missing = run_plainfilm("serve", bundle, "--token-file", tmp_path / "none")
    assert missing.returncode == 2 and "cannot be read" in missing.stderr
    nothing = run_plainfilm("serve", tmp_path)
    assert nothing.returncode == 1 and "not a bundle" in nothing.stderr
    server = start(bundle, "--host", "0.0.0.0", PLAINFILM_TOKEN=TOKEN)
    assert server.ask("GET", "/")[0] == 200
    assert server.ask("GET", "/v1/model")[0] == 401
    assert server.ask("GET", "/v1/model", authorization="Bearer wrong")[0] == 401
    assert server.ask("GET", "/v1/model", authorization=f"Bearer {TOKEN}")[0] == 200
    environment = [Path(f"/proc/{pid}/environ").read_bytes() for pid in server.children()]
    assert environment and not any(TOKEN.encode() in one for one in environment)
    assert TOKEN not in "".join(server.lines)


def test_a_terminal_shows_the_address_in_plain_words(bundle: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "plainfilm", "serve", str(bundle), "--port", "0"]
    process = subprocess.Popen(command, stderr=theirs, stdout=theirs)
    os.close(theirs)
    shown = b""
    try:
        while b"Press Ctrl-C" not in shown:
            shown += os.read(ours, 4096)
        found = re.search(rb"Open (http://127\.0\.0\.1:\d+) in a browser", shown)
        assert found is not None and b"{" not in shown
        with urllib.request.urlopen(found[1].decode() + "/healthz") as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        assert process.wait(30) == 0
        os.close(ours)
