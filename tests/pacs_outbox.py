"""A state folder with results to deliver, and archives that misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from plainfilm.inference.log import Log
from plainfilm.inference.prometheus import Count
from plainfilm.pacs.courier import Backoff
from plainfilm.pacs.delivery import Delivery, DeliverySettings
from plainfilm.pacs.ledger import Ledger, ResultRow, uid_key
from plainfilm.pacs.outcomes import StepSeconds
from plainfilm.pacs.settings import Destination
from plainfilm.pacs.spool import Spool
from plainfilm.pacs.state_folder import StateLock

REPORT = "1.2.840.10008.5.1.4.1.1.88.34"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
QUICK = StepSeconds(connect=2, negotiate=1, answer=1)


def result_file(uid: str, kind: str = "report", syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return a small DICOM file of the class of a result."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = (REPORT if kind == "report" else CAPTURE), uid
    data.StudyInstanceUID, data.SeriesInstanceUID = "2.25.11", f"2.25.12{len(kind)}"
    data.Modality = "SR" if kind == "report" else "OT"
    data.PatientName, data.PatientID, data.StudyID = "Secret^Name", "SECRET", "1"
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageComments = "x" * 3000
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = uid
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@dataclass
class Outbox:
    """The ledger and spool of a state folder, and what the log and the counter got."""

    folder: Path
    lines: io.StringIO = field(default_factory=io.StringIO)
    deliveries: Count = field(default_factory=lambda: Count("destination", "kind", "outcome"))
    lock: Any = None

    def __enter__(self) -> Outbox:
        self.lock = StateLock(self.folder)
        self.open()
        return self

    def open(self) -> None:
        """Open ledger and spool, also while another process has them open."""
        self.ledger = Ledger.open(self.folder / "ledger.db")
        self.spool = Spool(self.folder, reserve=0)

    def __exit__(self, *_: object) -> None:
        self.spool.close()
        self.ledger.close()
        self.lock.release()

    def add(
        self, destinations: Sequence[Destination], uids: Sequence[str], kind: Any = "report"
    ) -> None:
        """Write results."""
        for uid in uids:
            key = self.key(uid)
            self.spool.write_result(key, result_file(uid, kind))
            row = ResultRow(key, uid_key(uid), kind)
            self.ledger.finish({}, [row], [one.name for one in destinations])

    @staticmethod
    def key(uid: str) -> str:
        """Return the key of a result."""
        return hashlib.sha256(uid.encode()).hexdigest()[:32]

    def files(self) -> int:
        """Return how many results are in the outbox."""
        return len(list((self.folder / "outbox").iterdir()))

    def states(self) -> list[tuple[str, str]]:
        """Return the state and status of each delivery."""
        with self.ledger._reading() as rows:
            query = "SELECT state, coalesce(status, '') FROM deliveries ORDER BY id"
            return [(str(state), str(status)) for state, status in rows.execute(query)]

    def events(self) -> list[dict[str, Any]]:
        """Return the lines of the log."""
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]

    @contextlib.contextmanager
    def delivering(
        self, destinations: Sequence[Destination], title: str = "PLAINFILM", **settings: Any
    ) -> Iterator[Delivery]:
        """Deliver in the background."""
        settings = {"seconds": QUICK, "backoff": Backoff(0.05, 0.2)} | settings
        delivery = Delivery(
            self.ledger,
            self.spool,
            destinations,
            DeliverySettings(title=title, **settings),
            Log(self.lines),
            self.deliveries,
        )
        stop = threading.Event()
        thread = threading.Thread(target=delivery.run, args=[stop])
        thread.start()
        try:
            yield delivery
        finally:
            stop.set()
            thread.join()


def wait_until(condition: Callable[[], object], seconds: float = 20) -> bool:
    """Wait for a condition; return whether it holds."""
    end = time.monotonic() + seconds
    while not (held := bool(condition())) and time.monotonic() < end:
        time.sleep(0.01)
    return held


@contextlib.contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept connections on the loopback, at most 50, and give each to ``serve``."""
    listener = socket.create_server(("127.0.0.1", 0))
    closed = threading.Event()

    def handle(own: socket.socket) -> None:
        with own, contextlib.suppress(OSError):
            own.settimeout(5)
            serve(own)

    def run() -> None:
        with contextlib.suppress(OSError):
            for _ in range(50):
                own, _address = listener.accept()
                if closed.is_set():
                    own.close()
                    return
                threading.Thread(target=handle, args=[own], daemon=True).start()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    try:
        yield port
    finally:
        closed.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            pass
        thread.join(2)
        listener.close()


@contextlib.contextmanager
def serving(entity: Any, handlers: Sequence[Any], port: int = 0, **options: Any) -> Iterator[int]:
    """Run a DICOM server on the loopback, which stops faster than that of ``start_server``."""
    contexts = entity.supported_contexts
    server = entity.make_server(
        ("127.0.0.1", port), contexts=contexts, evt_handlers=list(handlers), **options
    )
    entity._servers.append(server)
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()


Respond = Callable[[BaseHTTPRequestHandler, bytes], None]


@contextlib.contextmanager
def web_server(
    respond: Respond, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve HTTP on the loopback; yields the URL and the fields of each request."""
    requests: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def do_POST(self) -> None:
            requests.append({name.lower(): value for name, value in self.headers.items()})
            requests[-1]["path"] = self.path
            if isinstance(self.connection, ssl.SSLSocket):
                names = self.connection.getpeercert() or {}
                requests[-1]["client"] = str(names.get("subject"))
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with contextlib.suppress(OSError):
                respond(self, body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}/dicom-web", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **fields: str) -> None:
    """Write a response."""
    handler.send_response(status)
    for name, value in fields.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def stow(stored: Sequence[str] = (), failed: dict[str, int] | None = None) -> bytes:
    """Return the body of a response to a STOW-RS request."""

    def item(uid: str, reason: int) -> dict[str, Any]:
        return {
            "00081155": {"vr": "UI", "Value": [uid]},
            **({"00081197": {"vr": "US", "Value": [reason]}} if reason else {}),
        }

    body = {
        "00081199": {"vr": "SQ", "Value": [item(uid, 0) for uid in stored]},
        "00081198": {"vr": "SQ", "Value": [item(*one) for one in (failed or {}).items()]},
    }
    return json.dumps(body).encode()
