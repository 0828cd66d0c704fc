"""Dataclasses become plain values and come back; everything unexpected is named."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from plainfilm._json import JSON, TOML, from_json, to_json
from plainfilm.errors import ConfigError, RunError


@dataclass(frozen=True, slots=True)
class Inner:
    value: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Outer:
    kind: Literal["a", "b"]
    count: int
    flag: bool
    parts: Mapping[str, Inner]
    pair: tuple[float, float]
    rows: tuple[Inner, ...]
    seed: int | tuple[int, ...] | None
    anything: Any = None
    extra: Mapping[str, Inner] = field(default_factory=dict)


FULL = Outer("a", 1, True, {"x": Inner(0.5, "why")}, (0.0, 1.0), (Inner(2.0),), (1, 2))
PLAIN: dict[str, Any] = {
    "kind": "a",
    "count": 1,
    "flag": True,
    "parts": {"x": {"value": 0.5, "reason": "why"}},
    "pair": [0.0, 1.0],
    "rows": [{"value": 2.0}],
    "seed": [1, 2],
}


def test_a_dataclass_survives_a_round_trip() -> None:
    assert to_json(FULL) == PLAIN
    assert from_json(Outer, json.loads(json.dumps(to_json(FULL))), "outer") == FULL
    assert from_json(Outer, PLAIN | {"seed": None}, "outer").seed is None
    assert from_json(Outer, PLAIN | {"seed": 3}, "outer").seed == 3


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_null_and_comes_back_as_nan(number: float) -> None:
    assert to_json(Inner(number)) == {"value": None}
    assert math.isnan(from_json(Inner, {"value": None}, "inner").value)
    with pytest.raises(RunError, match="must be a finite number"):
        from_json(Inner, {"value": number}, "inner")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "c"}, "o.kind must be one of: a, b"),
        ({"count": True}, "o.count must be of type int"),
        ({"count": 1.5}, "o.count must be of type int"),
        ({"flag": 1}, "o.flag must be of type bool"),
        ({"parts": []}, "o.parts must be an object"),
        ({"parts": {"x": 1}}, "o.parts.x must be an object"),
        ({"pair": [1.0]}, "o.pair must have 2 values"),
        ({"rows": {}}, "o.rows must be a list"),
        ({"rows": [{"value": "1"}]}, r"o.rows\[0\].value must be of type float"),
        ({"seed": "1"}, "o.seed must be a list"),
        ({"cuont": 1}, "there is no key 'cuont'; did you mean 'count'. in o"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        from_json(Outer, PLAIN | changed, "o")


def test_missing_keys_are_listed() -> None:
    with pytest.raises(RunError, match="o lacks kind, count, flag, parts, pair, rows, seed"):
        from_json(Outer, {}, "o")


def test_the_format_decides_on_error_and_words() -> None:
    with pytest.raises(ConfigError, match="no setting 'vlaue'"):
        from_json(Inner, {"vlaue": 1.0}, "inner", TOML)
    with pytest.raises(RunError, match="must be an object"):
        from_json(Inner, [], "inner", JSON)


def test_a_value_without_a_form_in_json_is_a_defect() -> None:
    with pytest.raises(TypeError, match="set has no form"):
        to_json({"x": {1}})
