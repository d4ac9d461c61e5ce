"""The rules of the project's voice, applied to the texts of a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.voice import phrases
from tests.voice.phrases import Phrase
from tests.voice.texts import Escape, Kind, Source, Text

FIRST_LINE = 100
TEST_NAME = 70


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A text that breaks a rule, with what to write instead."""

    path: str
    line: int
    phrase: str
    advice: str
    rule: str

    def __str__(self) -> str:
        return f'{self.path}:{self.line}: "{self.phrase}": {self.advice}'


class Pattern:
    """Phrases compiled to one regular expression, which reads a text once."""

    def __init__(self, entries: Iterable[Phrase], before: str = "", accepted: str = "(?!)") -> None:
        self._entries = tuple(entries)
        groups = (f"(?P<p{number}>{entry.pattern})" for number, entry in enumerate(self._entries))
        phrase = rf"\b(?:{accepted}|{'|'.join(groups)})\b".replace(" ", r"\s+")
        self._compiled = re.compile(before + phrase, re.IGNORECASE | re.MULTILINE)

    def find(self, content: str) -> Iterator[tuple[re.Match[str], str, Phrase]]:
        """Yield each match, the name of its group and the phrase of the list."""
        for match in self._compiled.finditer(content):
            if match.lastgroup:
                yield match, match.lastgroup, self._entries[int(match.lastgroup[1:])]


_WORDS = Pattern(phrases.WORDS, accepted=phrases.ACCEPTED)
#: The beginning of a text, sentence, paragraph, list item, heading, table cell, or what follows the object of a log line.
_OPENINGS = Pattern(
    phrases.OPENINGS, before=r"""(?:\A|[.!?][)"']*\s+|\n\s*\n\s*|^[ ]*(?:[*+|\#>-]+|\d+\.)[ ]+|\A\{\}:[ ])"""
)
_FIRST_WORD = Pattern(phrases.FIRST_WORDS, before=r"\A")
_SUBJECT = Pattern([phrases.SUBJECT], before=r"\A")
_CODE = re.compile(r"(?<!`)(?:``[^`]+``|`[^`\n]+`)(?!`)")
_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_TEST_NAME = re.compile(r"test_[a-z0-9_]+")


def check(source: Source) -> list[Finding]:
    """Return the findings without an escape, and the escapes without a reason or without a use."""
    findings = []
    used = set()
    for text in source.texts:
        for finding in _check(source, text):
            escapes = {escape for escape in source.escapes if escape.reason and _covers(escape, text, finding.line)}
            used |= escapes
            if not escapes:
                findings.append(finding)
    for escape in source.escapes:
        if not escape.reason:
            findings.append(Finding(source.path, escape.line, "voice:", "give the reason: '# voice: reason'", "escape"))
        elif escape not in used:
            findings.append(Finding(source.path, escape.line, "voice:", "remove the unused escape", "escape"))
    return findings


def words(content: str) -> Iterator[tuple[int, str, str]]:
    """Yield the offset, the phrase and the advice for each rejected phrase of a text."""
    for match, group, phrase in _WORDS.find(content):
        yield match.start(group), " ".join(match[group].split()), phrase.advice


def _check(source: Source, text: Text) -> Iterator[Finding]:
    if text.kind is Kind.TEST:
        if source.path.startswith("tests/"):
            for phrase, advice in _test_name(text.content):
                yield Finding(source.path, text.first, phrase, advice, "test name")
        return
    content = text.content if text.kind is Kind.LITERAL else _CODE.sub(_blank, text.content)
    for offset, phrase, advice in words(content):
        yield Finding(source.path, _line(source, text, offset, phrase), phrase, advice, "word")
    for offset, phrase, advice in _openings(content, text.kind):
        yield Finding(source.path, _line(source, text, offset, phrase), phrase, advice, "opening")
    if text.kind is Kind.DOCSTRING:
        for phrase, advice in _first_line(text.content):
            yield Finding(source.path, text.first, phrase, advice, "docstring")


def _openings(content: str, kind: Kind) -> Iterator[tuple[int, str, str]]:
    if kind is Kind.PROSE:
        content = _FENCE.sub(_blank, content)
    for match, group, phrase in _OPENINGS.find(content):
        sentence = match[0].lstrip()[:1] in ".!?"
        if kind is Kind.DOCSTRING and match.start(group) == 0:
            continue  # FIRST_WORDS has all of them, and more.
        if not (sentence and match[group][0].islower()):
            yield match.start(group), " ".join(match[group].split()), phrase.advice


def _first_line(content: str) -> Iterator[tuple[str, str]]:
    line = content.strip().partition("\n")[0]
    if len(line) > FIRST_LINE:
        yield f"{line[:20]}…", f"first line of {len(line)} characters; at most {FIRST_LINE}"
    for match, _, phrase in _FIRST_WORD.find(line):
        yield match[0], phrase.advice


def _test_name(name: str) -> Iterator[tuple[str, str]]:
    if not re.match(r"test(_|[A-Z])", name):
        return
    if not _TEST_NAME.fullmatch(name):
        yield name, "use lower case, digits and underscores"
    if len(name) > TEST_NAME:
        yield name, f"name of {len(name)} characters; at most {TEST_NAME}"
    claim = name.removeprefix("test_").replace("_", " ")
    for match, _, phrase in _SUBJECT.find(claim):
        yield f"test_{match[0]}", phrase.advice
    for _, rejected, advice in words(claim):
        yield rejected, advice


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"\S", "¤", match[0])


def _line(source: Source, text: Text, offset: int, phrase: str) -> int:
    """Return the line of a phrase; the lines of a literal differ from those of its content."""
    if text.kind is not Kind.LITERAL:
        return text.first + text.content.count("\n", 0, offset)
    lines = range(text.first, text.last + 1)
    return next((line for line in lines if phrase in source.lines[line - 1]), text.first)


def _covers(escape: Escape, text: Text, line: int) -> bool:
    """Return whether an escape stands at the line, alone before it, or around a text of several lines."""
    if escape.line == line or (escape.alone and escape.line == line - 1):
        return True
    if text.kind in {Kind.DOCSTRING, Kind.LITERAL} and escape.line == text.last:
        return True
    return text.kind is not Kind.PROSE and escape.alone and escape.line == text.first - 1
