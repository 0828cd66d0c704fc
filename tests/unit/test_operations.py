"""The files of examples/service agree with the service, and their own programs accept them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from plainfilm.cli.main import build_parser
from plainfilm.serve import ServiceLimits

FOLDER = Path(__file__).parents[2] / "examples" / "service"
UNIT, ALERTS = FOLDER / "plainfilm.service", FOLDER / "plainfilm-alerts.yml"
LIMITS = ServiceLimits()


def call(*command: object) -> str:
    """Return what a program printed; the test is skipped where the program is not installed."""
    program, *rest = map(str, command)
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([program, *rest], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def settings(path: Path, pattern: str) -> dict[str, str]:
    return dict(re.findall(pattern, path.read_text("utf-8").replace("\\\n", " "), re.M))


def test_the_unit_starts_the_service_with_options_that_exist() -> None:
    unit = settings(UNIT, r"^(\w+)=(.*)$")
    program, *words = shlex.split(unit["ExecStart"])
    assert program.endswith("/bin/plainfilm") and words[0] == "serve"
    parsed = build_parser("serve").parse_args(words)
    assert parsed.host == "127.0.0.1" and str(parsed.token_file) == "%d/token"
    assert unit["LoadCredential"].startswith("token:")
    assert str(parsed.audit_log).startswith(f"/var/log/{unit['LogsDirectory']}/")
    assert unit["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(unit["TimeoutStopSec"]) > LIMITS.seconds + 2 * LIMITS.stall_seconds


def test_systemd_accepts_the_unit_and_counts_it_as_sandboxed(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text("utf-8").replace("/opt/plainfilm/bin/plainfilm", "/bin/true"))
    assert call("systemd-analyze", "--man=no", "verify", copy) == ""
    text = call("systemd-analyze", "--no-pager", "security", "--offline=true", copy)
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", text)
    assert exposure is not None and float(exposure[1]) <= 1.5, text[-200:]


def test_the_proxy_has_the_limits_of_the_service() -> None:
    found = settings(FOLDER / "nginx.conf", r"^ *(\w+) +([^;#]+);")
    seconds = {
        name: int(value[:-1]) for name, value in found.items() if re.fullmatch(r"\d+s", value)
    }
    body = int(found["client_max_body_size"].removesuffix("m")) << 20
    assert LIMITS.body < body < 1.05 * LIMITS.body
    assert seconds["client_body_timeout"] == seconds["send_timeout"] == LIMITS.stall_seconds
    assert seconds["client_header_timeout"] == LIMITS.head_seconds
    assert seconds["proxy_read_timeout"] > LIMITS.seconds + LIMITS.stall_seconds
    assert seconds["proxy_send_timeout"] > LIMITS.stall_seconds
    (pool,) = re.findall(
        r"keepalive \d+;\s+keepalive_timeout (\d+)s", (FOLDER / "nginx.conf").read_text("utf-8")
    )
    assert int(pool) < LIMITS.idle_seconds
    assert int(found["limit_conn"].split()[1]) < LIMITS.connections / 4


def test_every_metric_of_the_alerts_exists(serve_with: Callable[..., Any]) -> None:
    async def talk(client: Any, service: Any) -> Any:
        return (await client.get("/metrics")).text

    text, _ = serve_with(talk)
    exist = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    for name in set(re.findall(r"\bplainfilm_\w+", ALERTS.read_text("utf-8"))):
        histogram = exist.get(re.sub(r"_(sum|count)$", "", name)) == "histogram"
        assert name in exist or histogram, name
    values = re.findall(r'(\w+)(?:=|=~)"([^"]+)"', ALERTS.read_text("utf-8"))
    for label, value in values:
        if label in ("event", "outcome"):
            assert all(f'{label}="{one}"' in text for one in value.split("|")), value


def test_prometheus_accepts_the_files() -> None:
    assert "SUCCESS" in call("promtool", "check", "rules", ALERTS)
    call("promtool", "check", "config", "--syntax-only", FOLDER / "prometheus.yml")


def series(name: str, steps: str, **labels: str) -> dict[str, str]:
    pairs = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{pairs}}}", "values": steps}


def test_the_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """A good service, and a bad one that changes: in a minute, or in the images of a week."""
    good = {"job": "plainfilm", "instance": "good"}
    bad = good | {"instance": "bad"}
    model = {"bundle": "first", "id": "1"}

    def pair(name: str, before: float, after: float, **labels: str) -> list[dict[str, str]]:
        """Return the counter of both, in 300 steps; that of the bad one changes in the middle."""
        middle = 150 * before + after
        return [
            series(name, f"0+{before}x300", **good, **labels),
            series(name, f"0+{before}x150 {middle}+{after}x149", **bad, **labels),
        ]

    minutes = [
        series("up", "1x300", **good),
        series("up", "1x150 0x150", **bad),
        *pair("plainfilm_requests_total", 100, 100, route="/", status="200"),
        *pair("plainfilm_requests_total", 0, 5, route="/", status="503"),
        *pair("plainfilm_decoders_total", 0, 1, event="died"),
        *pair("plainfilm_audit_errors_total", 0, 1, event="not-written"),
        *pair("plainfilm_swaps_total", 0, 1, outcome="kept"),
        series("plainfilm_decoders_ready", "2x300", **good),
    ]
    hours = [
        *pair("plainfilm_images_total", 40, 30, **model, outcome="predicted"),
        *pair("plainfilm_images_total", 0.4, 10, **model, outcome="rejected"),
        *pair("plainfilm_probability_count", 40, 40, **model, label="X"),
        *pair("plainfilm_probability_sum", 12, 22, **model, label="X"),
        *pair("plainfilm_novelty_ratio_count", 40, 40, **model),
        *pair("plainfilm_novelty_ratio_sum", 28, 36, **model),
    ]
    alerts = dict(
        re.findall(r"alert: (\w+)(?:\n .+)*?\n +summary: (.+)", ALERTS.read_text("utf-8"))
    )
    labels = {name: {"instance": "bad"} for name in alerts} | {
        "PlainfilmDown": bad,
        "PlainfilmBundleKept": bad | {"outcome": "kept"},
        "PlainfilmManyRejected": {"instance": "bad"} | model,
        "PlainfilmProbabilityDrift": bad | model | {"label": "X"},
        "PlainfilmNoveltyDrift": bad | model,
    }

    def expect(name: str, at: str, fires: bool) -> dict[str, Any]:
        summary = alerts[name]
        for label, value in labels[name].items():
            summary = summary.replace(f"{{{{ $labels.{label} }}}}", value)
        fired = {"exp_labels": labels[name], "exp_annotations": {"summary": summary}}
        return {"eval_time": at, "alertname": name, "exp_alerts": [fired] if fires else []}

    slow = {name for name in alerts if name.endswith(("Drift", "Rejected"))}
    tests = [
        {
            "interval": "1m" if rows is minutes else "1h",
            "input_series": rows,
            "alert_rule_test": [
                expect(name, f"{at}{'m' if rows is minutes else 'h'}", at > 150)
                for name in alerts
                for at in (149, 290)
                if (name in slow) != (rows is minutes)
            ],
        }
        for rows in (minutes, hours)
    ]
    for test, every in zip(tests, ("1m", "1h"), strict=True):
        path = tmp_path / f"{every}.yml"
        content = {"rule_files": [str(ALERTS)], "evaluation_interval": every, "tests": [test]}
        path.write_text(json.dumps(content), "utf-8")  # JSON is YAML
        assert "SUCCESS" in call("promtool", "test", "rules", path)
