"""Reads the cells of label columns: 1 and 0, words for yes and no, uncertain and blank."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from plainfilm._text import plural
from plainfilm.data.sources.listing import Listing
from plainfilm.data.sources.options import SourceOptions
from plainfilm.errors import UsageError
from plainfilm.records import UNKNOWN

Meaning = Literal["yes", "no", "blank", "uncertain"]

DROP = -1.0
"""Value of a label whose image is left out."""

# Also the words that Excel writes for true and false in other languages.
_MEANINGS: dict[Meaning, str] = {
    "yes": "1 true t yes y positive pos present ja oui si sí sì sim wahr vrai vero verdadero +",
    "no": "0 false f no n negative neg absent nein non não falsch faux falso",
    "uncertain": "-1 u uncertain unsure maybe possible possibly equivocal indeterminate unclear ?",
    "blank": "nan na n/a n.a. #n/a <na> nat none null - -- . unknown missing",
}
_WORDS: dict[str, Meaning] = {
    word: meaning for meaning, words in _MEANINGS.items() for word in words.split()
}
_WORDS |= {"": "blank", "not available": "blank", "not known": "blank"}
_INTEGER = re.compile(r"([+-]?\d+)[.,]0*")
_CHOICES = {
    "blank": ("unknown", "negative"),
    "uncertain": ("unknown", "negative", "positive", "drop"),
}
VALUES = {"unknown": UNKNOWN, "negative": 0.0, "positive": 1.0, "drop": DROP}
"""Value of a label by the word of a policy."""


def plain_cell(cell: str) -> str:
    """Return a cell with 1.0 and 1,0 written as 1."""
    cell = cell.replace("\u2212", "-")  # minus sign
    whole = _INTEGER.fullmatch(cell)
    return whole[1] if whole else cell


def meaning_of(cell: str) -> Meaning | None:
    """Return what a cell means as the value of a label, or None for another text.

    Examples
    --------
    >>> [meaning_of(cell) for cell in ("1.0", "Absent", "-1", "n/a", "Pneumonia")]
    ['yes', 'no', 'uncertain', 'blank', None]
    """
    return _WORDS.get(plain_cell(cell).casefold())


def map_unknown(cells: Sequence[str], class_map: Mapping[str, str]) -> list[str]:
    """Rename the cells that would otherwise count as blank or uncertain.

    Examples
    --------
    >>> map_unknown(["-1", "1", "-1.0", "unknown"], {"-1": "NORMAL", "1": "TB"})
    ['NORMAL', '1', 'NORMAL', 'unknown']
    """
    old = {plain_cell(str(name).strip()).casefold(): str(new) for name, new in class_map.items()}
    old = {name: new for name, new in old.items() if meaning_of(name) in ("blank", "uncertain")}
    return [old.get(plain_cell(cell).casefold(), cell) for cell in cells] if old else [*cells]


@dataclass(frozen=True, slots=True)
class LabelPolicy:
    """What blank and uncertain labels count as."""

    blank: str = "unknown"
    uncertain: str = "unknown"

    @classmethod
    def of(cls, options: SourceOptions) -> LabelPolicy:
        """Return the policy of the options ``blank`` and ``uncertain``."""
        chosen = {"blank": options.get("blank"), "uncertain": options.get("uncertain")}
        for name, value in chosen.items():
            if value is not None and value not in _CHOICES[name]:
                raise UsageError(
                    f"{name}= is not one of {', '.join(_CHOICES[name])}",
                    received=repr(value),
                    remedy="choose one of them",
                )
        return cls(**{name: value for name, value in chosen.items() if value is not None})

    def values(self, cells: Iterable[str]) -> dict[str, float | None]:
        """Return the value of each different cell; None for a cell of another meaning."""
        by_meaning: dict[Meaning | None, float | None] = {
            "yes": 1.0,
            "no": 0.0,
            "blank": VALUES[self.blank],
            "uncertain": VALUES[self.uncertain],
            None: None,
        }
        return {cell: by_meaning[meaning_of(cell)] for cell in cells}

    def report(self, listing: Listing, counts: dict[str, dict[Meaning, int]]) -> None:
        """Report how many blank and uncertain labels each column has and what they count as."""
        parts = []
        total = 0
        policies: tuple[tuple[Meaning, str], ...]
        policies = ("blank", self.blank), ("uncertain", self.uncertain)
        for meaning, policy in policies:
            columns = {name: n for name, found in counts.items() if (n := found.get(meaning, 0))}
            number = sum(columns.values())
            total += number
            if not number and policy == "unknown":
                continue
            where = ", ".join(f"{name} {n:,}" for name, n in columns.items())
            where = f" ({where})" if len(counts) > 1 and where else f" of {', '.join(counts)}"
            verb = "means" if number == 1 else "mean"
            effect = (
                f"{verb} that the image is left out"
                if policy == "drop"
                else (f"{'counts' if number == 1 else 'count'} as {policy}")
            )
            parts.append(f"{plural(number, f'{meaning} label')}{where} {effect}")
        if parts:
            problem = f"{listing.name}: {'; '.join(parts)}"
            listing.report("label-policy", "note", problem, total)
