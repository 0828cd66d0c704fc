"""Combines the labels of several rows of one image, such as boxes or readers, for ``reduce=``."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from plainfilm._text import plural
from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.classes.names import fold_class, is_clearly_negative, negative_of
from plainfilm.data.sources.listing import Item, Listing, finding
from plainfilm.errors import UsageError
from plainfilm.records import UNKNOWN, Finding, Severity

RULES = ("any", "majority")

_ID = r"(?:s?(?:id|ids|identifier|name|number|num|no|nr|code|key|initials))?"
_READER = re.compile(
    r"(?:rad|(?:reading|reporting)?(?:reader|radiologist|rater|annotator|observer|expert|labell?er"
    r"|reviewer|grader|assessor|evaluator|interpreter|befunder|radiologe|radiologue|lecteur|lector))"
    rf"{_ID}|(?:read|reported|annotated|labell?ed|reviewed|rated|graded|assessed|interpreted)by"
    rf"|(?:reading|reporting)(?:physician|doctor){_ID}"
)
# Also names for who sent the patient, who is the same in all rows of an image.
_PERHAPS_READER = re.compile(rf"(?:physician|doctor|clinician|arzt|médecin|m[eé]dico){_ID}")
_RULES = {
    "any": "a label is present if one of them says so",
    "majority": "a label is what most {voters} say, and unknown if they are equally many",
}


def reduce_rows(listings: Sequence[Listing], rule: str, positive: str | None) -> list[Finding]:
    """Give all rows of one image the same label.

    With ``any``, a label is present if one row has it. With ``majority``, it is what more than half
    of the readers say; a column such as ``rad_id`` shows who the reader is, and without it rows are
    counted, with a warning. Where rows of one image have several of more than two classes, such as
    one for each box, the classes become the labels of a multi-label task; a class that means normal
    is the absence of all others.

    Parameters
    ----------
    rule
        ``any`` or ``majority``.
    positive
        The positive class of two. With more classes, the task is this class or not.

    Raises
    ------
    UsageError
        If there is no such rule, or of two classes the positive one is unknown.
    """
    if rule not in RULES:
        raise UsageError(
            "reduce= is not a rule for several rows of one image",
            received=repr(rule),
            remedy=f"choose {' or '.join(RULES)}",
        )
    items = [item for one in listings for item in one.items]
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.real].append(item)
    several = [group for group in groups.values() if len(group) > 1]
    differing = [group for group in several if len({str(item.label) for item in group}) > 1]
    if not differing:
        return _keep_first(listings)
    names = None
    if all(one.labels is None for one in listings):
        names = _to_numbers(listings, items, positive)
    reader = _reader_column(several) if rule == "majority" else None
    for group in several:
        label = _combine(group, rule, reader)
        for item in group:
            item.label = label
    if names:
        _to_classes(listings, names)
    count = len(differing)
    voters = f"readers ({reader})" if reader else "rows"
    problem = f"{plural(count, 'image has', 'images have')} rows with different labels; " + _RULES[
        rule
    ].format(voters=voters)
    ids = [group[0].id for group in differing]
    texts = {}
    if rule == "majority" and not reader:
        texts = {
            "consequence": "no column says who read the image, so rows are counted and not "
            "readers; one reader with several rows counts several times",
            "remedy": "name the column of the readers reader_id in the table",
        }
    severity: Severity = "warning" if texts else "note"
    found = finding("rows-reduced", severity, problem, count, ids, **texts)
    return [found, *_keep_first(listings)]


def _keep_first(listings: Sequence[Listing]) -> list[Finding]:
    """Keep one row of each image of a listing, so that images and not rows are counted."""
    images = set()
    dropped = 0
    for listing in listings:
        first: dict[tuple[str, str | None, str | None], Item] = {}
        for item in listing.items:
            first.setdefault((item.real, item.official, item.patient), item)
        seen = Counter(item.id for item in listing.items)
        images |= {identity for identity, number in seen.items() if number > 1}
        dropped += len(listing.items) - len(first)
        listing.items = [*first.values()]
    if not dropped:
        return []
    rows = plural(dropped, "further row")
    problem = f"{rows} of {plural(len(images), 'image')} {'is' if dropped == 1 else 'are'} combined"
    problem += " with the first, whose further columns are kept"
    return [finding("rows-combined", "note", problem, dropped, images)]


def _to_numbers(
    listings: Sequence[Listing], items: Sequence[Item], positive: str | None
) -> tuple[str, str] | None:
    """Write classes as 1 and 0: of the positive class, whose names are returned, or of each."""
    counts = Counter(str(item.label) for item in items)
    spelling: dict[str, str] = {}
    for name, _ in counts.most_common():
        spelling.setdefault(fold_class(name), name)
    if positive is None and len(spelling) > 2:
        names = sorted(
            (name for name in spelling.values() if not is_clearly_negative(name)), key=str.casefold
        )
        keys = [*map(fold_class, names)]
        values = {name: tuple(float(fold_class(name) == key) for key in keys) for name in counts}
        for listing in listings:
            listing.labels = tuple(names)
        result = None
    else:
        result = _two_classes(listings, spelling, positive)
        values = {name: (float(fold_class(name) == fold_class(result[1])),) for name in counts}
    for item in items:
        item.label = values[str(item.label)]
    return result


def _two_classes(
    listings: Sequence[Listing], spelling: dict[str, str], positive: str | None
) -> tuple[str, str]:
    """Return the negative and the positive class."""
    names = sorted(spelling.values(), key=str.casefold)
    shown = {one.positive for one in listings if one.positive is not None}
    chosen = positive or (shown.pop() if len(shown) == 1 else None)
    if chosen is None and len(names) == 2 and (normal := negative_of(names)):
        chosen = next(name for name in names if name != normal)
    found = spelling.get(fold_class(chosen)) if chosen else None
    if found is None:
        raise UsageError(
            "positive= is not one of the classes"
            if positive
            else "reduce= needs to know which class is positive",
            received=repr(positive) if positive else " and ".join(names),
            remedy=f"name the positive class with positive=: {', '.join(names)}",
        )
    others = [name for name in names if name != found]
    return (others[0] if len(others) == 1 else f"no {found}"), found


def _to_classes(listings: Sequence[Listing], names: tuple[str, str]) -> None:
    """Write 1 and 0 as classes again; an image without a majority is left out."""
    for listing in listings:
        tied = [item for item in listing.items if math.isnan(float(item.label[0]))]
        listing.items = [item for item in listing.items if not math.isnan(float(item.label[0]))]
        for item in listing.items:
            item.label = names[item.label[0] == 1]
        for identity, path in {item.id: item.path for item in tied}.items():
            problem = f"as many rows say {names[0]} as {names[1]}"
            listing.left_out.append(LeftOut(identity, path, "no-label", problem))


def find_reader_columns(names: Iterable[str]) -> list[str]:
    """Return the columns that may say who read an image, the likeliest first.

    Examples
    --------
    >>> find_reader_columns(["file", "physician", "Reader Name", "reader_agreement", "read_by"])
    ['Reader Name', 'read_by', 'physician']
    """
    plain = {name: _plain(name) for name in names}
    sure = [name for name, word in plain.items() if _READER.fullmatch(word)]
    return sure + [name for name, word in plain.items() if _PERHAPS_READER.fullmatch(word)]


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _reader_column(groups: Sequence[Sequence[Item]]) -> str | None:
    """Return the column that says who read the image."""
    names = {name: None for group in groups for item in group for name in item.readers}
    ordered = find_reader_columns(names)
    for name in ordered:
        if any(len({item.readers.get(name) for item in group}) > 1 for group in groups):
            return name
    return next((name for name in ordered if _READER.fullmatch(_plain(name))), None)


def _combine(group: Sequence[Item], rule: str, reader: str | None) -> tuple[float, ...]:
    votes = [tuple(map(float, item.label)) for item in group]
    if rule == "any":
        return tuple(map(_any, zip(*votes, strict=True)))
    by_reader: dict[object, list[tuple[float, ...]]] = defaultdict(list)
    for row, (item, vote) in enumerate(zip(group, votes, strict=True)):
        by_reader[item.readers.get(reader, row) if reader else row].append(vote)
    opinions = [tuple(map(_any, zip(*rows, strict=True))) for rows in by_reader.values()]
    return tuple(map(_majority, zip(*opinions, strict=True)))


def _any(values: Iterable[float]) -> float:
    """Return 1 if there is a 1, unknown if there is no known value, or else 0."""
    known = [value for value in values if not math.isnan(value)]
    return max(known, default=UNKNOWN)


def _majority(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    twice = 2 * sum(known)
    return UNKNOWN if twice == len(known) else float(twice > len(known))
