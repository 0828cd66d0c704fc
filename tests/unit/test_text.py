"""Counts are written with the right number of their noun."""

from __future__ import annotations

from plainfilm._text import plural


def test_only_one_takes_the_singular() -> None:
    assert [plural(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


def test_irregular_nouns_and_verbs() -> None:
    assert plural(1, "copy", "copies") == "1 copy"
    assert plural(2, "image is", "images are") == "2 images are"


def test_thousands_are_separated() -> None:
    assert plural(5856, "image") == "5,856 images"
    assert plural(5856, "image", separator=" ") == "5 856 images"
