"""Compares identifiers of patients by a normal form, since systems write one number differently."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_WORDS = """
    blank deidentified desconhecido desconocido empty inconnu keineangabe missing na nan nat nil
    noid none nopatient notapplicable notavailable notknown null redacted removed sconosciuto tbd
    unassigned unbekannt undefined unk unknown unspecified неизвестно 未知 不明 不详
"""
_UNKNOWN = frozenset(_WORDS.split())
_MEANINGS = """
    anonymised anonymized anonymous blank confidential deidentified deleted empty hidden masked
    missing no none not null pending pseudonymised pseudonymized redacted removed unassigned
    unavailable undefined unidentified unknown unspecified unstated withheld
"""
_FURTHER = """
    a applicable assigned available by case collected ctp data documented entered filled for given
    id identified identifier identity is known listed mrn name number of on patient person pid
    provided record recorded reported specified stated study subject supplied the value was yet
"""
# A text of these words that has at least one of the first means unknown: "not yet recorded".
_MEANING = frozenset(_MEANINGS.split())
_PHRASE = _MEANING | frozenset(_FURTHER.split())
_NO_NUMBER = re.compile(r"anon[a-z]*|-(\d)\1*|x{2,}|k\. ?a\.|#.*[!?]|#nv")
_ZEROS_AFTER = re.compile(r"(-?\d+)[.,]0+")
_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?e\+\d{1,2}", re.IGNORECASE)
_TOKEN = re.compile(r"\d+|[^\d\s!-/:-@\[-`{-~\u2010-\u2015\u2212\u00b7\u2022]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_DASH = re.compile("[\u2010-\u2015\u2212]")
_MANY_TOKENS = 6  # more are a random code, where zeros are no padding
_DOUBTFUL = re.compile(r"0|9{2,}|x")
_OFTEN = 10
_NEARLY_ALL = 0.9


class Node(NamedTuple):
    """An identifier and the scope in which equal identifiers mean one patient."""

    scope: str
    identifier: str


_USUAL = re.compile(r"([a-z]+)([1-9][0-9]{0,17})")


def normal_form(identifier: str) -> str | None:
    """Return the form in which identifiers of one patient are equal; None if it means unknown.

    Case, separators between letters and digits, leading zeros, a decimal ``.0`` and the Unicode
    composition do not count. Separators between two numbers or two words do: 1-23 is not 12-3.

    Examples
    --------
    >>> {normal_form(text) for text in ("P-12", "p_12", "P12", " p 0012 ")}
    {'p-12'}
    >>> [normal_form(text) for text in ("12.0", "000012", "1-23", "N/A", "-")]
    ['12', '12', '1-23', None, None]
    """
    text = identifier.strip()
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
        text = _DASH.sub("-", text)
    text = text.casefold().strip()
    if (usual := _USUAL.fullmatch(text)) and usual[1] not in _MEANING and text not in _UNKNOWN:
        return f"{usual[1]}-{usual[2]}"  # as below, in half the time
    if number := _ZEROS_AFTER.fullmatch(text):
        text = number[1]
    if text.isdecimal():
        return str(int(text)) if len(text) < 1000 else text
    if _NO_NUMBER.fullmatch(text):
        return None
    if is_rounded(text):
        return f"{float(text.replace(',', '.')):.0f}"
    unpadded = text.lstrip("0")
    if unpadded[:1].isalnum():
        text = unpadded
    tokens = _TOKEN.findall(text)
    if not tokens or "".join(tokens) in _UNKNOWN or _is_phrase(tokens):
        return None
    if len(tokens) <= _MANY_TOKENS:
        tokens = [str(int(one)) if one.isdecimal() and len(one) < 1000 else one for one in tokens]
    return unicodedata.normalize("NFC", "-".join(tokens))


def _is_phrase(words: Sequence[str]) -> bool:
    """Return whether words mean that there is no identifier."""
    return not _MEANING.isdisjoint(words) and _PHRASE.issuperset(words)


def is_rounded(identifier: str) -> bool:
    """Return whether a spreadsheet wrote a long number with an exponent and lost its last digits.

    Examples
    --------
    >>> is_rounded("1.20E+11"), is_rounded("120000000123")
    (True, False)
    """
    return _SCIENTIFIC.fullmatch(identifier.strip()) is not None


def placeholders(forms: Iterable[str]) -> frozenset[str]:
    """Return the normal forms that stand for no patient because too many images share them.

    They are 0, 99, 999, ... and x, and a text without a digit where nearly all others have one.
    They are identifiers of patients unless at least ten images have one of them, more than three
    times as many as have any other identifier.

    Examples
    --------
    >>> sorted(placeholders(["0"] * 12 + ["1", "2", "3"])), sorted(placeholders(["0", "1"]))
    (['0'], [])
    """
    counts = Counter(forms)
    words = {form for form in counts if not any(map(str.isdecimal, form))}
    doubtful = {form for form in counts if _DOUBTFUL.fullmatch(form)}
    if len(words) <= (1 - _NEARLY_ALL) * len(counts):
        doubtful |= words
    most = max((count for form, count in counts.items() if form not in doubtful), default=0)
    return frozenset(form for form in doubtful if counts[form] >= max(_OFTEN, 3 * most + 1))


def shared_identifier(forms: Iterable[str]) -> str | None:
    """Return the one normal form that many images share while the others are spread out, or None.

    It may be a placeholder: at least ten images and a tenth of all have it, more than five times
    as many as have any other, and there are at least ten others.

    Examples
    --------
    >>> shared_identifier(["77"] * 30 + [str(number) for number in range(20)])
    '77'
    """
    counts = Counter(forms)
    if len(counts) <= _OFTEN:
        return None
    (first, often), (_, next_often) = counts.most_common(2)
    is_shared = often >= max(_OFTEN, counts.total() / 10) and often > 5 * next_often
    return first if is_shared else None
