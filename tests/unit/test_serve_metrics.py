"""The metrics of the service: what is counted, in series that a parser of Prometheus reads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("prometheus_client")

from prometheus_client import parser

from plainfilm._machine import resident_bytes
from plainfilm.bundle import REJECTIONS, Bundle, IndeterminateRange, Rejection
from plainfilm.inference.codes import IMAGE_CODES
from plainfilm.inference.prometheus import Histogram
from plainfilm.inference.registry import BundleSource
from plainfilm.inference.telemetry import MOST_LABELS, Telemetry
from plainfilm.prediction import Prediction
from plainfilm.records import Task

ServeWith = Callable[..., Any]
MakeBundle = Callable[..., Bundle]
PNG = {"content-type": "image/png"}
FAR = Rejection(1.0, "of the test", 0.01)
NAMES = ("a\\b", 'quo"te', "a\\n", "µ {x=1}, y")


def read(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return metric to labels to value, read by the parser of another project."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.documentation and family.type != "unknown"
        for sample in family.samples:
            row = found.setdefault(sample.name, {})
            key = tuple(sorted(sample.labels.items()))
            assert key not in row, f"{sample.name} has {key} twice"
            row[key] = sample.value
    return found


def select(series: dict[Any, float], **labels: str) -> dict[str, float]:
    """Return the values with these labels, by their other labels."""
    return {
        ",".join(value for name, value in key if name not in labels): number
        for key, number in series.items()
        if labels.items() <= dict(key).items()
    }


def test_every_image_is_counted_once_with_its_outcome(
    serve_with: ServeWith, make_bundle: MakeBundle, doubtful_files: dict[str, bytes]
) -> None:
    bundle = make_bundle(rejection=FAR)
    files = [("any", (str(n), data)) for n, data in enumerate(doubtful_files.values())]

    async def talk(client: Any, service: Any) -> Any:
        answer = await client.post("/v1/predictions", files=files)
        return answer.json()["predictions"], read((await client.get("/metrics")).text)

    named = [BundleSource("bright", bundle.folder)]
    (predictions, metrics), _ = serve_with(talk, named=named)
    mine = {"bundle": "bright", "id": bundle.id}
    images = metrics["plainfilm_images_total"]
    counted = {
        outcome: {k: v for k, v in select(images, **mine, outcome=outcome).items() if v}
        for outcome in ("predicted", "rejected", "no-prediction")
    }
    assert counted["rejected"] == dict.fromkeys(REJECTIONS, 1)
    assert counted["no-prediction"] == {"truncated": 1}
    assert sum(map(sum, (one.values() for one in counted.values()))) == len(predictions)
    shown = [one["probabilities"]["bright"] for one in predictions if one["predicted"]]
    assert metrics["plainfilm_probability_count"] == {
        tuple(sorted((mine | {"label": "bright"}).items())): len(shown)
    }
    (total,) = metrics["plainfilm_probability_sum"].values()
    assert total == pytest.approx(sum(shown), abs=1e-5)
    below = select(metrics["plainfilm_probability_bucket"], **mine, label="bright")
    for bound, number in below.items():
        assert number == sum(value <= float(bound) for value in shown), bound
    novel = [one["novelty"] for one in predictions if one["novelty"] is not None]
    assert select(metrics["plainfilm_novelty_ratio_count"], **mine) == {"": len(novel)}
    ratios = select(metrics["plainfilm_novelty_ratio_bucket"], **mine)
    assert ratios["1.0"] == sum(value < 1 for value in novel) and ratios["+Inf"] == len(novel)
    assert metrics["plainfilm_decode_seconds_count"] == {(): len(predictions)}
    assert metrics["plainfilm_network_seconds_count"] == metrics["plainfilm_batch_images_count"]


def test_indeterminate_images_are_an_outcome_of_their_own(
    serve_with: ServeWith, make_bundle: MakeBundle, tmp_path: Path, draw_grey: Any
) -> None:
    band = {"bright": IndeterminateRange(0.2, 0.9, "of the test")}
    named = [BundleSource("bright", make_bundle(indeterminate=band).folder)]

    async def talk(client: Any, service: Any) -> Any:
        for grey in (128, 140, 250):
            data = draw_grey(tmp_path / f"{grey}.png", grey).read_bytes()
            await client.post("/v1/predictions", content=data, headers=PNG)
        return read((await client.get("/metrics")).text)

    metrics, _ = serve_with(talk, named=named)
    images = metrics["plainfilm_images_total"]
    assert list(select(images, outcome="indeterminate").values()) == [2]
    assert list(select(images, outcome="predicted").values()) == [1]


def test_series_start_at_zero_so_that_their_first_increase_is_seen(serve_with: ServeWith) -> None:
    async def talk(client: Any, service: Any) -> Any:
        return read((await client.get("/metrics")).text)

    metrics, _ = serve_with(talk)
    images = metrics["plainfilm_images_total"]
    assert len(images) == 2 + len(REJECTIONS) + len(IMAGE_CODES) and not any(images.values())
    assert set(select(metrics["plainfilm_decoders_total"])) == {"started", "died", "late"}
    assert set(select(metrics["plainfilm_audit_errors_total"])) == {"not-written", "not-synced"}
    assert set(metrics["plainfilm_probability_bucket"].values()) == {0}
    if resident_bytes() is not None:
        assert metrics["process_resident_memory_bytes"][()] > 1 << 20


def test_labels_are_escaped_and_their_number_is_bounded(
    serve_with: ServeWith, make_bundle: MakeBundle, draw_grey: Any, tmp_path: Path
) -> None:
    names = (*NAMES, *(f"label {n}" for n in range(MOST_LABELS)))
    bundle = make_bundle(task=Task("multilabel", names, names), gains=(1.0,) * len(names))
    data = draw_grey(tmp_path / "x.png", 140).read_bytes()

    async def talk(client: Any, service: Any) -> Any:
        # Nothing that a client sends becomes a label.
        await client.post("/v1/predictions?bundle=evil&label=evil", content=data, headers=PNG)
        await client.get("/evil", headers={"x-evil": "evil"})
        await client.request("EVIL", "/v1/model")
        await client.post("/v1/predictions", content=data, headers=PNG)
        return (await client.get("/metrics")).text

    text, _ = serve_with(talk, named=[BundleSource("several", bundle.folder)])
    assert "evil" not in text.lower()
    counts = select(read(text)["plainfilm_probability_count"], bundle="several", id=bundle.id)
    assert counts == dict.fromkeys(names[:MOST_LABELS], 1)


def test_another_bundle_starts_new_series_and_the_same_one_goes_on(
    serve_with: ServeWith, make_bundle: MakeBundle, tmp_path: Path, draw_grey: Any
) -> None:
    first, other = make_bundle(), make_bundle(tmp_path / "other", gains=(2.0,))
    data = draw_grey(tmp_path / "x.png", 140).read_bytes()

    async def talk(client: Any, service: Any) -> Any:
        async def counted() -> dict[str, float]:
            await client.post("/v1/predictions", content=data, headers=PNG)
            metrics = read((await client.get("/metrics")).text)
            count = select(metrics["plainfilm_probability_count"], bundle="bright", label="bright")
            images = metrics["plainfilm_images_total"]
            assert count == select(images, bundle="bright", outcome="predicted", reason="")
            return count

        found = [await counted()]
        await service.reload()  # nothing has changed
        found.append(await counted())
        first.folder.rename(tmp_path / "old")
        other.folder.rename(first.folder)
        await service.reload()
        found.append(await counted())
        await service.reload()
        return [*found, await counted()]

    counts, _ = serve_with(talk, named=[BundleSource("bright", first.folder)])
    assert counts == [
        {first.id: 1},
        {first.id: 2},
        {first.id: 2, other.id: 1},
        {other.id: 2},
    ]


def test_large_counts_keep_all_their_digits_and_no_sum_is_spoilt() -> None:
    telemetry = Telemetry()
    telemetry.requests.add("/v1/model", "200", count=123_456_789)
    telemetry.gauge("bytes", "Bytes.", lambda: 98_765_432_101)
    telemetry.decoders.add("new\nline")  # no name of a bundle has one
    telemetry.gauge("unknown", "Unknown.", lambda: None)
    metrics = read(telemetry.text())
    assert list(metrics["plainfilm_requests_total"].values()) == [123_456_789]
    assert metrics["plainfilm_bytes"] == {(): 98_765_432_101}
    assert "plainfilm_unknown" not in metrics
    assert select(metrics["plainfilm_decoders_total"])["new\nline"] == 1
    histogram = Histogram((1.0, 2.0))
    for value in (math.nan, math.inf, -math.inf, 0.5, 1.0, 3.0):
        histogram.add(value)
    lines = [*histogram.lines("h")]
    assert lines == [
        'h_bucket{le="1.0"} 2',
        'h_bucket{le="2.0"} 2',
        'h_bucket{le="+Inf"} 3',
        "h_sum 4.5",
        "h_count 3",
    ]


def test_a_bundle_without_a_limit_has_no_novelty(make_bundle: MakeBundle) -> None:
    telemetry, bundle = Telemetry(), make_bundle()
    seen = Prediction("", {"bright": 0.5}, novelty=2.0)
    telemetry.add_prediction(("b", "1"), seen, bundle)
    telemetry.add_prediction(("b", "1"), seen, replace(bundle, rejection=replace(FAR, threshold=0)))
    metrics = read(telemetry.text())
    assert metrics["plainfilm_probability_count"] and "plainfilm_novelty_ratio_sum" not in metrics
