"""Writes the rows of a document as a CSV table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

from plainfilm._json import to_json

_LEFT_OUT = frozenset({"method", "reason"})


def to_csv(rows: Iterable[object]) -> str:
    """Return dataclasses or mappings as CSV, one row each.

    A nested value has its path as its name, without ``metrics``: ``auroc_low``,
    ``difference_auroc_low``. The method and reason of an interval are left out.
    """
    flat = [dict(_flatten(to_json(row), ())) for row in rows]
    text = io.StringIO(newline="")
    names = dict.fromkeys(name for row in flat for name in row)
    writer = csv.DictWriter(text, [*names], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flatten(value: object, path: tuple[str, ...]) -> Iterable[tuple[str, object]]:
    if not isinstance(value, Mapping):
        yield "_".join(path), value
        return
    for key, own in value.items():
        if key not in _LEFT_OUT:
            yield from _flatten(own, path if key == "metrics" else (*path, key))
