"""Checks burnt-in text: which text recurs, and whether a class or a split has it more often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from plainfilm._text import plural
from plainfilm.audit.columns import comparisons_of
from plainfilm.audit.document import MarkedImage, TextCounts, TextGroup
from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import SETS, images, join_names, make_finding, share
from plainfilm.pixels.text import SHAPE, SIDE, TextLine
from plainfilm.records import Finding, Severity

_ALIKE = 0.3  # correlation of two shapes; KV59 and KV70 have 0.4, KV59 and A-P at most 0.2
_RECURRING = 10  # images
_SIGNIFICANT = 0.05
_RATIO = 2.0  # a share that is at least twice the other is reported
_SERIOUS = 0.4  # difference of the shares; the text alone then has an AUROC of 0.7
_SHOWN, _EXAMPLES, _MARKED = 3, 12, 200
_MAX_GROUPED = 20_000  # lines

Bools = NDArray[np.bool_]


def find_recurring_text(evidence: Evidence) -> tuple[TextGroup, ...]:
    """Return all text, then each that recurs, with its counts in the groups of images."""
    lines = evidence.text_lines()
    members = _recurring(lines)
    if anywhere := {row: own[0] for row, own in enumerate(lines) if own}:
        members = [("", anywhere), *members]
    comparisons = comparisons_of(evidence)
    tests = len(members) * len(comparisons)
    groups = []
    for place, rows in members:
        has = np.zeros(len(evidence), bool)
        has[[*rows]] = True
        counts = [
            TextCounts(
                kind=one.kind,
                target=one.target,
                groups=one.groups,
                counts=_both(has[one.rows], one.y_true),
                totals=_both(np.ones(len(one.rows), bool), one.y_true),
                p_value=min(
                    1.0, tests * _p_value(has[one.rows], one.y_true, evidence.groups[one.rows])
                ),
            )
            for one in comparisons
        ]
        first = [*rows.items()][:_EXAMPLES]
        examples = tuple(_mark(evidence.ids[row], [line]) for row, line in first)
        groups.append(TextGroup(place, len(rows), tuple(counts), examples))
    return tuple(groups)


def mark_images(evidence: Evidence) -> tuple[MarkedImage, ...]:
    """Return the boxes of the text in the first 200 images that have any."""
    both = zip(evidence.ids, evidence.text_lines(), strict=True)
    found = [(identity, lines) for identity, lines in both if lines][:_MARKED]
    return tuple(_mark(identity, lines) for identity, lines in found)


def _mark(identity: str, lines: Sequence[TextLine]) -> MarkedImage:
    boxes = (tuple(round(edge / SIDE, 4) for edge in line.box) for line in lines)
    return MarkedImage(identity, tuple(boxes))


def is_tied(counts: TextCounts) -> bool:
    """Return whether one of the groups has the text more often, and not by chance."""
    low, high = sorted(_shares(counts))
    return counts.p_value < _SIGNIFICANT and high >= _RATIO * low


def check_text_ties(evidence: Evidence, groups: Sequence[TextGroup]) -> Iterator[Finding]:
    """Report text that a class or, within a class, a split has more often."""
    lines = evidence.text_lines()
    for number, one in enumerate(groups[0].comparisons if groups else ()):
        tied = [group for group in groups if is_tied(group.comparisons[number])]
        if not tied:
            continue
        parts = [_words(group, group.comparisons[number]) for group in tied[:_SHOWN]]
        if more := len(tied) - len(parts):
            words = "further group of similar text also differs"
            parts.append(plural(more, words, "further groups of similar text also differ"))
        files = [identity for identity, own in zip(evidence.ids, lines, strict=True) if own]
        within = f"among the images of {one.target}, " if one.kind == "shift" else ""
        others = (part[0].upper() + part[1:] for part in parts[1:])
        problem = within + ". ".join([parts[0], *others])
        if one.kind == "shortcut":
            first, second = _shares(tied[0].comparisons[number])
            severity: Severity = "serious" if abs(first - second) > _SERIOUS else "warning"
            yield make_finding(
                "text-tied-to-class",
                severity,
                problem,
                files,
                count=max(group.count for group in tied),
                consequence="a network can read the class from the text; it performs well here, "
                "and fails on images without the text or with it in the other class",
                remedy="mask the text, or draw text on images of every class while training "
                "(augment.text), and report results without the images that have it",
            )
            continue
        yield make_finding(
            "text-shift",
            "warning",
            problem,
            count=max(group.count for group in tied),
            consequence=f"what a network learns from the text does not hold on the "
            f"{SETS[one.groups[0]]}",
            remedy="mask the text, and report results without the images that have it",
        )


def _recurring(
    lines: Sequence[Sequence[TextLine]], seed: int = 0
) -> list[tuple[str, dict[int, TextLine]]]:
    """Return the usual place, rows and lines of the text that recurs, the most frequent first.

    Of more than 20,000 lines, as many are drawn at random and grouped; the others join the groups
    that recur.
    """
    members = [(row, line) for row, own in enumerate(lines) for line in own]
    drawn, others = members, members[:0]
    if len(members) > _MAX_GROUPED:
        chosen = np.zeros(len(members), bool)
        rng = np.random.default_rng(seed)
        chosen[rng.choice(len(members), _MAX_GROUPED, replace=False)] = True
        drawn = [one for one, own in zip(members, chosen.tolist(), strict=True) if own]
        others = [one for one, own in zip(members, chosen.tolist(), strict=True) if not own]
    groups, means = _alike(drawn)
    kept = [number for number, group in enumerate(groups) if len(dict(group)) >= _RECURRING]
    groups = [groups[number] for number in kept]
    for row, line in others if kept else ():
        similar = means[kept] @ _standard(line.shape)
        if similar[best := int(similar.argmax())] >= _ALIKE:
            groups[best].append((row, line))
    found = [
        (
            Counter(_place(line) for _, line in group).most_common(1)[0][0],
            dict(sorted(group, key=_row)),
        )
        for group in groups
    ]
    return sorted(found, key=lambda one: -len(one[1]))


def _row(member: tuple[int, TextLine]) -> int:
    return member[0]


def _place(line: TextLine) -> str:
    left, top, right, bottom = line.box
    across, down = ((low + high) * 3 // (2 * SIDE) for low, high in ((left, right), (top, bottom)))
    return f"{('upper', 'middle', 'lower')[down]} {('left', 'centre', 'right')[across]}"


def _alike(
    members: Sequence[tuple[int, TextLine]],
) -> tuple[list[list[tuple[int, TextLine]]], NDArray[np.float64]]:
    """Group lines by shape: each joins the group whose mean shape is most similar.

    Returns the groups and their mean shapes, (groups, pixels), of length 1.
    """
    groups: list[list[tuple[int, TextLine]]] = []
    sums = np.zeros((64, SHAPE[0] * SHAPE[1]))
    norms = np.ones(64)
    for row, line in members:
        shape, count = _standard(line.shape), len(groups)
        similar = sums[:count] @ shape / norms[:count]
        best = int(similar.argmax()) if count else 0
        if not count or similar[best] < _ALIKE:
            best = count
            groups.append([])
            if count == len(sums):
                sums = np.concatenate([sums, np.zeros_like(sums)])
                norms = np.concatenate([norms, np.ones_like(norms)])
        sums[best] += shape
        norms[best] = np.linalg.norm(sums[best])
        groups[best].append((row, line))
    return groups, sums[: len(groups)] / norms[: len(groups), None]


def _standard(shape: str) -> NDArray[np.float64]:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(shape), np.uint8)).astype(np.float64)
    centred = bits - bits.mean()
    return np.asarray(centred / max(1e-9, float(np.linalg.norm(centred))))


def _both(has: Bools, y_true: Bools) -> tuple[int, int]:
    return int((has & y_true).sum()), int((has & ~y_true).sum())


def _p_value(has: Bools, y_true: Bools, patients: NDArray[np.intp]) -> float:
    """Return the p-value of Fisher's test on patients; one counts if any of its images has it."""
    counts = []
    for side in (y_true, ~y_true):
        counts += [len(np.unique(patients[side & has])), len(np.unique(patients[side]))]
    return fisher_exact(counts[0], counts[1] - counts[0], counts[2], counts[3] - counts[2])


def fisher_exact(a: int, b: int, c: int, d: int) -> float:
    """Return the two-sided p-value of Fisher's exact test of the table ((a, b), (c, d)).

    Equal to that of `scipy.stats.fisher_exact`, whose import takes a third of a second.
    """
    from scipy.special import gammaln

    def choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))

    first, second, total = a + b, c + d, a + c
    k = np.arange(max(0, total - second), min(first, total) + 1)
    logs = choose(first, k) + choose(second, total - k)
    p = np.exp(logs - logs.max())
    own = p[a - k[0]]
    return float(min(1.0, p[p <= own * (1 + 1e-7)].sum() / p.sum()))


def _shares(counts: TextCounts) -> tuple[float, float]:
    """Return the shares of images with the text in both groups."""
    return counts.counts[0] / counts.totals[0], counts.counts[1] / counts.totals[1]


def _words(group: TextGroup, counts: TextCounts) -> str:
    parts = [
        f"{share(n, total)} of {images(total)} of {'the ' if name in SETS else ''}"
        f"{SETS.get(name, name)}"
        for name, n, total in zip(counts.groups, counts.counts, counts.totals, strict=True)
    ]
    what = f"similar text at the {group.place}" if group.place else "burnt-in text"
    return f"{what} is in {join_names(parts)}"
