"""Reads the fenced code blocks of the README and the docs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>.+?) -->\n)?^(?P<indent> *)```(?P<language>\w+)\n"
    r"(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
NOT_CODE = {"text"}  # output and file trees


@dataclass(frozen=True)
class Block:
    """A fenced code block of a page, and the reason why it is not run."""

    language: str
    text: str
    reason: str | None


def read_blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page."""
    found = []
    for match in FENCE.finditer(page.read_text("utf-8")):
        lines = match["text"].splitlines(keepends=True)
        text = "".join(line.removeprefix(match["indent"]) for line in lines)
        if match["language"] not in NOT_CODE:
            found.append(Block(match["language"], text, match["reason"]))
    return found
