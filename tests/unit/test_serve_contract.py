"""The OpenAPI document is valid, its examples fit, and the answers conform to it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from PIL import Image as Pillow

pytest.importorskip("starlette")
pytest.importorskip("schemathesis")

import jsonschema
import schemathesis

from plainfilm.bundle import Bundle
from plainfilm.inference.registry import BundleSource
from plainfilm.serve import ServiceLimits, Settings
from plainfilm.serve.app import build_app
from plainfilm.serve.problems import PROBLEMS

MakeBundle = Callable[..., Bundle]
ServeWith = Callable[..., Any]
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"


def document(serve_with: ServeWith) -> Any:
    async def talk(client: Any, service: Any) -> Any:
        return (await client.get("/openapi.json")).json()

    return serve_with(talk)[0]


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def test_every_example_conforms_to_its_schema(serve_with: ServeWith) -> None:
    found = 0
    for node in walk(document(serve_with)):
        schema = node.get("schema")
        if not isinstance(schema, dict):
            continue
        examples = [one["value"] for one in node.get("examples", {}).values()]
        examples += [node["example"]] if "example" in node else []
        for example in examples:
            jsonschema.validate(example, schema)
            found += 1
    assert found > 30


def test_the_document_is_self_contained_and_lists_all_codes(
    serve_with: ServeWith,
) -> None:
    content = document(serve_with)
    assert set(content["paths"]) == {
        *("/v1/predictions", "/v1/predictions/stream", "/v1/model", "/v1/bundles", "/report"),
        *("/card", "/healthz", "/readyz", "/metrics"),
    }
    text = str(content)
    assert "http://" not in text and "https://" not in text
    of_connections = {"too-many-connections", "headers-too-large"}
    everywhere = {"not-found", "method-not-allowed"}
    for code in set(PROBLEMS) - of_connections - everywhere:
        assert f"`{code}`" in text, code


def test_the_reference_lists_every_code_and_limit() -> None:
    problems, _, limits = REFERENCE.read_text("utf-8").partition("\n## Limits\n")
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \| (.+) \|$", problems, re.M)
    assert {code: int(status) for code, status, _ in rows} == {
        code: status for code, (status, _) in PROBLEMS.items()
    }
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", limits, re.M)
    assert {name: int(number.replace(",", "")) for name, number in rows} == asdict(ServiceLimits())


def test_answers_conform_to_the_document(serve_with: ServeWith) -> None:
    ramp, blank = io.BytesIO(), io.BytesIO()
    Pillow.fromarray(np.full((16, 16), 200, np.uint8)).save(blank, "PNG")
    Pillow.fromarray(np.tile(np.arange(16, dtype=np.uint8) * 9, (16, 1))).save(ramp, "PNG")

    async def talk(client: Any, service: Any) -> Any:
        contents = (ramp.getvalue(), blank.getvalue(), b"nothing")
        files = [("a", ("a", content)) for content in contents]
        return [
            await client.post("/v1/predictions?include=probabilities", files=files),
            await client.post("/v1/predictions?include=seen,original,heatmap", files=files),
            await client.post(
                "/v1/predictions", content=b"x", headers={"content-type": "image/png"}
            ),
            await client.get("/v1/model"),
            await client.get("/v1/bundles"),
        ]

    answers, _ = serve_with(talk)
    content = document(serve_with)
    for answer in answers:
        request = answer.request
        route = content["paths"][request.url.path][request.method.lower()]
        response = route["responses"][str(answer.status_code)]
        if "$ref" in response:
            response = content["components"]["responses"][response["$ref"].rpartition("/")[2]]
        schema = response["content"][answer.headers["content-type"]]["schema"]
        jsonschema.validate(answer.json(), schema)


@pytest.mark.slow
def test_valid_and_invalid_requests_get_documented_answers(
    make_bundle: MakeBundle, inline_service: Callable[..., Any]
) -> None:
    settings_ = Settings(threads=1, allowed_hosts=("testserver",))
    service = inline_service([BundleSource("bright", make_bundle().folder)], settings_)
    schema = schemathesis.openapi.from_asgi("/openapi.json", build_app(service, settings_))
    checks = schemathesis.checks
    required = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.response_headers_conformance,
        checks.unsupported_method,
    ]
    tried = 0
    quick = settings(
        max_examples=15,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    for operation in schema.get_all_operations():
        for mode in schemathesis.GenerationMode:

            @quick
            @given(case=operation.ok().as_strategy(generation_mode=mode))
            def attack(case: Any) -> None:
                nonlocal tried
                tried += 1
                case.call_and_validate(checks=required)

            # A route without parameters has no invalid request.
            with contextlib.suppress(Unsatisfiable):
                attack()
    assert tried > 60
    assert service.active == 0 and service.budget.held == 0
    asyncio.run(service.close())
