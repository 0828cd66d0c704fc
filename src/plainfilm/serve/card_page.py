"""Renders a model card, which is Markdown, as a web page."""

from __future__ import annotations

import html
import re

from markdown_it import MarkdownIt

# HTML in a card is escaped, and no image is loaded.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
_FRONT_MATTER = re.compile(r"\A---\n.*?^---\n", re.DOTALL | re.MULTILINE)  # for model hubs
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Model card of {name}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color-scheme: light dark }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
td, th {{ border: 1px solid #8888; padding: .3rem .6rem; text-align: left; vertical-align: top }}
pre {{ overflow: auto; padding: .8rem; border: 1px solid #8888 }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def card_page(markdown: str, name: str) -> str:
    """Return the HTML page of a model card."""
    body = (
        _MARKDOWN.render(_FRONT_MATTER.sub("", markdown)) if markdown else "<p>No model card.</p>"
    )
    return _PAGE.format(name=html.escape(name), body=body)
