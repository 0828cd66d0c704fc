"""Builds HTML elements; text that is not markup is always escaped."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable
from functools import partial

from PIL import Image

# Control characters break the page, bidirectional ones can disguise the ending of a file name, and
# lone surrogates (from names that are not UTF-8) cannot be encoded.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_VOID = frozenset({"br", "hr", "img", "meta"})


class Html(str):
    """Text that is markup; only the functions of this module make it from other text."""

    __slots__ = ()


def visible(text: str) -> str:
    """Return ``text`` with invisible and unencodable characters written as ``\\uXXXX``."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escape(text: str) -> str:
    return text if isinstance(text, Html) else html.escape(visible(text))


def element(name: str, *children: str, **attributes: str | bool | None) -> Html:
    """Return one element; children and attributes that are not ``Html`` are escaped.

    A trailing underscore of an attribute's name is dropped, other underscores become hyphens. True
    writes the bare name; False and None leave the attribute out.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        plain = key.rstrip("_").replace("_", "-")
        written.append(f" {plain}" if value is True else f' {plain}="{_escape(str(value))}"')
    opening = f"<{name}{''.join(written)}>"
    if name in _VOID:
        return Html(opening)
    return Html(f"{opening}{''.join(map(_escape, children))}</{name}>")


lead = partial(element, "p", class_="lead")
"""Return a paragraph in large letters."""
quiet = partial(element, "p", class_="quiet")
"""Return a paragraph in small grey letters."""


def data_uri(image: Image.Image, form: str, **options: int) -> str:
    """Return an image as a URI that contains its data; ``form`` is a format of Pillow."""
    data = io.BytesIO()
    image.save(data, form, optimize=True, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"


def folded(summary: str, *body: str, class_: str | None = None) -> Html:
    """Return content that a reader unfolds."""
    return element("details", element("summary", summary), *body, class_=class_)


def join(parts: Iterable[str], between: str = "") -> Html:
    """Return the parts as one piece of markup; those that are not markup are escaped."""
    return Html(_escape(between).join(map(_escape, parts)))
