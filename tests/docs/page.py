"""Reading a page of the documentation: its fenced blocks, and the comments before them that say how to run them.

<!-- on: desk -->            on which machine; the first one is `laptop`
<!-- in: ~/notes -->         in which folder; `bash`: by bash
<!-- exit: 0 1 -->           how each command may end
<!-- not run: REASON -->     it cannot run in a test
<!-- prepare ... -->         commands that a reader has no need of
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_COMMENT = re.compile(r"<!-- *(.*?) *-->\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """``line`` is where it begins; ``said`` are the comments right before it, by their first word."""

    page: Path
    line: int
    language: str
    text: str
    said: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text()
    found = []
    for match in re.finditer(r"((?:<!-- .*?-->\n)*)^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        said = {}
        for comment in _COMMENT.findall(match[1]):
            name, _, value = comment.partition("\n" if comment.startswith("prepare") else ":")
            said[name.strip()] = value.strip()
        found.append(Block(page, text.count("\n", 0, match.start(2)) + 1, match[2], match[3], said))
    return found


def inline(page: Path) -> list[str]:
    """What stands in the text as code, outside of blocks."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]
