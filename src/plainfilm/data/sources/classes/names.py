"""Decides from class names which are one class, and which class is the one without disease."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

_STRONG, _WEAK, _RELATIVE = 3, 2, 1

_HEALTHY = frozenset({"healthy", "neg", "negative", "negatives", "norm", "normal", "normals"})
_HEALTHY |= {"unaffected", "undiseased", "uninfected", "uninjured", "unremarkable"}
_NOT = frozenset({"no", "non", "not", "without", "absent", "absence"})
_STATUS = frozenset({"neg", "negative", "pos", "positive", "with"})
_ALONE = frozenset({"0", "clear", "false", "no", "none", "nil"})
_CONTROLS = frozenset({"control", "controls"})
_SITES = frozenset({"chest", "cxr", "field", "fields", "lung", "lungs", "xray"})
_DENYING = _HEALTHY | _NOT | frozenset({"evidence", "for", "free", "from", "of"})
_GENERAL = _DENYING | _ALONE | _CONTROLS | _SITES
_GENERAL |= {"acute", "active", "any", "cardiopulmonary", "case", "cases", "exam", "film", "image"}
_GENERAL |= {"limits", "other", "radiograph", "ray", "relevant", "scan", "significant", "study"}
_GENERAL |= {"thorax", "within", "x"}
_FINDING = re.compile(r"finding|abnormal|disease|patholog|(?:no|non)(?:finding|abnormal|disease)")
# What "no" and "non" deny when they are written as one word, as in "noncovid".
_DENIED = re.compile(
    r"no[nt]?(?:abnormal|cancer|cardiomegaly|consolidation|covid|disease|effusion|finding|infect|"
    r"infiltrat|lesion|malignan|mass|nodul|opacit|patholog|pneumoni|pneumothora|sick|tb$|tuberculosis)"
)
# Diseases whose names begin with a negation.
_DISEASES = re.compile(
    r"non (?:small|specific|tubercul|hodgkin|cardiogenic|calcified)|nontubercul|nonspecific|"
    r"gram neg"
)
_SEPARATORS = re.compile(r"(?<=[^\W\d_])[\s_‐-―−-]+(?=[^\W_])|(?<=\d)[\s_‐-―−-]+(?=[^\W\d_])")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)")
_BETWEEN = re.compile(r"[\W_]+")


@lru_cache(maxsize=4096)
def fold_class(name: str) -> str:
    """Return the key of a class name: names that differ in case, spaces, - and _ have the same.

    A hyphen between digits or at an end has a meaning and is kept.

    Examples
    --------
    >>> {fold_class(name) for name in ("COVID-19", "covid_19", "Covid 19")}
    {'covid19'}
    >>> [fold_class(name) for name in ("COVID-", "COVID+", "stage 1-2")]
    ['covid-', 'covid+', 'stage1-2']
    """
    text = unicodedata.normalize("NFKC", name).strip(" _").casefold()
    return _SEPARATORS.sub("", text)


def is_negative_name(name: str) -> bool:
    """Return whether a class of this name is the one without disease.

    Examples
    --------
    >>> [is_negative_name(name) for name in ("NORMAL", "No_Finding", "CT_NonCOVID", "TB free")]
    [True, True, True, True]
    >>> [is_negative_name(name) for name in ("Pneumonia", "nodule", "Abnormal", "not normal")]
    [False, False, False, False]
    """
    return _negativity(name) > 0


def is_clearly_negative(name: str) -> bool:
    """Return whether a class name means normal, not only the absence of one disease."""
    return _negativity(name) == _STRONG


def begins_with_disease(name: str) -> bool:
    """Return whether a class name begins with a common finding of radiographs.

    Examples
    --------
    >>> [begins_with_disease(name) for name in ("Tuberculosis", "COVID-19", "HIV", "Berlin")]
    [True, True, False, False]
    """
    return _DENIED.match(f"no{fold_class(name)}") is not None


def status_of(name: str) -> str | None:
    """Return what a name says to be present or absent, or None.

    Examples
    --------
    >>> [status_of(name) for name in ("HIV-negative", "non-smoker", "ICU+", "NORMAL")]
    ['hiv', 'smoker', 'icu', None]
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    words = [word for word in _BETWEEN.split(text) if word]
    rest = [word for word in words if word not in _NOT | _STATUS]
    return " ".join(rest) if rest and (rest != words or text[-1] in "+-") else None


def means_no_finding(name: str) -> bool:
    """Return whether a class name means that nothing at all was found, not only one disease.

    Examples
    --------
    >>> [means_no_finding(name) for name in ("No Finding", "normal CXR", "none", "0")]
    [True, True, True, True]
    >>> [means_no_finding(name) for name in ("no effusion", "PCR negative", "normal heart")]
    [False, False, False]
    """
    words = _split_words(name)
    general = all(word in _GENERAL or _FINDING.match(word) for word in words)
    return general and is_negative_name(name)


def denied_by(name: str) -> tuple[str, ...] | None:
    """Return the keys that the denied disease may have, or None if the name denies none.

    Examples
    --------
    >>> denied_by("no pleural effusion"), denied_by("TB-negative"), denied_by("NonCOVID")
    (('pleuraleffusion',), ('tb',), ('covid',))
    >>> denied_by("Mass") is None, denied_by("benign") is None
    (True, True)
    """
    if _negativity(name) <= _RELATIVE:
        return None
    words = _split_words(name)
    rest = "".join(word for word in words if word not in _DENYING)
    glued = re.match(r"no[nt]?", rest) if len(words) == 1 and _DENIED.match(rest) else None
    return (rest,) if glued is None else tuple(rest[end:] for end in range(2, glued.end() + 1))


def negative_of(names: Sequence[str]) -> str | None:
    """Return the one of two classes that is without disease, or None if the names do not show it.

    ``Normal`` outranks ``NonCOVID``, and that outranks ``benign``. A name that denies the other
    one, such as ``asymptomatic`` and ``symptomatic``, is negative.

    Examples
    --------
    >>> negative_of(["Normal", "Non-COVID pneumonia"])
    'Normal'
    >>> negative_of(["Bacterial", "Viral"]) is None
    True
    """
    first, second = names
    ranks = _negativity(first), _negativity(second)
    if ranks[0] != ranks[1]:
        return first if ranks[0] > ranks[1] else second
    if not ranks[0]:
        keys = fold_class(first), fold_class(second)
        for name, key, other in ((first, *keys), (second, *keys[::-1])):
            if key in {f"{prefix}{other}" for prefix in ("no", "non", "not", "un")}:
                return name
            if key == f"a{other}" and other.startswith("symptom"):
                return name
            if key.rstrip("-") == other.rstrip("+") and key.endswith("-"):
                return name  # COVID- and COVID+
    return None


def _negativity(name: str) -> int:
    """Return how clearly a name means that there is no disease: 3, 2, 1, or 0 for not at all."""
    words = _split_words(name)
    plain = " ".join(words)
    if plain in _ALONE:
        return _STRONG
    if _DISEASES.search(plain):
        return 0
    denials = sum(
        word in _NOT and not "".join(words[at + 1 : at + 2]).isdigit()  # "no 1" is a number
        for at, word in enumerate(words)
    )
    healthy = any(word in _HEALTHY for word in words)
    if healthy:
        return 0 if denials % 2 else _STRONG
    if _CONTROLS & {*words} or ("clear" in words and (denials or _SITES & {*words})):
        return 0 if denials % 2 else _STRONG
    if any(map(_DENIED.match, words)) or _is_free(words) or denials:
        finding = "finding" in plain or "abnormal" in plain or "disease" in plain
        return _STRONG if finding else _WEAK
    return _RELATIVE if "benign" in words else 0


def _split_words(name: str) -> list[str]:
    text = unicodedata.normalize("NFKC", name)
    return [word for word in _BETWEEN.split(_CAMEL.sub(" ", text).casefold()) if word]


def _is_free(words: Sequence[str]) -> bool:
    """Return whether a name is like "Pneumonia free" or "free of TB", not like "free air"."""
    pairs = [*pairwise(words)]
    ends = bool(words) and words[-1].endswith("free") and (*words,) != ("free",)
    return ends or ("free", "of") in pairs or ("free", "from") in pairs
