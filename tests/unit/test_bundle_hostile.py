"""A sealed bundle with wrong content is refused with a sentence, never with a traceback."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from locked_points import locked
from plainfilm.bundle import Bundle, BundleMetadata, Provenance, read_bundle
from plainfilm.bundle.card import model_card
from plainfilm.cli.main import main
from plainfilm.config import FitConfig, NetworkConfig, Recipe
from plainfilm.errors import BundleError
from plainfilm.records import PixelSpec, Purpose, Task
from plainfilm.serve.card_page import card_page

MakeBundle = Callable[..., Bundle]
NAN = float("nan")
RANGE = {"low": 0.1, "high": 0.3, "rule": "x"}
SCORES = {"edges": [0.5], "counts": [[1, 2], [3, 4]], "design_effects": [1.0, 1.0]}
POINT = "points.0.point"

REFUSED: dict[str, Any] = {
    **{
        f"pixels.size={value!r}": value
        for value in ("16", 16.0, True, None, 0, -8, 7, 4097, 10**30, [16])
    },
    **{f"pixels.frame={value!r}": value for value in (0.5, -1, 10**30, None)},
    **{f"pixels.trim={value!r}": value for value in ("no", 0)},
    **{f"pixels.geometry={value!r}": value for value in (["pad"], "stretch", None)},
    **{f"pixels.extra={value!r}": value for value in (1,)},
    **{
        f"temperature={value!r}": value
        for value in (NAN, float("inf"), 0, -1.0, 10**400, [1], None, "1", True)
    },
    **{
        f"task.labels={value!r}": value
        for value in (
            [],
            ["a", "b"],
            ["bright"] * 2,
            [1],
            "bright",
            None,
            ["OTHER"],
            {},
            ["x" * 201],
        )
    },
    **{
        f"task.classes={value!r}": value
        for value in ([], ["x"], ["bright"] * 2, None, ["", "bright"])
    },
    **{
        f"task.kind={value!r}": value
        for value in ("regression", [1], None, "multiclass", "multilabel")
    },
    **{
        f"{POINT}.threshold={value!r}": value
        for value in (NAN, None, "0.5", -1e308, 1.0000001, True, [0.5])
    },
    **{f"{POINT}.label={value!r}": value for value in ("another", None, 1)},
    **{
        f"{POINT}.name={value!r}": value for value in ("", "a\x1b[31m", "x" * 201, "rule-out", None)
    },
    **{f"points={value!r}": value for value in ({"a": 1}, None, [3], "x", [[]])},
    **{f"rejection={value!r}": value for value in ([1], "x", 3)},
    **{
        f"rejection.threshold={value!r}": {"threshold": value, "rule": "", "validation_share": 0}
        for value in ("a", NAN, None)
    },
    **{
        f"indeterminate={value!r}": value
        for value in (
            [1],
            None,
            {"another": RANGE},
            {"bright": RANGE | {"low": "a"}},
            {"bright": RANGE | {"low": None}},
            {"bright": RANGE | {"low": 0.4}},
            {"bright": RANGE | {"high": 1.5}},
        )
    },
    **{
        f"recalibration={value!r}": value
        for value in (
            {"slopes": [], "intercepts": [0]},
            {"slopes": [1, 1], "intercepts": [0, 0]},
            {"slopes": [None], "intercepts": [0]},
        )
    },
    **{
        f"validation_scores={value!r}": value
        for value in (
            {"another": SCORES},
            {"bright": SCORES | {"edges": [0.5, 0.4]}},
            {"bright": SCORES | {"counts": [[1, 2]]}},
            {"bright": SCORES | {"counts": [[1], [2]]}},
            {"bright": SCORES | {"counts": [[1, -2], [3, 4]]}},
            {"bright": SCORES | {"design_effects": [None, 1]}},
        )
    },
    **{f"provenance={value!r}": value for value in (None, [1], "x", 0)},
    **{f"provenance.seed={value!r}": value for value in ("1", 10**40, [None], 1.5)},
    **{f"provenance.recipe.network.options={value!r}": value for value in ([1], {"a": 10**40})},
    **{f"schema={value!r}": value for value in (0, -5, True, 10**40, "x" * 10**6, [3])},
    **{f"has_activation_map={value!r}": value for value in ("false", 0, None)},
}
TEXTS: dict[str, Callable[[str], str]] = {
    "deep": lambda text: "[" * 200_000 + "]" * 200_000,
    "deep in a key": lambda text: f'{text[:-1]}, "x": {"[" * 100_000}1{"]" * 100_000}}}',
    "deep in options": lambda text: text.replace(
        '"options": {}', f'"options": {{"a": {"[" * 500}1{"]" * 500}}}'
    ),
    "a key twice": lambda text: f'{text[:-1]}, "temperature": 5}}',
    "5,000 digits": lambda text: text.replace('"size": 16', f'"size": {"1" * 5000}'),
    "1e400": lambda text: text.replace('"temperature": 1.0', '"temperature": 1e400'),
    "1e400 in options": lambda text: text.replace('"options": {}', '"options": {"a": 1e400}'),
    "byte order mark": lambda text: f"\ufeff{text}",
    "half a character": lambda text: text.replace("bright", r"\ud800"),
    "half a character in a key": lambda text: f'{text[:-1]}, "\\ud800": 5}}',
    "right to left": lambda text: text.replace("bright", r"\u202egnp"),
    "control characters": lambda text: text.replace("bright", r"a\u001b[31m\n\r"),
    "a list": lambda text: "[]",
    "null": lambda text: "null",
    "a string": lambda text: '"x"',
    "a number": lambda text: "1",
    "NaN": lambda text: "NaN",
    "nothing": lambda text: "",
    "zeros": lambda text: "\0" * 10,
    "a long key": lambda text: f'{text[:-1]}, "{"k" * 10**6}": 5}}',
    "many points": lambda text: text.replace('"points": [', f'"points": [{"3, " * 10**5}'),
}


def seal(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(sums), "ascii")


CONTENT = BundleMetadata(
    task=Task("binary", ("bright",), ("dark", "bright")),
    pixels=PixelSpec(16),
    temperature=1.0,
    points=tuple(locked("bright", kind, 0.5) for kind in get_args(Purpose)[:3]),
    has_activation_map=False,
    provenance=Provenance(
        recipe=Recipe("r", "", PixelSpec(16), NetworkConfig("none"), FitConfig(1))
    ),
).to_json()


def refuse(text: str) -> BundleError:
    assert text != json.dumps(CONTENT)
    with pytest.raises(BundleError, match=r"bundle\.json") as caught:
        BundleMetadata.parse(text.encode(), "bundle.json")
    message = str(caught.value)
    assert len(message) < 2000 and message.replace("\n", "").isprintable()
    return caught.value


def test_the_content_that_is_changed_is_right() -> None:
    assert BundleMetadata.parse(json.dumps(CONTENT).encode(), "bundle.json").temperature == 1.0


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_value_is_refused(case: str) -> None:
    changed: Any = copy.deepcopy(CONTENT)
    *keys, last = case.partition("=")[0].split(".")
    if case.startswith("rejection.threshold"):
        keys, last = [], "rejection"
    inner = changed
    for key in keys:
        inner = inner[int(key) if key.isdigit() else key]
    inner[last] = REFUSED[case]
    refuse(json.dumps(changed))


@pytest.mark.parametrize("case", TEXTS)
def test_a_wrong_document_is_refused(case: str) -> None:
    refuse(TEXTS[case](json.dumps(CONTENT)))


@pytest.mark.parametrize("text", ["[" * 5000 + "]" * 5000, " " * (1 << 23)])
def test_the_command_reports_it_in_one_sentence(
    make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    bundle = make_bundle()
    (bundle.folder / "bundle.json").write_text(text, "ascii")
    seal(bundle.folder)
    assert main(["predict", str(bundle.folder), "x.png"]) == 1
    error = capsys.readouterr().err
    assert "bundle.json cannot be read" in error and "defect" not in error


def test_names_are_shown_as_text_in_the_card(make_bundle: MakeBundle) -> None:
    hostile = "<script>alert(1)</script>|`x` [a](http://b) ![c](d) *e*"
    made = make_bundle()
    task = Task("binary", (hostile,), ("=cmd|' /C calc'!A0", hostile))
    card = model_card(make_bundle(made.folder, task=task))
    page = card_page(card, "name")
    assert "<script" not in page and "<a " not in page and "<img" not in page
    assert "<em>" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;|") >= 3
    rows = [row for row in page.split("<tr>") if "rule-out" in row]
    assert all(row.count("<td") == 8 for row in rows) and rows


def test_labels_of_all_scripts_are_accepted(make_bundle: MakeBundle) -> None:
    for label in ("masse é", "肺炎", "ذات\u200cالریه", "निमोनिया", "a / b (c)"):
        made = make_bundle(task=Task("binary", (label,), ("-", label)))
        assert read_bundle(made.folder).task.labels == (label,)
        assert isinstance(made, BundleMetadata)
