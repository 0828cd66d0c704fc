"""Searches and fetches by DICOMweb: what an archive answers wrongly, and limits."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pacs_peers import needs
from plainfilm.pacs.archive import Archive, FoundSeries
from plainfilm.pacs.settings import TlsFiles
from plainfilm.pacs.tls import client_context, server_context
from plainfilm.pacs.web_get import WebError, WebReader

DAY = date(2026, 11, 27)
SERIES = FoundSeries("1.2", "1.3", 1)
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def served(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on the loopback; the handler is called with each request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                answer(self)
            except OSError:  # the client has closed the connection
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            scheme = "http" if tls is None else "https"
            yield f"{scheme}://127.0.0.1:{server.server_port}/dicom-web"
        finally:
            server.shutdown()
            thread.join()


def send(
    handler: BaseHTTPRequestHandler, body: bytes, kind: str = "application/dicom+json", **more: str
) -> None:
    """Answer with status 200."""
    handler.send_response(200)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **more}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def entry(number: int, modality: str = "CR", day: str = "20261127") -> dict[str, Any]:
    """Return a series in DICOM JSON."""
    texts = {
        "0020000D": f"1.2.{number}",
        "0020000E": f"1.3.{number}",
        "00080060": modality,
        "00080020": day,
    }
    found: dict[str, Any] = {tag: {"vr": "LO", "Value": [text]} for tag, text in texts.items()}
    return {**found, "00201209": {"vr": "IS", "Value": [2]}, "00100010": {"vr": "PN"}}


def find(url: str) -> list[FoundSeries]:
    return list(Archive(WebReader(url, seconds=5)).series(DAY, DAY))


def fetch(answer: Answer, *, most: int = 1000, seconds: float = 5) -> bytes:
    with served(answer) as url:
        return bytes(Archive(WebReader(url, seconds=seconds)).fetch(SERIES, "1.4", most))


@pytest.mark.parametrize("page", [1, 7, 100])
def test_pages_are_read_until_one_has_nothing_new(page: int) -> None:
    asked = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(handler.path).query).items()}
        asked.append(query)
        start, most = int(query["offset"]), min(page, int(query["limit"]))
        everything = [entry(n) for n in range(20)] if query["Modality"] == "CR" else []
        send(handler, json.dumps(everything[start : start + most]).encode())

    with served(answer) as url:
        found = find(url)
    assert [one.series for one in found] == [f"1.3.{n}" for n in range(20)]
    assert found[0] == FoundSeries("1.2.0", "1.3.0", 2)
    assert {query["StudyDate"] for query in asked} == {"20261127-20261127"}
    assert len(asked) == -(-20 // page) + 2


def test_an_archive_that_ignores_filters_and_limits_is_filtered_here() -> None:
    asked = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        everything = [entry(n) for n in range(150)]
        everything += [entry(900, "CT"), entry(901, "SR"), entry(902, day="20200101")]
        everything += [entry(903, day=""), entry(904, "DX")]
        send(handler, json.dumps(everything).encode())

    with served(answer) as url:
        found = {one.series for one in find(url)}
    assert found == {*(f"1.3.{n}" for n in range(150)), "1.3.903", "1.3.904"}
    assert len(asked) == 2  # one for each modality


def test_an_archive_with_a_hundred_thousand_results_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("plainfilm.pacs.archive._MOST_RESULTS", 500)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        start = int(parse_qs(urlsplit(handler.path).query)["offset"][0])
        page = [entry(n) for n in range(start, min(start + 100, 100_000))]
        send(handler, json.dumps(page).encode())

    with served(answer) as url:
        archive = Archive(WebReader(url))
        assert len({one.series for one in archive.series(DAY, DAY)}) == 500
    assert archive.problems == {"too-many-results"}


def test_an_archive_without_a_search_for_all_series_is_searched_by_study() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        if parts.path == "/dicom-web/series":
            handler.send_error(404)
            return
        offset = int(parse_qs(parts.query)["offset"][0])
        kinds = {"0020000D", "00080020"} if parts.path.endswith("/studies") else {"0020000E"}
        kinds |= {"00080060"} if parts.path.endswith("/series") else set()
        page = [{tag: entry(7)[tag] for tag in kinds}] if not offset else []
        send(handler, json.dumps(page).encode())

    with served(answer) as url:
        assert find(url) == [FoundSeries("1.2.7", "1.3.7", None)]


@pytest.mark.parametrize("uid", ["../../instances", "1.2/..", "", "1" * 65, "1.2\n.3", "１.2", "."])
def test_what_is_no_uid_is_not_put_into_an_address(uid: str) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        bad = {**entry(1), "0020000E": {"Value": [uid]}}
        other = {**entry(2), "0020000D": {"Value": [uid]}}
        send(handler, json.dumps([bad, other, entry(3)]).encode())

    with served(answer) as url:
        archive = Archive(WebReader(url))
        assert {one.series for one in archive.series(DAY, DAY)} == {"1.3.3"}
    assert archive.problems == {"invalid-uid"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<html>", "not-json"),
        (b'"text"', "not-json"),
        (b"[[1]]", "not-json"),
        (b"[" * 100_000, "not-json"),
        (b"\xff\xfe", "not-json"),
        (b" " * (17 << 20), "too-large"),
        (b"[" + b"{}," * 1_000_000 + b"{}]", "too-large"),
    ],
)
def test_a_search_result_of_another_shape_is_an_error(body: bytes, code: str) -> None:
    with served(lambda handler: send(handler, body)) as url, pytest.raises(WebError) as caught:
        find(url)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "element", [None, 1, [], {}, {"Value": None}, {"Value": {}}, {"Value": [{"a": 1}]}]
)
def test_an_element_of_another_shape_has_no_value(element: object) -> None:
    page = [{**entry(1), "00201209": element, "00080020": element}]
    with served(lambda handler: send(handler, json.dumps(page).encode())) as url:
        assert {one.count for one in find(url)} == {None}


def multipart(content: bytes, boundary: str = "line") -> bytes:
    """Return a response with one part."""
    head = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n"
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode()


MULTIPART = 'multipart/related; type="application/dicom"; boundary=line'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (MULTIPART, multipart(b"\r\n--lin \0 file \r\n")),
        (MULTIPART, multipart(b"\r\n--lin \0 file \r\n")[2:]),
        (MULTIPART.replace("line", '"a b"'), multipart(b"\r\n--lin \0 file \r\n", "a b")),
        ("application/dicom", b"\r\n--lin \0 file \r\n"),
    ],
)
def test_the_file_of_an_instance_is_returned(kind: str, body: bytes) -> None:
    assert fetch(lambda handler: send(handler, body, kind)) == b"\r\n--lin \0 file \r\n"


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("text/html", b"<p>", "other-media-type"),
        ("", b"file", "other-media-type"),
        ("multipart/related", multipart(b"file"), "no-boundary"),
        (MULTIPART, b"", "incomplete-response"),
        (MULTIPART, b"--line--", "incomplete-response"),
        (MULTIPART, multipart(b"file")[:-12], "incomplete-response"),
        (MULTIPART, b"\r\n--line\r\n" + b"A: b\r\n" * 10_000, "too-large"),
        (MULTIPART, multipart(b"x" * 20_000), "too-large"),
    ],
)
def test_a_wrong_response_for_an_instance_is_an_error(kind: str, body: bytes, code: str) -> None:
    with pytest.raises(WebError) as caught:
        fetch(lambda handler: send(handler, body, kind))
    assert (caught.value.code, caught.value.down) == (code, False)


@pytest.mark.parametrize("status", [302, 401, 403, 404, 406, 429, 500, 503])
def test_a_status_is_the_archive_or_the_instance(status: int) -> None:
    paths = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        paths.append(handler.path)
        handler.send_response(status)
        handler.send_header("Location", "/dicom-web/other")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with pytest.raises(WebError) as caught:
        fetch(answer)
    assert caught.value.code == ("redirect" if status == 302 else f"http-{status}")
    assert caught.value.down == (status not in (404, 406, 500))
    assert paths == ["/dicom-web/studies/1.2/series/1.3/instances/1.4"]  # no redirect is followed


def test_a_body_without_end_is_cut_off_by_its_size() -> None:
    sent = 0

    def answer(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Content-Type", MULTIPART)
        handler.end_headers()
        while True:
            sent += handler.wfile.write(bytes(1 << 16))

    with pytest.raises(WebError) as caught:
        fetch(answer)
    assert caught.value.code == "too-large"
    assert sent < 32 << 20


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_server_that_sends_a_byte_now_and_then_is_cut_off_by_time(where: str) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        start = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\n"
        handler.wfile.write(start + (b"\r\n" if where == "body" else b"X-Long: "))
        while True:
            handler.wfile.write(b"a")
            time.sleep(0.02)

    begun = time.monotonic()
    with pytest.raises(WebError) as caught:
        fetch(answer, seconds=0.3)
    assert caught.value.code == "timeout"
    assert time.monotonic() - begun < 2


def test_a_connection_that_ends_early_is_no_file() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\nContent-Length: 100\r\n\r\n"
        handler.wfile.write(head + b"half")
        handler.close_connection = True

    with pytest.raises(WebError) as caught:
        fetch(answer)
    assert caught.value.down


def test_compressed_responses_are_not_read() -> None:
    with pytest.raises(WebError) as caught:
        fetch(lambda handler: send(handler, b"x", "application/dicom", Content_Encoding="gzip"))
    assert caught.value.code == "compressed-response"


def test_a_closed_port_is_an_archive_that_is_down() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(WebError) as caught:
            find(url)
    assert (caught.value.code, caught.value.down) == ("no-connection", True)


def test_credentials_are_sent_and_read_again_for_each_request(tmp_path: Path) -> None:
    seen = []
    file = tmp_path / "credentials"
    file.write_text("token")

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers["Authorization"])
        file.write_text("user:password")
        send(handler, b"[]")

    with served(answer) as url:
        find(url)
        reader = WebReader(url, credentials=file)
        file.write_text("token")
        list(Archive(reader).series(DAY, DAY))
        file.unlink()
        with pytest.raises(WebError) as caught:
            list(Archive(reader).series(DAY, DAY))
    assert seen == [None, None, "Bearer token", "Basic dXNlcjpwYXNzd29yZA=="]
    assert (caught.value.code, caught.value.down) == ("credentials", True)


def test_a_request_can_be_aborted() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        threading.Timer(0.1, reader.abort).start()
        while True:
            handler.wfile.write(b"a")
            time.sleep(0.02)

    with served(answer) as url:
        reader = WebReader(url, seconds=20)
        begun = time.monotonic()
        for _ in range(2):
            with pytest.raises(WebError):
                reader.json("/series", 1000)
    assert time.monotonic() - begun < 5


@pytest.fixture
def certificate(tmp_path: Path) -> TlsFiles:
    """Return a certificate of the loopback that is its own authority."""
    key, own = tmp_path / "key.pem", tmp_path / "own.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run([*command, "-keyout", key, "-out", own], check=True, capture_output=True)
    return TlsFiles(own, key, own)


@needs("openssl")
def test_both_sides_show_a_certificate(certificate: TlsFiles) -> None:
    server, client = server_context(certificate), client_context(certificate)
    with served(lambda handler: send(handler, b"[]"), server) as url:
        assert WebReader(url, tls=client).json("/series", 100) == []
        for other in (None, ssl.create_default_context(cafile=str(certificate.authority))):
            with pytest.raises(WebError) as caught:
                WebReader(url, tls=other).json("/series", 100)
            assert caught.value.down


@needs("openssl")
def test_an_encrypted_response_that_does_not_end_is_cut_off_by_time(certificate: TlsFiles) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            handler.wfile.write(b"a")
            time.sleep(0.02)

    begun = time.monotonic()
    with served(answer, server_context(certificate)) as url, pytest.raises(WebError) as caught:
        WebReader(url, tls=client_context(certificate), seconds=0.3).json("/series", 10_000)
    assert caught.value.code == "timeout"
    assert time.monotonic() - begun < 2
