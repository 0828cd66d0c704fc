"""The routes: forms of the answers, and predictions equal to those of the command."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

pytest.importorskip("starlette")

from plainfilm.bundle import Bundle
from plainfilm.cli.main import main
from plainfilm.explain import heatmap, overlay
from plainfilm.inference.registry import BundleSource
from plainfilm.records import Task
from plainfilm.serve.items import draw_heatmap

ServeWith = Callable[..., Any]
MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]
JPEG = {"content-type": "image/jpeg"}
PNG = {"content-type": "image/png"}


def png(grey: float = 200, side: int = 16) -> bytes:
    out = io.BytesIO()
    pixels = np.full((side, side), grey - 20, np.uint8)
    pixels[:, ::2] += 40
    Pillow.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def parts(*files: bytes) -> list[Any]:
    return [("any", (f"../../etc/{n}", data, "image/png")) for n, data in enumerate(files)]


def test_predictions_equal_those_of_the_command(
    serve_with: ServeWith,
    make_bundle: MakeBundle,
    draw_grey: Draw,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = make_bundle()
    paths = [draw_grey(tmp_path / "x" / f"{n}.png", 100.3 + n * 1.7) for n in range(40)]
    paths[5].write_bytes(b"no image")
    assert main(["predict", str(bundle.folder), *map(str, paths), "--format", "jsonl"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    async def talk(client: Any, service: Any) -> Any:
        several = await client.post(
            "/v1/predictions", files=parts(*(path.read_bytes() for path in paths))
        )
        one = await client.post("/v1/predictions", content=paths[7].read_bytes(), headers=PNG)
        return several, one

    (several, one), _ = serve_with(talk)
    assert several.status_code == one.status_code == 200
    items = several.json()["predictions"]
    assert [item["index"] for item in items] == list(range(40))
    for item, row in zip(items, printed, strict=True):
        assert item.keys() - {"index", "sha256"} == row.keys() - {"file", "bundle"}
        for key in row.keys() - {"file", "bundle", "problem"}:
            # As text, to compare every digit.
            assert json.dumps(item[key]) == json.dumps(row[key])
    assert [row["reason"] for row in printed if row["reason"]] == ["not-an-image"]
    assert one.json()["predictions"][0]["probabilities"] == printed[7]["probabilities"]
    identity = {"name": "bright", "id": bundle.id, "version": "0.1.0"}
    assert several.json()["bundle"] == one.json()["bundle"] == identity
    assert one.headers["x-plainfilm-bundle"] == bundle.id == printed[0]["bundle"]


def test_one_raw_image_that_cannot_be_read_is_a_problem(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        found = []
        for content, headers in (
            (b"", PNG),
            (b"plain words", PNG),
            (png()[:45], PNG),
            (png(), JPEG),
            (png(), {"content-type": "application/dicom"}),
            (png(), {"content-type": "text/plain"}),
            (png(), {"content-type": "application/octet-stream"}),
        ):
            found.append(await client.post("/v1/predictions", content=content, headers=headers))
        return found

    found, log = serve_with(talk)
    assert [(one.status_code, one.json().get("code")) for one in found] == [
        (422, "empty"),
        (422, "not-an-image"),
        (422, "truncated"),
        (415, "wrong-content-type"),
        (415, "wrong-content-type"),
        (415, "unsupported-media-type"),
        (200, None),
    ]
    for one in found[:-1]:
        assert one.headers["content-type"] == "application/problem+json"
        assert one.json()["status"] == one.status_code
    assert "x-plainfilm-bundle" in found[2].headers
    outcomes = [json.loads(line).get("outcome") for line in log.splitlines()]
    assert outcomes.count("predicted") == 1 and "truncated" in outcomes


def test_the_stream_returns_each_result_when_it_is_done(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        files = parts(png(30), b"nothing", *(png(n) for n in range(100, 200)))
        return await client.post("/v1/predictions/stream", files=files)

    answer, _ = serve_with(talk, limits={"ahead": 8})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert sorted(line["index"] for line in lines) == list(range(102))
    assert {line["bundle"]["name"] for line in lines} == {"bright"}
    by_index = {line["index"]: line for line in lines}
    assert by_index[1]["reason"] == "not-an-image"
    assert by_index[2]["probabilities"]["bright"] < by_index[101]["probabilities"]["bright"]


def test_pictures_are_included_on_request(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        wide = io.BytesIO()
        ramp = np.tile(np.arange(250, dtype=np.uint8), (100, 10))
        Pillow.fromarray(ramp).save(wide, "PNG")
        path = "/v1/predictions?include=seen,original,heatmap"
        answer = await client.post(path, content=wide.getvalue(), headers=PNG)
        served = service.registry.get(None)
        image = served.predictor.read(wide.getvalue())
        heat = heatmap(served.predictor, image.pixels, "bright")
        return answer.json(), image, draw_heatmap(heat)

    (answer, image, drawn), _ = serve_with(talk)
    pictures = {}
    for name, url in answer["predictions"][0]["images"].items():
        head, _, code = url.partition(",")
        assert head == "data:image/png;base64"
        pictures[name] = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(code))))
    np.testing.assert_array_equal(pictures["seen"], image.pixels)
    assert pictures["original"].shape == (round(100 * 2048 / 2500), 2048)
    assert pictures["heatmap"].shape == (16, 16, 4)
    heat = np.asarray(Pillow.open(io.BytesIO(drawn)))
    np.testing.assert_array_equal(pictures["heatmap"], heat)
    assert heat[..., 3].max() == 255
    # Blended over the image with its own opacity, it equals the picture of the command.
    share = heat[..., 3:] / 255 * 0.45
    mixed = (1 - share) * image.pixels[..., None] + share * heat[..., :3]
    strength = (heat[..., 3] / 255.0) ** 2
    np.testing.assert_allclose(mixed, overlay(image.pixels, strength.astype(np.float32)), atol=2)


def test_invalid_parameters_are_problems(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        found = []
        for query in ("include=all", "label=X", "bundle=other", "include=seen,", "x=y"):
            path = f"/v1/predictions?{query}"
            found.append(await client.post(path, content=png(), headers=PNG))
        found.append(await client.post("/v1/predictions/stream", content=png(), headers=PNG))
        found.append(await client.get("/v1/predictions"))
        found.append(await client.get("/v1/predictions/"))
        found.append(await client.get("/v1/model?bundle=other"))
        return found

    found, _ = serve_with(talk)
    assert [(one.status_code, one.json().get("code")) for one in found] == [
        (422, "bad-parameter"),
        (422, "no-such-label"),
        (404, "no-such-bundle"),
        (200, None),
        (200, None),
        (415, "unsupported-media-type"),
        (405, "method-not-allowed"),
        (404, "not-found"),
        (404, "no-such-bundle"),
    ]
    assert found[6].headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/healthz", "/", "/v1/model", "/v1/predictions", "/none"])
def test_head_equals_get_without_its_body(path: str, serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        return (
            await client.head(path),
            await client.get(path),
            dict(service.telemetry.requests.values),
        )

    (head, get, counted), _ = serve_with(talk)
    assert head.content == b""
    assert get.content
    names = ("content-type", "content-length", "content-security-policy", "allow")
    values = [[one.headers.get(name) for name in names] for one in (head, get)]
    assert (head.status_code, values[0]) == (get.status_code, values[1])
    assert set(counted.values()) == {2}, "both methods count for one route"


def test_several_bundles_are_served(
    serve_with: ServeWith, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    two = Task("multilabel", ("a", "b"), ("a", "b"))
    first = make_bundle(tmp_path / "one")
    second = make_bundle(tmp_path / "two", task=two, gains=(1.0, -1.0))
    named = [BundleSource("one", first.folder), BundleSource("two", second.folder)]

    async def talk(client: Any, service: Any) -> Any:
        post = [
            (await client.post(f"/v1/predictions{query}", content=png(), headers=PNG)).json()
            for query in ("", "?bundle=one", "?bundle=two")
        ]
        return post, (await client.get("/v1/bundles")).json()

    (post, bundles), _ = serve_with(talk, named=named)
    assert [one["bundle"]["id"] for one in post] == [first.id, first.id, second.id]
    assert set(post[2]["predictions"][0]["probabilities"]) == {"a", "b"}
    assert [(one["name"], one["default"]) for one in bundles["bundles"]] == [
        ("one", True),
        ("two", False),
    ]


def test_the_model_is_described_with_a_notice(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        return [
            await client.get(path)
            for path in ("/v1/model", "/card", "/report", "/healthz", "/readyz", "/metrics", "/")
        ]

    (model, card, report, health, ready, metrics, page), _ = serve_with(talk)
    description = model.json()
    assert description["task"] == {
        "kind": "binary",
        "labels": ["bright"],
        "classes": ["dark", "bright"],
    }
    assert [point["name"] for point in description["operating_points"]] == [
        *("balanced", "rule-out", "rule-in")
    ]
    assert (
        description["notice"].startswith("Not a medical device")
        and description["tested_on"] is None
    )
    assert description["report"] is None and description["card"] == "/card?bundle=bright"
    assert "<h1>plainfilm brightness: bright</h1>" in card.text and "<script" not in card.text
    assert "sandbox" in card.headers["content-security-policy"]
    assert (report.status_code, report.json()["code"]) == (404, "no-report")
    assert health.json()["status"] == "alive" and ready.json()["status"] == "ready"
    assert 'plainfilm_requests_total{route="/card",status="200"} 1' in metrics.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    for one in (model, card, report, health, page):
        assert one.headers["x-content-type-options"] == "nosniff"
        assert one.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in one.headers


def test_only_known_static_files_are_served(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        return [
            await client.get(path)
            for path in (
                "/static/style.css",
                "/static/../app.py",
                "/static/..%2fapp.py",
                "/static/%2e%2e/app.py",
                "/static//etc/passwd",
                "/static/",
            )
        ]

    (style, *others), _ = serve_with(talk)
    assert style.status_code == 200 and style.headers["content-type"].startswith("text/css")
    assert {(one.status_code, one.json()["code"]) for one in others} == {(404, "not-found")}


def test_an_internal_error_reveals_nothing(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        async def fail(*args: object, **kwargs: object) -> None:
            raise RuntimeError("the patient is Mr Secret")

        service.pool.decode = fail
        return await client.post("/v1/predictions", content=png(), headers=PNG)

    answer, log = serve_with(talk)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "Secret" not in answer.text + log
    defect = next(line for line in map(json.loads, log.splitlines()) if line["event"] == "defect")
    assert defect["error"] == "RuntimeError" and defect["where"].startswith("plainfilm.inference.")


def test_logs_contain_no_name(serve_with: ServeWith, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"

    async def talk(client: Any, service: Any) -> Any:
        name = ("Mr Secret.png", png(), "image/png")
        first = await client.post("/v1/predictions?Secret=1", files=[("Secret", name)])
        second = await client.post("/v1/predictions", files=[("a", ("b", b"Secret", "x/y"))])
        return first, second

    (first, second), log = serve_with(talk, audit_log=audit)
    rows = [json.loads(line) for line in audit.read_text("utf-8").splitlines()]
    assert [row["outcome"] for row in rows] == ["predicted", "not-an-image"]
    assert rows[0]["sha256"] == first.json()["predictions"][0]["sha256"]
    assert set(rows[0]) == {"time", "bundle", "sha256", "outcome"}
    assert "Secret" not in log + audit.read_text("utf-8") + first.text + second.text


def test_a_failed_write_of_the_audit_log_refuses_the_answer(
    serve_with: ServeWith, tmp_path: Path
) -> None:
    async def talk(client: Any, service: Any) -> Any:
        def full(*row: str) -> None:
            raise OSError(28, "No space left on device")

        service.audit.write = full
        return await client.post("/v1/predictions", content=png(), headers=PNG)

    answer, log = serve_with(talk, audit_log=tmp_path / "audit.jsonl")
    assert (answer.status_code, answer.json()["code"]) == (503, "audit-unavailable")
    assert '"not-written"' in log and "No space" not in answer.text


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot remove an open file")
def test_a_removed_audit_log_refuses_the_answer(serve_with: ServeWith, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"

    async def talk(client: Any, service: Any) -> Any:
        before = await client.post("/v1/predictions", content=png(), headers=PNG)
        audit.unlink()
        return (
            before,
            await client.get("/readyz"),
            await client.post("/v1/predictions", content=png(), headers=PNG),
            await client.get("/readyz"),
        )

    (*before, refused, unready), _ = serve_with(talk, audit_log=audit)
    assert [one.status_code for one in before] == [200, 200]
    for one in (refused, unready):
        assert (one.status_code, one.json()["code"]) == (503, "audit-unavailable")
        assert int(one.headers["retry-after"]) > 0


def test_outputs_that_are_not_probabilities_are_a_failure_of_the_image(
    serve_with: ServeWith,
    make_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    onnx = pytest.importorskip("onnx")
    # As if it returned probabilities for the images of its trial.
    monkeypatch.setattr("plainfilm.inference.registry.try_bundle", lambda bundle: None)
    own = onnx.load_model_from_string(make_bundle().graph.read_bytes())
    for node in own.graph.node:
        if node.output[0] == "probabilities":  # the root of a negative logit is NaN
            node.op_type = "Sqrt"
    bundle = make_bundle(tmp_path / "sick", graph=own.SerializeToString())

    async def talk(client: Any, service: Any) -> Any:
        several = await client.post("/v1/predictions", files=parts(png(100), png(129)))
        one = await client.post("/v1/predictions", content=png(100), headers=PNG)
        return several, one

    (several, one), _ = serve_with(talk, named=[BundleSource("sick", bundle.folder)])
    first, second = several.json()["predictions"]
    assert (first["reason"], first["probabilities"], first["predicted"]) == (
        "invalid-output",
        {},
        {},
    )
    assert second["reason"] is None
    assert one.status_code == 422
    assert one.json()["code"] == "invalid-output"
