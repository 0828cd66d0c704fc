"""Reads classes from paths with a regular expression."""

from __future__ import annotations

from collections.abc import Callable

from plainfilm.data.sources.options import compile_pattern
from plainfilm.errors import UsageError


def compile_label_pattern(pattern: str) -> Callable[[str], str | None]:
    """Return a function that reads the class from a path below the root, or returns None.

    The expression is searched in the path; its only group is the class.

    Examples
    --------
    >>> label_of = compile_label_pattern(r"_(\\d)\\.png$")
    >>> label_of("CXR/0001_1.png"), label_of("CXR/0001.png")
    ('1', None)
    """
    remedy = r"give an expression with one group for the class, such as '_(\d)\.png$'"
    compiled = compile_pattern("label_pattern", pattern, remedy)
    if compiled.groups != 1:
        raise UsageError(
            f"label_pattern= has {compiled.groups} groups instead of 1",
            received=repr(pattern),
            remedy=remedy,
        )

    def label_of(path: str) -> str | None:
        match = compiled.search(path)
        return (match[1] or "").strip() or None if match else None

    return label_of
