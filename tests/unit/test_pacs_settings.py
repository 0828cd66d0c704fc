"""Peers, destinations and the refusal of unencrypted connections."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from plainfilm.errors import UsageError
from plainfilm.inference.log import Log
from plainfilm.pacs.refusal_log import RefusalLog
from plainfilm.pacs.settings import (
    DicomDestination,
    ListenSettings,
    NetworkLimits,
    Peer,
    TlsFiles,
    WebDestination,
    check_encryption,
    default_host,
    parse_destination,
    parse_peer,
)

TLS = TlsFiles(Path("c.pem"), Path("k.pem"), Path("a.pem"))


def test_peers() -> None:
    assert parse_peer("ORTHANC=10.0.0.5") == Peer("ORTHANC", "10.0.0.5")
    assert parse_peer("A=B=::1") == Peer("A=B", "::1")
    assert parse_peer("A=[::1]") == Peer("A", "::1")
    assert parse_peer("A=::ffff:10.0.0.5") == Peer("A", "10.0.0.5")


@pytest.mark.parametrize(
    "text", ["ORTHANC", "=10.0.0.5", "A=host", "A" * 17 + "=10.0.0.5", "A\\B=10.0.0.5", " A=::1"]
)
def test_invalid_peers(text: str) -> None:
    with pytest.raises(UsageError):
        parse_peer(text)


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("ORTHANC@host:4242", DicomDestination("ORTHANC", "host", 4242)),
        ("tls:PACS@10.0.0.5:2762", DicomDestination("PACS", "10.0.0.5", 2762, tls=True)),
        ("PACS@[::1]:104", DicomDestination("PACS", "::1", 104)),
        ("https://host/dicom-web", WebDestination("https://host/dicom-web")),
    ],
)
def test_destinations(text: str, destination: DicomDestination | WebDestination) -> None:
    assert parse_destination(text) == destination
    assert destination.name == text


@pytest.mark.parametrize(
    "text",
    [
        "host:4242",
        "A@host",
        "A@host:0",
        "A@host:65536",
        "A@:1",
        "A@-h:1",
        "A@[1.2.3.4]:1",
        "ftp://h/x",
        "https://",
        "https://h:x/",
        "https://h/a b",
    ],
)
def test_invalid_destinations(text: str) -> None:
    with pytest.raises(UsageError):
        parse_destination(text)


def test_credentials_are_not_repeated() -> None:
    for text in ("https://user:secret@host/x", "https://host/x?token=secret", "ftp://u:secret@h"):
        with pytest.raises(UsageError) as caught:
            parse_destination(text)
        assert "secret" not in str(caught.value)


def test_only_the_loopback_is_unencrypted() -> None:
    near, far = parse_destination("A@127.0.0.1:1"), parse_destination("A@10.0.0.5:1")
    check_encryption([near, parse_destination("http://localhost:1/x")], None, plain=False)
    check_encryption([near], None, plain=False, host="127.0.0.1")
    check_encryption([near], TLS, plain=False, host="0.0.0.0")
    check_encryption([far], None, plain=True, host="0.0.0.0")
    for to, tls, host in (
        ([far], TLS, None),
        ([parse_destination("http://10.0.0.5/x")], TLS, None),
        ([near], None, "0.0.0.0"),
    ):
        with pytest.raises(UsageError, match="encrypt"):
            check_encryption(to, tls, plain=False, host=host)
    with pytest.raises(UsageError, match="certificates"):
        check_encryption([parse_destination("tls:A@h:1")], None, plain=True)


def test_the_default_address() -> None:
    assert default_host([]) == "127.0.0.1"
    assert default_host([Peer("A", "::1")]) == "127.0.0.1"
    assert default_host([Peer("A", "127.0.0.1"), Peer("B", "10.0.0.5")]) == "0.0.0.0"


def test_settings_survive_json() -> None:
    settings = ListenSettings(
        title="PLAINFILM",
        host="127.0.0.1",
        port=0,
        state=Path("state"),
        peers=(Peer("A", "::1"),),
        tls=TLS,
        limits=NetworkLimits(message=7),
    )
    assert ListenSettings.from_json(settings.to_json()) == settings


def test_refusals_are_logged_once_a_minute_with_a_remedy() -> None:
    out, now = io.StringIO(), [1000.0]
    refusals = RefusalLog(Log(out), clock=lambda: now[0])
    refusals.write({"stored": 3})
    for count in (1, 2, 900):
        refusals.write({"refused_title": count})
    now[0] += 61
    refusals.write({"refused_title": 900})
    refusals.write({"refused_title": 901, "refused_address": 1})
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    said = [(line["reason"], line["count"]) for line in lines]
    assert said == [("refused_title", 1), ("refused_title", 900), ("refused_address", 1)]
    assert all("--peer" in line["remedy"] for line in lines)
