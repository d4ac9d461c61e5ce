"""Extraction of the texts a person reads: docstrings, comments, literals, documentation, test names."""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from pathlib import Path


class Kind(Enum):
    """The place of a text; the rules differ by it."""

    DOCSTRING = "docstring"
    COMMENT = "comment"
    LITERAL = "literal"
    PROSE = "prose"
    TEST = "test name"


@dataclass(frozen=True, slots=True)
class Text:
    """A text on the lines ``first`` to ``last``; ``{}`` stands for a replacement field of an f-string."""

    kind: Kind
    content: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Escape:
    """A comment ``voice: reason``; ``alone`` if its line has nothing else."""

    line: int
    reason: str
    alone: bool


@dataclass(frozen=True, slots=True)
class Source:
    """A file, taken apart."""

    path: str
    lines: tuple[str, ...]
    texts: tuple[Text, ...]
    escapes: tuple[Escape, ...]


_ESCAPE = re.compile(r"#\s*voice:(?P<reason>.*)")
_ESCAPE_MARKDOWN = re.compile(r"<!--\s*voice:(?P<reason>.*?)-->")
_PRAGMA = re.compile(r"#\s*(noqa|type:|pragma|fmt:|mypy:|ruff:)|#!")
#: Strings and comments of Python. Those of the grammar before PEP 701, which Python 3.11 requires.
_LEXEME = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""'
    r"|'''(?:[^'\\]|\\.|'(?!''))*'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'(?:[^'\\\n]|\\.)*'"
    r"|(?P<comment>\#[^\n]*)",
    re.DOTALL,
)


def read(path: Path, root: Path) -> Source:
    """Return the texts of a file; which of its parts count depends on its name."""
    content = path.read_text(encoding="utf-8")
    name = path.relative_to(root).as_posix()
    if path.suffix == ".py" or content.startswith("#!/usr/bin/python3\n"):
        return python(name, content)
    if path.suffix == ".md":
        return markdown(name, content)
    if path.name == "changelog":
        return _debian(name, content, re.compile(r"\A.*?(?=^ -- |\Z)", re.DOTALL | re.MULTILINE))
    if path.name == "control":
        return _debian(name, content, re.compile(r"^Description:.*\n(?: .*\n)*", re.MULTILINE))
    return hashed(name, content)


def markdown(name: str, content: str) -> Source:
    """Return a Markdown file as one text, without its escapes."""
    escapes = []
    for number, line in enumerate(content.split("\n"), 1):
        if match := _ESCAPE_MARKDOWN.search(line):
            escapes.append(Escape(number, match["reason"].strip(), line.strip() == match[0]))
    prose = _ESCAPE_MARKDOWN.sub("", content)
    return _source(name, content, [Text(Kind.PROSE, prose, 1, content.count("\n") + 1)], escapes)


def hashed(name: str, content: str) -> Source:
    """Return the comments of a file in which ``# `` begins a comment. ``#bgp = no`` is an option."""
    comments = [
        (number, match.start(), match[0])
        for number, line in enumerate(content.split("\n"), 1)
        if (match := re.search(r"(?<!\S)# .*", line))
    ]
    return _source(name, content, *_comments(content.split("\n"), comments))


def python(name: str, content: str) -> Source:
    """Return the docstrings, literals, comments and test names of a Python file."""
    lines = content.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    found = []
    for match in _LEXEME.finditer(content):
        if match["comment"]:
            row = bisect_right(starts, match.start())
            found.append((row, match.start() - starts[row - 1], match["comment"]))
    texts, escapes = _comments(lines, found)
    texts += _nodes(ast.parse(content))
    return _source(name, content, texts, escapes)


def _source(name: str, content: str, texts: list[Text], escapes: list[Escape]) -> Source:
    return Source(name, tuple(content.split("\n")), tuple(texts), tuple(escapes))


def _debian(name: str, content: str, pattern: re.Pattern[str]) -> Source:
    texts = []
    for match in pattern.finditer(content):
        first = content.count("\n", 0, match.start()) + 1
        texts.append(Text(Kind.PROSE, match[0], first, first + match[0].count("\n")))
    return _source(name, content, texts, [])


def _comments(lines: list[str], found: list[tuple[int, int, str]]) -> tuple[list[Text], list[Escape]]:
    """Return the comments, one text per block of lines, and the escapes among them."""
    texts: list[Text] = []
    escapes: list[Escape] = []
    block: list[str] = []
    previous = (0, 0)
    for row, column, comment in found:
        alone = not lines[row - 1][:column].strip()
        prose = comment
        if match := _ESCAPE.search(comment):
            prose = comment[: match.start()]
            escapes.append(Escape(row, match["reason"].strip(), alone and not prose))
        if pragma := _PRAGMA.search(prose):
            prose = prose[: pragma.start()]
        prose = re.sub(r"^#+:? ?", "", prose)
        if not prose.strip():
            continue
        if alone and block and previous == (row - 1, column):
            texts.pop()
        else:
            block = []
        block.append(prose)
        texts.append(Text(Kind.COMMENT, "\n".join(block), row - len(block) + 1, row))
        previous = (row, column) if alone else (0, 0)
    return texts, escapes


def _nodes(tree: ast.Module) -> Iterator[Text]:
    """Yield the string literals and test names of a module. A string that is a statement is a docstring."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Constant):
            content = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(content, str) and " " in content:  # A word alone is an identifier.
                yield _text(Kind.LITERAL, node, content)
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                yield _text(Kind.DOCSTRING, node, node.value.value)
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Mutant":
            pending += [*node.args[:1], *node.args[3:], *node.keywords]  # the two others are code
            continue
        if isinstance(node, ast.JoinedStr):
            pieces = [piece.value if isinstance(piece, ast.Constant) else "{}" for piece in node.values]
            yield _text(Kind.LITERAL, node, "".join(map(str, pieces)))
            pending += [piece for piece in node.values if not isinstance(piece, ast.Constant)]
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
            yield Text(Kind.TEST, node.name, node.lineno, node.lineno)
        pending += ast.iter_child_nodes(node)


def _text(kind: Kind, node: ast.expr | ast.stmt, content: str) -> Text:
    return Text(kind, content, node.lineno, node.end_lineno or node.lineno)
