"""The documents say what the code does: links, commands, settings, keys and dependencies."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

import jsonschema
import pytest

from plainfilm.bundle import BundleMetadata
from plainfilm.cli.main import build_parser
from plainfilm.config import Recipe, load_recipe, recipe_names
from plainfilm.evaluation.document import (
    EvaluationDocument,
    LabelResults,
    OperatingPointResults,
)
from plainfilm.metrics import RATES, Interval
from plainfilm.records import LockedPoint, OperatingPoint, PixelSpec, Task, TaskKind

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
REFERENCE = ROOT / "docs" / "reference"

HEADINGS = {
    "data": "## `[data]`: which images are used",
    "fit": "## `[fit]`: how the network is trained",
    "input": "## `[input]`: how a file becomes the network's input",
}
"""Sections of a recipe whose settings are one table of recipes.md."""

each_page = pytest.mark.parametrize(
    "page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES]
)


def blocks(page: Path, language: str) -> Iterator[str]:
    """Yield the fenced blocks of a language, without the indent that they have in a list."""
    pattern = rf"^( *)```{language}\n(.*?)^ *```$"
    for indent, body in re.findall(pattern, page.read_text("utf-8"), re.M | re.S):
        yield "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    found = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found}


def named(page: Path) -> set[str]:
    """Return every word that stands in code type in a page's prose."""
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    return {word for span in spans for word in re.split(r"[^\w-]+", span)}


@each_page
def test_relative_links_resolve(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert broken == []


@each_page
def test_each_table_begins_with_a_header(page: Path) -> None:
    lines = ["", *prose(page).splitlines(), ""]
    starts = [n for n, line in enumerate(lines) if line[:1] == "|" != lines[n - 1][:1]]
    assert [lines[n] for n in starts if not re.fullmatch(r"[|:\- ]+", lines[n + 1])] == []


@each_page
def test_commands_parse(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(line)
            if program != "plainfilm":
                continue
            try:
                parsed = build_parser().parse_args(arguments)
            except SystemExit as end:
                assert end.code == 0, f"{line}\n{capsys.readouterr().err}"
                continue
            if getattr(parsed, "recipe", None) in recipe_names():
                load_recipe(parsed.recipe, getattr(parsed, "settings", ()))


def test_the_recipe_in_the_how_to_is_one(tmp_path: Path) -> None:
    (block,) = blocks(ROOT / "docs" / "how-to" / "write-a-recipe.md", "toml")
    path = tmp_path / "padded.toml"
    path.write_text(block, "utf-8")
    recipe = load_recipe(path)
    assert (recipe.name, recipe.input.geometry) == ("padded", "pad")
    assert recipe.augment.flip
    assert recipe.augment.rotation == 5


@each_page
def test_scripts_that_are_named_exist(page: Path) -> None:
    for block in blocks(page, "console"):
        for name in re.findall(r"^script/[\w-]+", block, re.M):
            assert (ROOT / name).is_file(), name


@each_page
def test_python_blocks_parse_and_import_what_exists(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("plainfilm"):
                spec = importlib.util.find_spec(str(node.module))
                assert spec is not None
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


def test_what_is_generated_is_up_to_date() -> None:
    script = ROOT / "script" / "make-reference"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    text = prose(page).partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n?)+", text, re.M)
    assert table is not None, heading
    return [
        [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        for line in table.group().splitlines()[2:]
    ]


def test_every_dependency_is_justified_and_no_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    page = ROOT / "docs" / "explanation" / "dependencies.md"

    def names(requirements: list[str]) -> set[str]:
        found = (re.match(r"[\w-]+(\[[\w,-]+\])?", one) for one in requirements)
        return {match.group() for match in found if match}

    assert {name for name, *_ in rows(page, "## Core")} == names(project["dependencies"])
    listed_for: dict[str, set[str]] = {}
    for extra, packages, purpose in rows(page, "## Extras"):
        listed_for.setdefault(extra.strip("`"), set()).update(packages.split(", "))
        assert purpose
    everywhere = set[str]().union(*listed_for.values())
    extras = {name: names(list_) for name, list_ in project["optional-dependencies"].items()}
    assert set(listed_for) == set(extras)
    for extra, packages in extras.items():
        # What several extras share is justified once.
        assert listed_for[extra] <= packages
        assert packages <= everywhere


def settings() -> Iterator[tuple[str, Any]]:
    """Yield every section of a recipe with its dataclass."""
    for section, hint in get_type_hints(Recipe).items():
        for kind in (hint, *get_args(hint)):
            if is_dataclass(kind):
                yield section, kind


@pytest.mark.parametrize(("section", "kind"), [*settings()], ids=[name for name, _ in settings()])
def test_recipes_page_names_every_setting(section: str, kind: Any) -> None:
    text = prose(REFERENCE / "recipes.md")
    start = text.index(f"## `[{section}]`")
    part = text[start : text.find("\n## ", start + 1)]
    for field in fields(kind):
        assert f"`{field.name}`" in part, f"{section}.{field.name}"


def test_recipes_page_has_the_defaults() -> None:
    hints = dict(settings())
    for section, heading in HEADINGS.items():
        defaults = {field.name: field.default for field in fields(hints[section])}
        for key, default, _ in rows(REFERENCE / "recipes.md", heading):
            known = defaults[key.strip("`")]
            shown = default.strip("`")
            if shown == "(needed)":
                assert not isinstance(known, int | float | str)
            elif isinstance(known, str):
                assert shown == known
            else:
                assert tomllib.loads(f"v = {shown}")["v"] == known, key


def test_recipes_page_names_every_choice() -> None:
    described = {
        (section, key.strip("`")): set(re.findall(r"`([\w-]+)`", " ".join(cells)))
        for section, heading in HEADINGS.items()
        for key, *cells in rows(REFERENCE / "recipes.md", heading)
    }
    for section, kind in settings():
        for name, hint in get_type_hints(kind).items():
            choices = {one for one in get_args(hint) if isinstance(one, str)}
            # Presets of augmentation have a generated table of their own.
            if choices and section != "augment":
                assert choices <= described[section, name], f"{section}.{name}"


def test_recipes_page_names_every_network_and_option() -> None:
    pytest.importorskip("keras")
    from plainfilm.models.networks import NETWORKS

    page = REFERENCE / "recipes.md"
    text = prose(page).partition("## `[network]`")[2].partition("## `[augment]`")[0]
    for name, builder in NETWORKS.items():
        assert f"`{name}`" in text
        for option in inspect.signature(builder).parameters.values():
            if option.kind is option.KEYWORD_ONLY:
                assert f"`{option.name}`" in text, f"{name}.{option.name}"


def test_evaluation_page_names_every_metric_and_part() -> None:
    page = named(REFERENCE / "evaluation-json.md")
    for part in (EvaluationDocument, LabelResults, OperatingPointResults, Interval):
        assert {field.name for field in fields(part)} <= page, part
    assert set(RATES) <= page


def test_documents_conform_to_their_schemas(
    make_document: Callable[..., EvaluationDocument],
) -> None:
    schema = json.loads((REFERENCE / "schemas" / "evaluation.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    for kind, names in (("binary", "a"), ("multiclass", "abc"), ("multilabel", "ab")):
        classes = ("none", "a") if kind == "binary" else tuple(names)
        document = make_document(Task(cast(TaskKind, kind), tuple(names), classes)).to_json()
        validator.validate(document)
        assert not validator.is_valid({**document, "surplus": 1})
        assert not validator.is_valid({k: v for k, v in document.items() if k != "metrics"})


def test_bundle_page_names_every_key() -> None:
    page = named(REFERENCE / "bundle.md")
    for kind in (LockedPoint, OperatingPoint, PixelSpec, Task):
        assert {field.name for field in fields(kind)} <= page
    inside = {field.name for field in fields(BundleMetadata)} - {"points"}
    assert inside <= page


def test_python_page_lists_every_public_package() -> None:
    text = (REFERENCE / "python.md").read_text("utf-8")
    listed = set(re.findall(r"^   (plainfilm[\w.]*)$", text, re.M))
    for name in listed:
        importlib.import_module(name)
    packages = {"audit", "bundle", "config", "data", "evaluation", "explain", "metrics", "phantom"}
    packages |= {"pixels", "report", "runtime", "serve", "training"}
    assert {f"plainfilm.{package}" for package in packages} < listed


def test_readme_has_the_place_of_the_measured_table() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    part = text.partition("<!-- measured: recipes -->")[2].partition("<!-- end measured -->")[0]
    for name in recipe_names():
        assert f"| `{name}`" in part


def test_readme_tree_names_every_package() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    tree = set(re.findall(r"^  (\w+)/ +\w", text, re.M))
    source = ROOT / "src" / "plainfilm"
    assert tree == {path.name for path in source.iterdir() if path.is_dir()} - {"__pycache__"}


@each_page
def test_benchmarks_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"benchmarks/\w+\.py", page.read_text("utf-8")):
        assert (ROOT / name).is_file(), name


def test_few_blocks_are_not_run_and_each_has_a_reason() -> None:
    reasons = [
        reason
        for page in PAGES
        for reason in re.findall(r"<!-- not run: (.+) -->\n *```", page.read_text("utf-8"))
    ]
    assert all(len(reason.split()) >= 2 for reason in reasons)
    assert len(reasons) < 25
    marks = sum(page.read_text("utf-8").count("<!-- not run:") for page in PAGES)
    assert marks == len(reasons) + 1  # CONTRIBUTING.md explains the mark
