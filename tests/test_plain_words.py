"""Names, comments, messages and docs are plain English, without the words of `BANNED`.

The rule: say what the software does. Code is no person: it does not tell, judge, lie or stand.
Filler such as "of its own" or "as ever" says nothing.
"""

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
    """Yield the first line number and the text of every comment, string and definition's name."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif name := defined_name(node):
            yield getattr(node, "lineno", 1), name.replace("_", " ")


def defined_name(node: ast.AST) -> str:
    """The name that a node defines (function, class, argument, variable), or an empty string."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.arg):
        return node.arg
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else ""


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


def files_in(start: Path) -> list[Path]:
    """The file itself, or the files of a folder that people read; not this one."""
    if start.is_file():
        return [start]
    found = [path for path in start.rglob("*") if path.suffix in (".py", ".md", ".js", ".html")]
    return sorted(path for path in found if path != Path(__file__).resolve())


@pytest.mark.parametrize(
    "room", ["src", "benchmarks", "tests", "examples", "docs", "README.md", "CHANGELOG.md"]
)
def test_banned_words_are_absent(room: str) -> None:
    hits = [hit for path in files_in(ROOT / room) for hit in hits_in(path)]
    assert not hits, "say what the software does, in plain English:\n" + "\n".join(hits)


def test_hits_are_located_by_line() -> None:
    source = '"""A lock.\n\nIt lies\nof its\nown."""\nprint("it " "was told")  # as ever\n'
    source += "def test_judged(told_ones): beside = told_ones.tell\n"
    found = sorted(find_banned(texts_of_python(source)))
    assert found == [
        *((3, "lies"), (4, "of its own"), (6, "as ever"), (6, "told")),
        *((7, "beside"), (7, "judged"), (7, "told")),
    ]
    assert not list(find_banned(iter([(1, "layout, standard, likely; a tool")])))
