"""Describes the settings that a search varies: their values, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from plainfilm.config import Recipe, load_recipe
from plainfilm.errors import ConfigError

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
_DECADE = 10  # a range from a to at least ten times a is searched on a logarithmic scale
_OF_THE_SEARCH = ("name", "description", "data.test", "data.validation", "distil")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that a search varies.

    Attributes
    ----------
    key
        Dotted key of the setting in a recipe.
    recipe
        The recipe that it applies to; None for all.
    choices
        Its values as TOML; empty for a range.
    low, high
        The limits of a range, both included; None for choices.
    integer, log
        Whether the values of a range are integers, and whether its scale is logarithmic.
    """

    key: str
    recipe: str | None = None
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    integer: bool = False
    log: bool = False

    @property
    def name(self) -> str:
        """Return the key, after the recipe if the setting applies to one only."""
        return f"{self.recipe}: {self.key}" if self.recipe else self.key

    def extremes(self) -> tuple[str, ...]:
        """Return all choices, or the limits of the range, as TOML."""
        if self.low is None or self.high is None:
            return self.choices
        return self.to_text(self.low), self.to_text(self.high)

    def to_text(self, value: float) -> str:
        """Return a value of the range as TOML, with three significant digits, within the limits."""
        assert self.low is not None and self.high is not None
        if self.integer:
            return str(round(value))
        return repr(min(max(float(f"{value:.3g}"), self.low), self.high))

    def describe(self) -> str:
        """Return the values in words."""
        if self.low is None or self.high is None:
            return ", ".join(self.choices)
        kind = "integers " if self.integer else ""
        low, high = self.extremes()
        return f"{kind}{low} to {high}{', logarithmic scale' if self.log else ''}"

    @property
    def count(self) -> int | None:
        """Return the number of values; None for a range of numbers that are no integers."""
        if self.low is None or self.high is None:
            return len(self.choices)
        return round(self.high - self.low) + 1 if self.integer else None

    def values(self) -> Iterator[str]:
        """Yield all values as TOML; `count` must not be None."""
        if self.low is None or self.high is None:
            yield from self.choices
        else:
            yield from map(str, range(round(self.low), round(self.high) + 1))


def parse_setting(text: str, recipes: Sequence[str]) -> Setting:
    """Return the setting that ``[RECIPE:]KEY=VALUES`` describes.

    VALUES are a range ``a..b`` or values with commas. A range of integers has integer values. It
    is on a logarithmic scale where both limits are positive and b is at least 10 times a.

    Raises
    ------
    ConfigError
        If the text has another form, or the setting is one that a search does not vary.
    """
    key, equals, values = text.partition("=")
    prefix = next((name for name in recipes if key.startswith(f"{name}:")), None)
    key = key.removeprefix(f"{prefix}:").strip() if prefix else key.strip()
    if not equals or not key or not values.strip():
        raise ConfigError(
            "a setting to search over must have the form key=values",
            received=text,
            remedy="write for example fit.learning_rate=1e-3..3e-2 or fit.epochs=3,6,9",
        )
    if ":" in key:
        raise ConfigError(
            "a setting is for a recipe that is not searched",
            received=text,
            remedy="add that recipe with recipe=, or write another one in front",
        )
    for fixed in _OF_THE_SEARCH:
        if key == fixed or key.startswith(f"{fixed}."):
            raise ConfigError(f"a search cannot vary {fixed}", received=text)
    if found := _RANGE.fullmatch(values.strip()):
        return _range(text, key, prefix, found[1], found[2])
    choices = tuple(dict.fromkeys(_split(values)))
    if len(choices) < 2:
        raise ConfigError(
            "a setting to search over needs two or more values",
            received=text,
            remedy="fix it with settings=, or give more values with commas",
        )
    return Setting(key, prefix, choices)


def _range(text: str, key: str, recipe: str | None, first: str, last: str) -> Setting:
    low, high = float(first), float(last)
    if not low < high:
        raise ConfigError("a range must begin with its smaller limit", received=text)
    integer = all(re.fullmatch(r"[+-]?\d+", limit) for limit in (first, last))
    return Setting(key, recipe, (), low, high, integer, low > 0 and high >= _DECADE * low)


def _split(text: str) -> Iterator[str]:
    """Yield the values of a text, which are separated by commas outside brackets and quotes."""
    start, depth, quote = 0, 0, ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and not depth:
            yield text[start:place].strip()
            start = place + 1
    yield text[start:].strip()


@dataclass(frozen=True, slots=True)
class Space:
    """All candidates of a search: recipes, settings that are fixed, and settings that vary."""

    recipes: tuple[str, ...]
    fixed: tuple[str, ...]
    over: tuple[Setting, ...]

    def of(self, recipe: str) -> tuple[Setting, ...]:
        """Return the settings that apply to a recipe."""
        return tuple(own for own in self.over if own.recipe in (None, recipe))

    def build(self, recipe: str, values: Mapping[str, str]) -> Recipe:
        """Return a recipe with some of the varied settings; errors are those of `load_recipe`.

        ``values`` are TOML by the name of the setting.
        """
        own = [f"{one.key}={values[one.name]}" for one in self.of(recipe) if one.name in values]
        return load_recipe(recipe, [*self.fixed, *own])

    def extremes(self) -> Iterator[Recipe]:
        """Yield each recipe unchanged, and with each extreme value of one setting."""
        for recipe in self.recipes:
            yield self.build(recipe, {})
            for setting in self.of(recipe):
                for value in setting.extremes():
                    yield self.build(recipe, {setting.name: value})


def make_space(recipes: Sequence[str], settings: Sequence[str], over: Sequence[str]) -> Space:
    """Return the space of a search after parsing and checking it.

    Raises
    ------
    ConfigError
        If a recipe, a setting or a value is wrong, or nothing varies.
    """
    unique = tuple(dict.fromkeys(recipes))
    space = Space(unique, tuple(settings), tuple(parse_setting(text, unique) for text in over))
    names = [own.name for own in space.over]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"the setting {twice[0]} is given twice", received=", ".join(names))
    if not space.over and len(unique) < 2:
        raise ConfigError(
            "there is nothing to search over",
            received=f"recipe {', '.join(unique) or 'none'}",
            remedy="name settings with over=, or several recipes",
        )
    for recipe in space.extremes():
        if recipe.distil is not None:
            raise ConfigError(
                "a recipe with a teacher cannot be searched: the teacher would have seen the "
                "images of each fold",
                received=recipe.name,
                remedy="search without a teacher, and add it to the recipe that was found",
            )
    return space
