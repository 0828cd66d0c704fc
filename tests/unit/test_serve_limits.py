"""Limits that are checked before memory is used, and access checks."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

pytest.importorskip("starlette")

from plainfilm.errors import UsageError
from plainfilm.inference.codes import InferenceError
from plainfilm.inference.limits import MemoryBudget, parse_limits
from plainfilm.serve import ServiceLimits, Settings
from plainfilm.serve.problems import Problem
from plainfilm.serve.request_body import RequestBody
from plainfilm.serve.security import check_settings

ServeWith = Callable[..., Any]
PNG = {"content-type": "image/png"}
TOKEN = "a-token-for-tests-only"


def png(side: int = 16) -> bytes:
    noise = np.random.default_rng(side).integers(0, 255, (side, side), dtype=np.uint8)
    out = io.BytesIO()
    Pillow.fromarray(noise).save(out, "PNG")
    return out.getvalue()


def codes(answers: list[Any]) -> list[tuple[int, str | None]]:
    return [(one.status_code, one.json().get("code")) for one in answers]


def streamed(*files: bytes) -> dict[str, Any]:
    """Return arguments of a request with these files that arrive in small pieces."""
    head = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
    body = b"".join(head + one + b"\r\n" for one in files) + b"--b--\r\n"
    pieces = (body[start : start + 20_000] for start in range(0, len(body), 20_000))
    kind = {"content-type": "multipart/form-data; boundary=b"}
    return {"content": in_pieces(*pieces), "headers": kind}


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def test_large_bodies_are_refused_by_declared_and_by_received_length(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        path = "/v1/predictions"
        found = [
            await client.post(path, content=b"x" * 5000, headers=PNG),
            await client.post(path, content=in_pieces(*[b"x" * 100] * 50), headers=PNG),
            await client.post(path, content=b"x" * 1500, headers=PNG),
            await client.post(path, content=in_pieces(*[b"x" * 100] * 15), headers=PNG),
            await client.post(path, files=[("a", ("a", b"x" * 1500)), ("b", ("b", png()))]),
            await client.post(path, files=[("a", ("a", png()))] * 5),
            await client.post(path, files=[("a", ("a", png()))] * 3 + [("t", (None, "words"))]),
        ]
        return found, service.budget.held, service.active

    limits = {"body": 4000, "file": 1000, "images": 4, "held": 4000}
    (found, held, active), _ = serve_with(talk, limits=limits)
    assert codes(found) == [
        (413, "body-too-large"),
        (413, "body-too-large"),
        (413, "body-too-large"),
        (413, "body-too-large"),
        (200, None),
        (413, "too-many-images"),
        (400, "bad-multipart"),
    ]
    items = found[4].json()["predictions"]
    assert [item["reason"] for item in items] == ["too-large", None]
    assert len(items[0]["sha256"]) == 64
    assert held == active == 0


def test_pixels_and_pictures_are_limited(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        path = "/v1/predictions?include=seen"
        return [
            await client.post("/v1/predictions", content=png(40), headers=PNG),
            await client.post(path, files=[("a", ("a", png()))] * 3),
            await client.post(path.replace("?", "/stream?"), files=[("a", ("a", png()))] * 3),
        ]

    found, _ = serve_with(talk, limits={"pixels": 1000, "pictures": 2})
    assert codes(found[:2]) == [(422, "too-large"), (413, "too-many-images")]
    assert found[2].text.count("data:image/png") == 3


def test_invalid_multipart_is_a_problem(serve_with: ServeWith) -> None:
    kind = "multipart/form-data; boundary=x"
    part = b'--x\r\ncontent-disposition: form-data; name="a"; filename="a"\r\n\r\nabc'

    async def talk(client: Any, service: Any) -> Any:
        found = []
        for content, content_type in (
            (b"", kind),
            (b"--x--\r\n", kind),
            (b"something else", kind),
            (part, kind),
            (part + b"\r\n--x--\r\n", "multipart/form-data"),
            (part.replace(b"abc", b""), kind),
            (part.replace(b"content-d", b"y: " + b"z" * 9000 + b"\r\ncontent-d"), kind),
            (part.replace(b"; filename", b"; file") + b"\r\n--x--\r\n", kind),
            (part + b"\r\n--x--\r\n", kind),
        ):
            headers = {"content-type": content_type}
            found.append(await client.post("/v1/predictions", content=content, headers=headers))
        return found

    found, _ = serve_with(talk)
    assert [status for status, _ in codes(found)] == [400] * 8 + [200]
    assert {code for _, code in codes(found[:-1])} == {"bad-multipart", "no-images"}


def test_requests_above_the_limit_are_refused_and_no_other_is_lost(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        service.pool.gate = asyncio.Event()
        requests = [
            asyncio.create_task(client.post("/v1/predictions", content=png(), headers=PNG))
            for _ in range(9)
        ]
        while sum(task.done() for task in requests) < 6:
            await asyncio.sleep(0.01)
        service.pool.gate.set()
        return [await task for task in requests], service.active

    (found, active), _ = serve_with(talk, limits={"waiting": 3})
    counts = Counter(codes(found))
    assert counts == {(200, None): 3, (429, "busy"): 6} and active == 0
    assert {one.headers["retry-after"] for one in found if one.status_code == 429} == {"1"}


def test_one_client_leaves_a_quarter_of_the_requests_to_others(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        with contextlib.ExitStack() as held:
            for _ in range(6):
                held.enter_context(service.admit("10.0.0.1"))
            with pytest.raises(InferenceError), service.admit("10.0.0.1"):
                pass
            return [await client.post("/v1/predictions", content=png(32), headers=PNG)]

    found, _ = serve_with(talk, limits={"waiting": 8})
    assert codes(found) == [(200, None)]


def test_all_uploads_together_are_limited(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        service.budget.take(3_500)
        refused = await client.post("/v1/predictions", content=png(32), headers=PNG)
        service.budget.give_back(3_500)
        return [refused, await client.post("/v1/predictions", content=png(32), headers=PNG)]

    found, _ = serve_with(talk, limits={"held": 4_000})
    assert codes(found) == [(429, "busy"), (200, None)]


def test_pictures_that_wait_to_be_sent_count_as_held(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        path = "/v1/predictions{}?include=original"
        files = [png(400)] * 4  # noise: 160 kB each, and a third more as text
        found = [
            await client.post(path.format(""), **streamed(*files[:1])),
            await client.post(path.format(""), **streamed(*files)),
            await client.post(path.format("/stream"), **streamed(*files)),
        ]
        return found, service.budget.held, service.active

    (found, held, active), _ = serve_with(talk, limits={"held": 800_000, "pictures": 8})
    assert [one.status_code for one in found] == [200, 429, 200]
    assert found[2].text.count("data:image/png") == 4
    assert held == active == 0


def test_a_body_may_be_larger_than_the_memory_of_all_uploads(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        files = [png(400)] * 8 + [bytes(1_500_000)]  # the last is too large, so it is not kept
        found = await client.post("/v1/predictions/stream", **streamed(*files))
        return found, service.budget.held

    (found, held), _ = serve_with(talk, limits={"held": 800_000, "file": 400_000})
    items = [json.loads(line) for line in found.text.splitlines()]
    assert Counter(one.get("reason", "problem") for one in items) == {None: 8, "too-large": 1}
    assert held == 0


def test_a_slow_answer_is_a_problem(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        service.pool.gate = asyncio.Event()
        raw = await client.post("/v1/predictions", content=png(), headers=PNG)
        stream = await client.post("/v1/predictions/stream", files=[("a", ("a", png()))])
        return [raw, stream], service.active, service.budget.held

    (found, active, held), _ = serve_with(talk, limits={"seconds": 1})
    assert codes(found) == [(504, "deadline")] * 2
    assert active == held == 0


def test_a_body_that_stalls_is_refused() -> None:
    async def stalled() -> dict[str, Any]:
        raise TimeoutError  # of the connection; see test_serve_connection.py

    async def go() -> None:
        with RequestBody(PNG, stalled, ServiceLimits(), MemoryBudget(100)) as body:
            with pytest.raises(Problem) as caught:
                await body.read_file()
            assert (caught.value.code, caught.value.status) == ("body-timeout", 408)

    asyncio.run(go())


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, None),
        ({"host": "localhost:9"}, None),
        ({"host": "[::1]:8000"}, None),
        ({"host": "evil.example"}, "forbidden-host"),
        ({"host": "127.0.0.1.evil.example"}, "forbidden-host"),
        ({"host": "hospital.example"}, None),
        ({"origin": "http://127.0.0.1:8000"}, None),
        ({"origin": "http://evil.example"}, "forbidden-origin"),
        ({"origin": "http://127.0.0.1:8001"}, "forbidden-origin"),
        ({"origin": "null"}, "forbidden-origin"),
        ({"origin": "http://["}, "forbidden-origin"),
        ({"sec-fetch-site": "same-origin"}, None),
        ({"sec-fetch-site": "cross-site"}, "forbidden-origin"),
        ({"sec-fetch-site": "same-site"}, "forbidden-origin"),
    ],
)
def test_other_sites_cannot_use_the_service(
    serve_with: ServeWith, headers: dict[str, str], code: str | None
) -> None:
    async def talk(client: Any, service: Any) -> Any:
        return await client.post("/v1/predictions", content=png(), headers={**PNG, **headers})

    answer, _ = serve_with(talk, allowed_hosts=("hospital.example",))
    assert codes([answer]) == [(403 if code else 200, code)]


def test_routes_other_than_public_ones_need_the_token(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        found = {}
        for path in ("/", "/static/style.css", "/healthz", "/readyz", "/openapi.json"):
            found[path] = [(await client.get(path)).status_code]
        for path in ("/v1/model", "/v1/bundles", "/metrics", "/card"):
            found[path] = [
                (await client.get(path, headers=headers)).status_code
                for headers in (
                    {},
                    {"authorization": f"Bearer {TOKEN}"},
                    {"authorization": f"bearer {TOKEN}"},
                    {"authorization": f"Bearer {TOKEN}x"},
                    {"authorization": f"Bearer {TOKEN[:-1]}"},
                    {"authorization": f"Basic {TOKEN}"},
                    {"authorization": "Bearer "},
                    {"authorization": b"Bearer \xff"},
                )
            ]
        refused = await client.post("/v1/predictions", content=png(), headers=PNG)
        return found, refused

    (found, refused), log = serve_with(talk, host="0.0.0.0", token=TOKEN, base="http://any.example")
    for path, statuses in found.items():
        if len(statuses) == 1:
            assert statuses == [200], path
        else:
            assert statuses == [401, 200, 200, *[401] * 5], path
    assert codes([refused]) == [(401, "unauthorized")]
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert TOKEN not in log


@pytest.mark.parametrize(
    ("host", "token", "words"),
    [
        ("0.0.0.0", None, "needs a token"),
        ("::", None, "needs a token"),
        ("192.168.1.5", None, "needs a token"),
        ("hospital.example", None, "needs a token"),
        ("127.0.0.1", "short", "at least 16"),
        ("0.0.0.0", "", "at least 16"),
        ("0.0.0.0", "sixteen and more words", "must not contain spaces"),
        ("0.0.0.0", "ein-schlüssel-mit-umlaut", "printable ASCII"),
    ],
)
def test_unsafe_settings_are_refused(host: str, token: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_settings(Settings(host=host, token=token))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_the_loopback_needs_no_token(host: str) -> None:
    check_settings(Settings(host=host))
    assert TOKEN not in repr(Settings(host=host, token=TOKEN))


def test_limits_are_parsed_and_checked() -> None:
    changed = parse_limits(["body=1000", "seconds=5"], ServiceLimits())
    assert (changed.body, changed.seconds, changed.file) == (1000, 5, ServiceLimits().file)
    for wrong in ("bodies=1", "body", "body=", "body=-1", "body=0", "body=1.5", "body=٣"):
        with pytest.raises(UsageError):
            parse_limits([wrong], ServiceLimits())


@pytest.mark.parametrize("name", ["", "xray.example:443", "http://xray.example/", "a b", "x@y"])
def test_allowed_hosts_have_no_scheme_or_port(name: str) -> None:
    with pytest.raises(UsageError, match="bare host name"):
        check_settings(Settings(allowed_hosts=(name,)))


def test_names_and_addresses_can_be_allowed() -> None:
    check_settings(Settings(allowed_hosts=("xray.hospital.example", "10.1.2.3", "[::2]", "xray")))


@pytest.mark.parametrize(
    ("cores", "memory", "expected"),
    [(1, None, 2), (8, 1 << 40, 8), (8, 4 << 30, 2), (8, 20 << 30, 4)],
)
def test_decoding_processes_fit_into_the_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory: int | None, expected: int
) -> None:
    monkeypatch.setattr("plainfilm.inference.limits.cores", lambda: cores)
    monkeypatch.setattr("plainfilm.inference.limits.memory_bytes", lambda: memory)
    assert ServiceLimits().decoders == expected
