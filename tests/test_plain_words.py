"""The source, the docs and the changelog avoid the words that STYLE.md section 9 drops."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BANNED = re.compile(
    r"\b(?:beside|tells?|told|judg(?:e[sd]?|ing)|lies?|lay|stands?|stood|settle[sd]?"
    r"|nobody|whoever|hear[sd]?\s+of|without\s+a\s+word|as\s+ever"
    r"|of\s+(?:its|their|one's)\s+own|what\s+is\s+(?:\w+\s+){1,3}is)\b",
    re.IGNORECASE,
)
ALLOWED = {  # exact phrase: why it may stay
    "what is seen and what is heard": "the product in one line",
}


def texts_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Yield the first line number and the text of every comment and string."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def find_banned(texts: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the line number and the word of every hit outside the allowed phrases."""
    for line, text in texts:
        for phrase in ALLOWED:
            text = text.replace(phrase, "-" * len(phrase))
        for match in BANNED.finditer(text):
            yield line + text.count("\n", 0, match.start()), " ".join(match[0].split())


def hits_in(path: Path) -> list[str]:
    source = path.read_text(encoding="utf-8")
    texts = texts_of_python(source) if path.suffix == ".py" else iter([(1, source)])
    found = sorted(set(find_banned(texts)))
    return [f"{path.relative_to(ROOT)}:{line}: {word}" for line, word in found]


@pytest.mark.parametrize("room", ["src", "docs", "README.md", "CHANGELOG.md"])
def test_banned_words_are_absent(room: str) -> None:
    start = ROOT / room
    files = [start] if start.is_file() else sorted([*start.rglob("*.py"), *start.rglob("*.md")])
    hits = [hit for path in files for hit in hits_in(path)]
    assert not hits, "rewrite in plain English (STYLE.md section 9):\n" + "\n".join(hits)


def test_hits_are_located_by_line() -> None:
    source = '"""A lock.\n\nIt lies\nof its\nown."""\nprint("it " "was told")  # as ever\n'
    found = sorted(find_banned(texts_of_python(source)))
    assert found == [(3, "lies"), (4, "of its own"), (6, "as ever"), (6, "told")]
    assert not list(find_banned(iter([(1, "layout, standard, likely; a tool")])))
