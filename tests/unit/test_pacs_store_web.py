"""STOW-RS to servers that refuse, fail, are silent or never end: nothing is lost."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom")

from pacs_outbox import (
    QUICK,
    Outbox,
    Respond,
    answer,
    raw_server,
    result_file,
    stow,
    wait_until,
    web_server,
)
from plainfilm.errors import PlainfilmError, UsageError
from plainfilm.pacs.credentials import authorization, check_credentials
from plainfilm.pacs.outcomes import Outcome, Outgoing, Unavailable
from plainfilm.pacs.settings import WebDestination
from plainfilm.pacs.store_web import WebSender
from plainfilm.pacs.stow_response import Answer, read_answer

UIDS = ("2.25.901", "2.25.902", "2.25.903")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{uid}.dcm" for uid in UIDS]
    for path, uid in zip(paths, UIDS, strict=True):
        path.write_bytes(result_file(uid))
    return paths


def send(url: str, files: list[Path], credentials: Path | None = None) -> list[str]:
    """Send files; return the verdict and status of each, and why it ended early."""
    sender = WebSender(WebDestination(url), credentials=credentials, seconds=QUICK)
    outgoing = [Outgoing(number, "report", path) for number, path in enumerate(files)]
    found: list[Outcome] = []
    try:
        for _, outcome in sender.send(outgoing):
            found.append(outcome)
    except Unavailable as error:
        found.append(error.outcome)
    sender.close()
    return [f"{one.verdict} {one.status}" for one in found]


def contents(body: bytes) -> list[str]:
    """Return the UIDs of the files in a request."""
    return [uid for uid in UIDS if uid.encode() in body]


def test_several_files_are_sent_as_they_are_in_one_request(files: list[Path]) -> None:
    bodies = []

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        bodies.append(body)
        answer(handler, 200, stow(UIDS))

    with web_server(respond) as (url, requests):
        assert send(url, files) == ["delivered 0000"] * 3
    assert [one["path"] for one in requests] == ["/dicom-web/studies"]
    boundary = requests[0]["content-type"].partition("boundary=")[2]
    parts = bodies[0].split(b"--" + boundary.encode())
    assert [part.partition(b"\r\n\r\n")[2][:-2] for part in parts[1:-1]] == [
        path.read_bytes() for path in files
    ]
    assert parts[-1] == b"--\r\n"


def test_the_archive_judges_each_instance(files: list[Path]) -> None:
    body = stow(["2.25.901"], {"2.25.902": 0xA700, "2.25.903": 0x0122})
    with web_server(lambda handler, _: answer(handler, 202, body)) as (url, _requests):
        assert send(url, files) == ["delivered 0000", "later A700", "class-refused 0122"]
    body = stow([], {"2.25.901": 0xC000, "2.25.902": 0x0124, "2.25.903": 0x0110})
    with web_server(lambda handler, _: answer(handler, 409, body)) as (url, _requests):
        assert send(url, files) == ["refused C000", "misconfigured 0124", "later 0110"]


def test_an_instance_among_the_failed_ones_is_not_delivered(files: list[Path]) -> None:
    body = stow([], {"2.25.901": 0xB000, "2.25.902": 0x0111, "2.25.903": 0})
    with web_server(lambda handler, _: answer(handler, 202, body)) as (url, _requests):
        assert send(url, files) == ["refused no-reason", "delivered 0111", "refused no-reason"]
    body = stow(UIDS, {"2.25.902": 0xA700})
    with web_server(lambda handler, _: answer(handler, 202, body)) as (url, _requests):
        assert send(url, files) == ["delivered 0000", "later A700", "delivered 0000"]


def test_an_instance_that_the_response_does_not_name_is_sent_alone(files: list[Path]) -> None:
    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        found = contents(body)
        if len(found) > 1:
            answer(handler, 400)
        elif found == ["2.25.902"]:
            answer(handler, 400, b"cannot read SECRET")
        else:
            answer(handler, 200, stow(found))

    with web_server(respond) as (url, requests):
        assert send(url, files) == ["delivered 0000", "refused http-400", "delivered 0000"]
    assert len(requests) == 4


def test_an_archive_that_changes_uids_does_not_get_copies_for_ever(files: list[Path]) -> None:
    with web_server(lambda handler, _: answer(handler, 200, stow(["1.9.9"]))) as (url, _requests):
        assert send(url, files[:1]) == ["delivered 0000"]


def test_a_response_that_comes_twice_is_not_the_one_to_the_next_request(tmp_path: Path) -> None:
    asked: list[int] = []
    sent = threading.Event()

    def twice(own: socket.socket) -> None:
        for body in (stow(["2.25.901"]), stow((), {"2.25.902": 0xC000})):
            while b"--\r\n" not in own.recv(1 << 16):
                pass
            asked.append(1)
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
            own.sendall(head + body)
            if len(asked) == 1:
                time.sleep(0.05)
                own.sendall(head + body)
                sent.set()

    paths = [tmp_path / f"{uid}.dcm" for uid in UIDS[:2]]
    for path, uid in zip(paths, UIDS, strict=False):
        path.write_bytes(result_file(uid))
    with raw_server(twice) as port:
        sender = WebSender(WebDestination(f"http://127.0.0.1:{port}"), seconds=QUICK)
        found = []
        for path in paths:
            found += [outcome for _, outcome in sender.send([Outgoing(0, "report", path)])]
            assert sent.wait(5)
        sender.close()
    assert [one.verdict for one in found] == ["delivered", "later"]


@pytest.mark.parametrize(
    ("status", "body", "fields", "expected"),
    [
        (200, b"", {}, "misconfigured unconfirmed"),
        (200, b"<html>Welcome to the hotel</html>", {}, "misconfigured unconfirmed"),
        (200, b"[" * 50_000, {}, "misconfigured unconfirmed"),
        (200, stow(), {}, "misconfigured unconfirmed"),
        (200, b'{"00081199": {"Value": [7]}}', {}, "misconfigured unconfirmed"),
        (200, stow((), {UIDS[0]: 10**50}), {}, "misconfigured unconfirmed"),
        (200, stow((), {UIDS[0]: 7}).replace(b"[7]", b"[1e999]"), {}, "misconfigured unconfirmed"),
        (302, b"", {"Location": "http://127.0.0.1:9/"}, "misconfigured http-302"),
        (307, b"", {"Location": "http://127.0.0.1:9/"}, "misconfigured http-307"),
        (400, b"", {}, "refused http-400"),
        (401, b"", {"WWW_Authenticate": "Basic"}, "misconfigured http-401"),
        (403, b"", {}, "misconfigured http-403"),
        (404, b"", {}, "misconfigured http-404"),
        (405, b"", {}, "misconfigured http-405"),
        (409, b"", {}, "refused http-409"),
        (413, b"", {}, "refused http-413"),
        (415, b"", {}, "class-refused http-415"),
        (429, b"", {"Retry_After": "7"}, "later http-429"),
        (500, b"", {}, "later http-500"),
        (503, b"", {"Retry_After": "7"}, "later http-503"),
        (999, b"", {}, "later http-999"),
    ],
)
def test_a_status_decides_what_happens_next(
    status: int, body: bytes, fields: dict[str, str], expected: str, files: list[Path]
) -> None:
    with web_server(lambda handler, _: answer(handler, status, body, **fields)) as (url, requests):
        assert send(url, files[:1]) == [expected]
    assert len(requests) == 1, "nothing is repeated, and no redirect is followed"


def test_a_limit_on_the_size_of_a_request_is_remembered(files: list[Path]) -> None:
    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        found = contents(body)
        answer(handler, 413) if len(found) > 1 else answer(handler, 200, stow(found))

    with web_server(respond) as (url, requests):
        sender = WebSender(WebDestination(url), seconds=QUICK)
        outgoing = [Outgoing(number, "report", path) for number, path in enumerate(files)]
        for _ in range(2):
            assert {outcome.verdict for _, outcome in sender.send(outgoing)} == {"delivered"}
        sender.close()
    assert len(requests) == 1 + 3 + 3


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("7", 7, 7),
        ("99999999999", 3600, 3600),
        ("in 50 seconds", 5, 50),
        ("-5", 0, 0),
        ("soon", 0, 0),
        ("Mon, 99 Foo", 0, 0),
    ],
)
def test_the_archive_may_ask_to_wait(text: str, low: float, high: float, files: list[Path]) -> None:
    if text == "in 50 seconds":
        text = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        answer(handler, 503, Retry_After=text)

    with web_server(respond) as (url, requests):
        sender = WebSender(WebDestination(url), seconds=QUICK)
        with pytest.raises(Unavailable) as caught:
            list(
                sender.send([Outgoing(number, "report", path) for number, path in enumerate(files)])
            )
        sender.close()
    assert len(requests) == 1
    assert low <= caught.value.outcome.after <= high


def endless(own: socket.socket, piece: bytes) -> None:
    own.recv(100)
    end = time.monotonic() + 4
    with contextlib.suppress(OSError):
        own.sendall(b"HTTP/1.1 200 OK\r\n")
        while time.monotonic() < end:
            own.sendall(piece)


def drip(own: socket.socket) -> None:
    own.recv(100)
    with contextlib.suppress(OSError):
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n":
            own.sendall(bytes([byte]))
            time.sleep(0.1)


BAD: dict[str, tuple[Callable[[socket.socket], object], str]] = {
    "silent": (lambda own: time.sleep(3), "later no-answer"),
    "closes": (lambda own: own.recv(10), "later no-answer"),
    "garbage": (lambda own: own.sendall(b"\x02\x00\xff" * 5000), "later"),
    "endless fields": (lambda own: endless(own, b"X-A: " + b"x" * 60_000), "later invalid-answer"),
    "half a head": (
        lambda own: own.recv(10**6) and own.sendall(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"),
        "later invalid-answer",
    ),
    "endless body": (lambda own: endless(own, b"\r\n" + b"x" * 65_536), "later invalid-answer"),
    "huge length": (
        lambda own: endless(own, b"Content-Length: 99999999999\r\n\r\n" + b"x" * 65_536),
        "later invalid-answer",
    ),
    "endless interim responses": (
        lambda own: endless(own, b"\r\nHTTP/1.1 100 Continue\r\n"),
        "later",
    ),
    "a byte at a time": (drip, "later"),
    "truncated": (
        lambda own: (
            own.recv(10**6) and own.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{}")
        ),
        "later",
    ),
}


@pytest.mark.parametrize("behaviour", BAD)
def test_servers_that_never_end_cost_bounded_time(behaviour: str, files: list[Path]) -> None:
    serve, expected = BAD[behaviour]
    started = time.monotonic()
    with raw_server(lambda own: serve(own) and None) as port:
        (found,) = send(f"http://127.0.0.1:{port}", files[:1])
    assert found.startswith(expected)
    assert time.monotonic() - started < 20


def test_a_connection_that_the_server_closed_is_opened_again(files: list[Path]) -> None:
    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        answer(handler, 200, stow(contents(body)))
        handler.close_connection = True  # without saying so

    with web_server(respond) as (url, requests):
        sender = WebSender(WebDestination(url), seconds=QUICK)
        for path in files:
            ((_, outcome),) = sender.send([Outgoing(1, "report", path)])
            assert outcome.status == "0000"
            time.sleep(0.02)
        sender.close()
    assert len(requests) == 3


def test_nothing_listens_and_an_unknown_host(files: list[Path]) -> None:
    with raw_server(lambda own: None) as port:
        pass
    assert send(f"http://127.0.0.1:{port}", files[:1]) == ["later no-connection"]
    assert send("http://no.invalid", files[:1]) == ["later no-connection"]
    with raw_server(lambda own: own.sendall(b"HTTP/1.1 400\r\n\r\n")) as port:
        assert send(f"https://127.0.0.1:{port}", files[:1]) == ["misconfigured tls"]


def test_missing_and_damaged_files_do_not_stop_the_others(files: list[Path]) -> None:
    files[0].unlink()
    files[1].write_bytes(b"x" * 500)
    with web_server(lambda handler, _: answer(handler, 200, stow(UIDS))) as (url, _requests):
        assert send(url, files) == [
            "refused file-missing",
            "refused file-damaged",
            "delivered 0000",
        ]


def test_credentials_are_read_again_for_each_connection(files: list[Path], tmp_path: Path) -> None:
    secret = tmp_path / "credentials"
    secret.write_text("token-1\n")

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        right = handler.headers["Authorization"] == "Bearer token-2"
        answer(handler, 200, stow(contents(body))) if right else answer(handler, 401)

    with web_server(respond) as (url, requests):
        sender = WebSender(WebDestination(url), credentials=secret, seconds=QUICK)
        verdicts = []
        for text in ("token-1", "token-2", "\n"):
            secret.write_text(text)
            try:
                ((_, outcome),) = sender.send([Outgoing(1, "report", files[0])])
            except Unavailable as error:
                outcome = error.outcome
            verdicts.append(outcome.status)
        sender.close()
        with pytest.raises(Unavailable, match="credentials"):
            list(sender.send([Outgoing(1, "report", files[0])]))
    assert verdicts == ["http-401", "0000", "0000"]
    assert [one["authorization"] for one in requests] == [
        "Bearer token-1",
        "Bearer token-2",
        "Bearer token-2",
    ]


def test_credentials_have_one_line_and_errors_do_not_quote_it(tmp_path: Path) -> None:
    secret = tmp_path / "credentials"
    secret.write_text("user:pass word\n")
    assert authorization(secret) == "Basic dXNlcjpwYXNzIHdvcmQ="
    for text in ("", "two\nhunter2", "hunter2 hunter3", "hünter2", "x" * 20_000):
        secret.write_text(text)
        with pytest.raises(UsageError) as caught:
            authorization(secret)
        assert "hunter" not in str(caught.value)
    with pytest.raises(PlainfilmError):
        authorization(tmp_path / "none")
    secret.write_text("token")
    check_credentials(secret, ["https://a/x", "https://a/y"])
    check_credentials(secret, ["http://127.0.0.1:8042/x"])
    for urls in ([], ["https://a", "https://b"], ["http://a"]):
        with pytest.raises(UsageError):
            check_credentials(secret, urls)


def test_responses_that_are_no_answer_name_nothing() -> None:
    for body in (
        b"",
        b"1",
        b"[]",
        b"{}",
        b'{"00081199":1}',
        b'{"00081198":{"Value":[{}]}}',
        b"\xff",
    ):
        assert {one.verdict for one in read_answer(Answer(200, body)).values()} <= {"refused"}


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "state") as opened:
        yield opened


def test_an_archive_that_is_busy_gets_every_result_later(outbox: Outbox) -> None:
    calls: list[int] = []

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        calls.append(len(contents(body)))
        if len(calls) < 3:
            answer(handler, 503)
        else:
            answer(handler, 200, stow(contents(body)))

    run(outbox, respond, lambda: not outbox.files())
    assert [state for state, _ in outbox.states()] == ["delivered"] * 3


def test_a_refused_result_is_parked_after_three_attempts_alone(outbox: Outbox) -> None:
    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        found = contents(body)
        bad = {uid: 0xC000 for uid in found if uid == "2.25.902"}
        answer(handler, 202, stow([uid for uid in found if uid not in bad], bad))

    run(outbox, respond, lambda: "waiting" not in dict(outbox.states()))
    assert outbox.states() == [("delivered", "0000"), ("parked", "C000"), ("delivered", "0000")]
    assert "2.25." not in outbox.lines.getvalue()


def test_a_wrong_url_is_said_once_with_a_remedy(outbox: Outbox) -> None:
    run(
        outbox,
        lambda handler, _: answer(handler, 404),
        lambda: sum("http-404" in status for _, status in outbox.states()) > 1,
    )
    said = [one for one in outbox.events() if one["event"] == "archive-unavailable"]
    assert len(said) == 1
    assert "URL" in said[0]["remedy"]
    assert outbox.files() == 3


def run(outbox: Outbox, respond: Respond, condition: Callable[[], object]) -> None:
    """Deliver three results until a condition holds."""
    with web_server(respond) as (url, _requests):
        to = WebDestination(url)
        outbox.add([to], UIDS)
        with outbox.delivering([to]):
            assert wait_until(condition)
