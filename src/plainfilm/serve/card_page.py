"""A model card as a plain page: the little of Markdown that our cards use, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from plainfilm.report.html.markup import Html, element, join

__all__ = ["card_page"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}table{border-collapse:collapse;margin:1rem 0}"
    "td,th{border:1px solid #8888;padding:.3rem .6rem;text-align:left;vertical-align:top}"
    "pre{overflow:auto;padding:.8rem;border:1px solid #8888}"
)
_INLINE = re.compile(r"\*\*(?P<strong>[^*]+)\*\*|`(?P<code>[^`]+)`")


def card_page(markdown: str, name: str) -> str:
    """Return the HTML page of a model card; everything in it is escaped."""
    body = join(_blocks(_without_header(markdown)) if markdown else [element("p", "No card.")])
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"Model card of {name}"),
        element("style", Html(_STYLE)),
    )
    return "<!doctype html>\n" + element("html", head, element("body", body), lang="en")


def _without_header(markdown: str) -> list[str]:
    """Return the lines below the metadata that model hubs read."""
    lines = markdown.splitlines()
    if lines and lines[0] == "---" and "---" in lines[1:]:
        return lines[lines.index("---", 1) + 1 :]
    return lines


def _blocks(lines: Sequence[str]) -> Iterator[Html]:
    """Yield headings, tables, lists, code and paragraphs."""
    place = 0
    while place < len(lines):
        line = lines[place]
        kind = _kind(line)
        end = place + 1
        if kind == "code":
            while end < len(lines) and not lines[end].startswith("```"):
                end += 1
            yield element("pre", "\n".join(lines[place + 1 : end]))
            end += 1
        elif kind:
            while end < len(lines) and kind != "heading" and _belongs(kind, lines[end]):
                end += 1
            yield _block(kind, lines[place:end])
        place = end


def _kind(line: str) -> str:
    if line.startswith("```"):
        return "code"
    if re.match(r"#{1,6} ", line):
        return "heading"
    if line.startswith("|"):
        return "table"
    if line.startswith("- "):
        return "list"
    return "text" if line.strip() else ""


def _belongs(kind: str, line: str) -> bool:
    """Return whether a line goes on with a block; a list's items may be wrapped."""
    found = _kind(line)
    return found == kind or (kind == "list" and found == "text")


def _block(kind: str, lines: Sequence[str]) -> Html:
    if kind == "heading":
        marks, _, text = lines[0].partition(" ")
        return element(f"h{len(marks)}", _inline(text))
    if kind == "table":
        rows = [[cell.strip() for cell in _cells(line)] for line in lines]
        head, *body = [row for row in rows if not all(set(cell) <= {"-", ":"} for cell in row)]
        return element(
            "table",
            element("thead", element("tr", *(element("th", _inline(cell)) for cell in head))),
            element("tbody", *(element("tr", *(_cell(cell) for cell in row)) for row in body)),
        )
    if kind == "list":
        items = "\n".join(lines).removeprefix("- ").split("\n- ")
        return element("ul", *(element("li", _inline(" ".join(i.split("\n")))) for i in items))
    return element("p", _inline(" ".join(lines)))


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]


def _cell(text: str) -> Html:
    return element("td", _inline(text))


def _inline(text: str) -> Html:
    parts: list[str] = []
    place = 0
    for match in _INLINE.finditer(text):
        parts.append(text[place : match.start()])
        name = "strong" if match["strong"] else "code"
        parts.append(element(name, match[name]))
        place = match.end()
    return join([*parts, text[place:]])
