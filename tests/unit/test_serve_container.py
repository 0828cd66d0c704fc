"""The container file is consistent with the package; no engine builds it here."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from plainfilm.cli.main import build_parser

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """Return the instructions with their arguments, continued lines joined."""
    text = (ROOT / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = []
    for line in lines:
        if line.startswith(" "):  # the command of a health check is on its own line
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            name, _, rest = line.partition(" ")
            found.append((name, rest.strip()))
    return found


def test_instructions_are_known_and_in_order() -> None:
    names = [name for name, _ in instructions()]
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "STOPSIGNAL"}
    assert set(names) <= known | {"HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert names[0] == "FROM" and names.count("FROM") == 2 and names[-1] == "CMD"


def test_copied_files_and_installed_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    copied = set()
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            *sources, _ = rest.split()
            copied |= set(sources)
    assert copied and all((ROOT / path).exists() for path in copied)
    # The files that building the package needs are copied.
    assert {"pyproject.toml", "src", project["readme"], *project["license-files"]} <= copied
    run = " ".join(rest for name, rest in instructions() if name == "RUN")
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', run)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    (constraints,) = re.findall(r"--constraint (\S+)", run)
    assert constraints in copied


def test_the_service_runs_as_an_unprivileged_user() -> None:
    given = dict(instructions())
    assert given["USER"] not in ("0", "root") and given["USER"] in "".join(
        rest for name, rest in instructions() if name == "RUN"
    )
    program, *none = json.loads(given["ENTRYPOINT"])
    assert program == "plainfilm" and not none
    parsed = build_parser("serve").parse_args(json.loads(given["CMD"]))
    assert parsed.bundles == ["model=/model"] and str(parsed.port) == given["EXPOSE"]
    assert "TOKEN" not in given["ENV"]


def test_the_health_check_is_of_the_service_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict(instructions())
    python, flag, code = json.loads(given["HEALTHCHECK"].partition("CMD ")[2])
    assert (python, flag) == ("python", "-c")
    assert f"HEALTH_PORT={given['EXPOSE']}" in given["ENV"].split()
    asked: list[str] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: asked.append(url))
    monkeypatch.setenv("HEALTH_PORT", "9104")
    exec(code, {})
    assert asked == ["http://127.0.0.1:9104/readyz"]


def test_the_documented_container_is_read_only() -> None:
    page = (ROOT / "docs" / "how-to" / "run-the-service.md").read_text("utf-8")
    (line,) = re.findall(r"^podman run .*?(?<!\\)$", page.replace("\\\n", " "), re.M)
    words = shlex.split(line)
    assert {"--read-only", "--cap-drop", "--security-opt"} <= set(words)
    parsed = build_parser("serve").parse_args(words[words.index("plainfilm") + 1 :])
    assert parsed.host == "0.0.0.0"
