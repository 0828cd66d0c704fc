"""The container file: no engine builds it here, but what it names exists."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from pathlib import Path

from plainfilm.cli.main import build_parser

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """Return the instructions with their arguments, continued lines joined."""
    text = (ROOT / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = []
    for line in lines:
        if line.startswith(" "):  # the command of a health check stands on a line of its own
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            name, _, rest = line.partition(" ")
            found.append((name, rest.strip()))
    return found


def test_its_instructions_are_known_and_in_order() -> None:
    names = [name for name, _ in instructions()]
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "STOPSIGNAL"}
    assert set(names) <= known | {"HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert names[0] == "FROM" and names.count("FROM") == 2 and names[-1] == "CMD"


def test_what_it_copies_and_installs_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    copied = set()
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            *sources, _ = rest.split()
            copied |= set(sources)
    assert copied and all((ROOT / path).exists() for path in copied)
    # What the builder of the package reads must be among it.
    assert {"pyproject.toml", "src", project["readme"], *project["license-files"]} <= copied
    run = " ".join(rest for name, rest in instructions() if name == "RUN")
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', run)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    (constraints,) = re.findall(r"--constraint (\S+)", run)
    assert constraints in copied


def test_it_starts_the_service_as_a_user_without_rights() -> None:
    given = dict(instructions())
    assert given["USER"] not in ("0", "root") and given["USER"] in "".join(
        rest for name, rest in instructions() if name == "RUN"
    )
    program, *none = json.loads(given["ENTRYPOINT"])
    assert program == "plainfilm" and not none
    parsed = build_parser("serve").parse_args(json.loads(given["CMD"]))
    assert parsed.bundles == ["model=/model"] and str(parsed.port) == given["EXPOSE"]
    assert "TOKEN" not in given["ENV"]


def test_its_health_check_is_python_that_asks_a_route(capsys: object) -> None:
    check = dict(instructions())["HEALTHCHECK"].partition("CMD ")[2]
    python, flag, code = json.loads(check)
    ast.parse(code)
    assert (python, flag) == ("python", "-c") and ":8000/readyz'" in code


def test_the_how_to_runs_it_read_only() -> None:
    page = (ROOT / "docs" / "how-to" / "run-the-service.md").read_text("utf-8")
    (line,) = re.findall(r"^podman run .*?(?<!\\)$", page.replace("\\\n", " "), re.M)
    words = shlex.split(line)
    assert {"--read-only", "--cap-drop", "--security-opt"} <= set(words)
    parsed = build_parser("serve").parse_args(words[words.index("plainfilm") + 1 :])
    assert parsed.host == "0.0.0.0"
