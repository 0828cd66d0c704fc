"""Parts behind the routes: batches, swapped bundles, logs, counters, the model card."""

from __future__ import annotations

import asyncio
import io
import json
import math
import os
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")

from plainfilm.bundle import Bundle, Provenance
from plainfilm.decoding.fair_queue import NO_KEY, Key
from plainfilm.errors import MissingExtraError, StorageError, UsageError
from plainfilm.evaluation import EvaluationDocument
from plainfilm.inference.addresses import is_loopback
from plainfilm.inference.batching import Batcher
from plainfilm.inference.description import BundleIdentity, Estimate, describe
from plainfilm.inference.log import AuditLog, Log
from plainfilm.inference.registry import BundleRegistry, BundleSource, parse_sources
from plainfilm.inference.telemetry import Telemetry
from plainfilm.metrics import Interval
from plainfilm.pixels import Image
from plainfilm.prediction import Prediction
from plainfilm.records import Task
from plainfilm.serve import Settings, run_service
from plainfilm.serve.card_page import card_page
from plainfilm.serve.server import invitation, listen

MakeBundle = Callable[..., Bundle]
BLACK = Image(np.zeros((2, 2), np.uint8), {})


class Slow:
    """Predicts after a signal, and records the sizes of the batches."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.runs: list[int] = []

    def predict_images(self, images: Sequence[Image]) -> list[Prediction]:
        self.go.wait(10)
        self.runs.append(len(images))
        if any(image.metadata.get("bad") for image in images):
            raise ValueError("no numbers")
        return [Prediction("", {"x": float(image.metadata["n"])}) for image in images]


def image(n: int, **more: Any) -> Image:
    return Image(BLACK.pixels, {"n": n, **more})


def test_waiting_images_are_predicted_together_and_get_their_own_result() -> None:
    async def go() -> list[int]:
        slow = Slow()
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(slow.predict_images, executor, 1, largest=4)
            tasks = [asyncio.create_task(batcher.run(image(n), NO_KEY)) for n in range(10)]
            await asyncio.sleep(0.05)
            tasks[3].cancel()  # its request was cancelled
            slow.go.set()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        for n, found in enumerate(done):
            if n != 3:
                assert isinstance(found, Prediction) and found.probabilities == {"x": n}
        return slow.runs

    assert asyncio.run(go()) == [1, 3, 4, 1]


def test_a_failed_run_fails_for_its_own_images_only() -> None:
    async def go() -> None:
        slow = Slow()
        slow.go.set()
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(slow.predict_images, executor, 1)
            with pytest.raises(ValueError):
                await batcher.run(image(0, bad=True), NO_KEY)
            assert (await batcher.run(image(5), NO_KEY)).probabilities == {"x": 5}

    asyncio.run(go())


def test_images_of_one_client_do_not_delay_those_of_others() -> None:
    async def go() -> list[list[float]]:
        runs: list[list[float]] = []
        slow = Slow()

        def run(images: Sequence[Image]) -> list[Prediction]:
            runs.append([float(one.metadata["n"]) for one in images])
            return slow.predict_images(images)

        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(run, executor, 1, largest=2)
            many = [batcher.run(image(n), Key("a", 1)) for n in range(5)]
            others = [batcher.run(image(9), Key("a", 2)), batcher.run(image(8), Key("b", 3))]
            tasks = [asyncio.create_task(one) for one in (*many, *others)]
            await asyncio.sleep(0.05)
            slow.go.set()
            await asyncio.gather(*tasks)
        return runs

    assert asyncio.run(go()) == [[0], [1, 8], [9, 2], [3, 4]]


def test_bundles_are_swapped_and_a_broken_one_leaves_the_old(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    folder = tmp_path / "b"
    first = make_bundle(folder)
    with ThreadPoolExecutor(1) as executor:
        registry = BundleRegistry([BundleSource("b", folder)], executor, 1)
        held = registry.get(None)
        assert held is not None and held.bundle.id == first.id
        second = make_bundle(folder, gains=(2.0,))
        [(_, outcome)] = registry.reload()
        new = registry.get("b")
        assert new is not None and new.bundle.id == second.id != first.id and outcome is new
        # The old bundle still predicts for requests that hold it.
        assert held.predictor.probabilities(np.zeros((1, 16, 16), np.uint8)).shape == (1, 1)
        (folder / "network.onnx").write_bytes(b"broken")
        [(_, error)] = registry.reload()
        assert isinstance(error, Exception) and "changed after it was sealed" in str(error)
        assert registry.get("b") is new
        assert registry.get("other") is None


def test_names_of_bundles_are_parsed(tmp_path: Path) -> None:
    words = [str(tmp_path / "first"), "second=/x/y", f"{tmp_path}/third/bundle"]
    assert [one.name for one in parse_sources(words)] == ["first", "second", "third"]
    assert parse_sources(["a=b=c"])[0].path == Path("b=c")
    for wrong in (["a=x", "a=y"], ["a b=x"], ['"=x'], [], ["/"]):
        with pytest.raises(UsageError):
            parse_sources(wrong)


def test_the_evaluation_of_a_run_is_used_if_it_is_of_this_bundle(
    make_bundle: MakeBundle, make_document: Callable[..., EvaluationDocument], tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "run" / "bundle")
    folder = tmp_path / "run" / "evaluation"
    folder.mkdir()
    (folder / "report.html").write_text("<p>report</p>", encoding="utf-8")
    metrics = {"auroc": Interval(0.9, 0.8, math.nan, "x")}
    evaluation = make_document(bundle=bundle.id, metrics=metrics)
    other = make_document(bundle="other", metrics=metrics)
    path = folder / "evaluation.json"
    with ThreadPoolExecutor(1) as executor:
        for content, fits in (
            (json.dumps(evaluation.to_json()), True),
            (json.dumps(other.to_json()), False),
            ("{", False),
            ("[]", False),
        ):
            path.write_text(content, encoding="utf-8")
            served = BundleRegistry([BundleSource("b", tmp_path / "run")], executor, 1).get("b")
            assert served is not None
            assert (served.report is not None) == (served.description.tested_on is not None) == fits
            if fits:
                tested = served.description.tested_on
                assert tested is not None
                assert tested.auroc is not None
                assert (tested.auroc.value, tested.auroc.low) == (0.9, 0.8)
                assert math.isnan(tested.auroc.high)
                assert tested.points["balanced"].specificity is not None


def test_the_audit_log_is_append_only_and_private(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("kept\n", encoding="utf-8")
    first = AuditLog(path, clock=lambda: "now")
    second = AuditLog(path, clock=lambda: "now")
    for log, name in ((first, "a"), (second, "b"), (first, "c")):
        log.write("bundle", name, "answered")
    path.rename(tmp_path / "old.jsonl")
    first.reopen()
    first.write("bundle", "d", "answered")
    first.close()
    second.close()
    old = (tmp_path / "old.jsonl").read_text("utf-8").splitlines()
    assert old[0] == "kept" and [json.loads(line)["sha256"] for line in old[1:]] == [*"abc"]
    assert json.loads(path.read_text("utf-8"))["sha256"] == "d"
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        (tmp_path / "link").symlink_to(path)
        with pytest.raises(StorageError):
            AuditLog(tmp_path / "link")
    with pytest.raises(StorageError):
        AuditLog(tmp_path / "none" / "audit.jsonl")


def test_the_log_survives_a_closed_stream() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    Log(Gone()).write("answer", outcome="answered")
    stream = io.StringIO()

    async def go() -> None:
        log = Log(stream, clock=lambda: "now")
        for n in range(3):
            log.write("answer", n=n)
        await asyncio.sleep(0.1)

    asyncio.run(go())
    assert [json.loads(line)["n"] for line in stream.getvalue().splitlines()] == [0, 1, 2]


def test_the_log_has_plain_lines_for_people() -> None:
    stream = io.StringIO()
    log = Log(stream, clock=lambda: "2026-11-24T10:20:30.123+00:00", plain=True)
    log.write("image", outcome="predicted", milliseconds=1.5)
    log.write("archive-unavailable", status="x" * 99, remedy="check the address " * 5)
    first, second = stream.getvalue().splitlines()
    assert first == "10:20:30 image outcome=predicted milliseconds=1.5"
    assert f"status={'x' * 40} remedy=" in second and second.count("check the address") == 5


def test_threads_share_a_log_and_lose_no_line() -> None:
    stream = io.StringIO()
    log = Log(stream)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: log.write("image", n=n), range(4000)))
    found = [json.loads(line)["n"] for line in stream.getvalue().splitlines()]
    assert sorted(found) == list(range(4000))


def test_counters_have_the_text_format() -> None:
    metrics = Telemetry()
    for _ in range(2):
        metrics.requests.add("/v1/model", "200")
    metrics.gauge("x", "An x.", lambda: 0.5)
    for value in (0.5, 1.0, 99.0):
        metrics.seconds.add(value)
    metrics.info("bundle_info", "Bundles.", lambda: [{"name": "b", "id": "1"}])
    lines = metrics.text().splitlines()
    assert 'plainfilm_requests_total{route="/v1/model",status="200"} 2' in lines
    assert 'plainfilm_request_seconds_bucket{le="1.0"} 2' in lines
    assert 'plainfilm_request_seconds_bucket{le="+Inf"} 3' in lines
    assert "plainfilm_x 0.5" in lines and 'plainfilm_bundle_info{name="b",id="1"} 1' in lines


def test_a_model_card_is_rendered_and_escaped() -> None:
    card = (
        "---\nlicense: other\n---\n\n# A <b>card</b>\n\nSome **strong** `code`\non two lines.\n\n"
        "- one\n  continued\n- two\n\n| a | b |\n| --- | --- |\n| x\\|y | <script> |\n\n"
        "<script>alert(1)</script>\n\n[link](javascript:alert(1)) ![image](https://example.org/i)\n\n"
        "```\nplainfilm predict <x>\n```\n"
    )
    page = card_page(card, "<name>")
    assert "<h1>A &lt;b&gt;card&lt;/b&gt;</h1>" in page
    assert "<p>Some <strong>strong</strong> <code>code</code>\non two lines.</p>" in page
    assert "<ul>\n<li>one\ncontinued</li>\n<li>two</li>\n</ul>" in page
    assert "<td>x|y</td>\n<td>&lt;script&gt;</td>" in page
    assert "<pre><code>plainfilm predict &lt;x&gt;\n</code></pre>" in page
    assert "<title>Model card of &lt;name&gt;</title>" in page
    assert "license" not in page and "<hr" not in page
    assert not any(tag in page for tag in ("<script", "<img", 'href="javascript'))
    assert "No model card." in card_page("", "name")


def test_an_address_in_use_is_an_error() -> None:
    with listen(Settings(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}"):
            listen(Settings(port=port))
    with pytest.raises(UsageError):
        listen(Settings(host="203.0.113.7"))


@pytest.mark.parametrize(
    ("host", "token", "text"),
    [
        ("127.0.0.1", None, "Open http://127.0.0.1:80 in a browser. Press Ctrl-C to stop."),
        ("::1", None, "Open http://[::1]:80 in a browser. Press Ctrl-C to stop."),
        (
            "0.0.0.0",
            "secret",
            "Open http://localhost:80 in a browser, or port 80 of this machine's name from another "
            "machine; the page asks for the token. Press Ctrl-C to stop.",
        ),
    ],
)
def test_a_terminal_shows_the_address_to_open(host: str, token: str | None, text: str) -> None:
    assert invitation(host, 80, token) == text


def test_loopback_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example", "")))


def test_a_missing_extra_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h11", None)
    with pytest.raises(MissingExtraError, match=r"\.\[serve\]"):
        run_service(["x"], Settings())


def test_each_of_several_labels_has_its_own_points_and_prevalence(
    make_bundle: MakeBundle, make_document: Callable[..., EvaluationDocument]
) -> None:
    evaluation = make_document(Task("multilabel", ("a", "b"), ("a", "b")), macro={})
    expected = evaluation.labels["a"].operating_points["balanced"].metrics["sensitivity"]
    shares = Provenance(training_prevalence={"a": 0.2, "b": 0.4}, assumed_prevalence="training")
    bundle = replace(make_bundle(), provenance=shares)
    description = describe(bundle, BundleIdentity("x", "", ""), evaluation)
    assert description.training_prevalence == {"a": 0.2, "b": 0.4}
    assert description.tested_on is not None
    rates = description.tested_on.points["a/balanced"]
    assert rates.sensitivity == Estimate(expected.value, expected.low, expected.high)
    assert description.tested_on.auroc is None
    assert set(description.tested_on.points) == {"a/balanced", "b/balanced"}
