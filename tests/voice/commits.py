"""The rule of commit subjects: ``area: imperative verb + object``."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.voice import phrases
from tests.voice.check import Finding, Pattern, words

SUBJECT = 65
#: The commit that adds this file is the last one that may break the rule.
ADDED = "tests/voice/commits.py"
_FORM = re.compile(r"[a-z0-9_., /-]+: (?P<rest>[a-z].*)")
_IMPERATIVE = Pattern([phrases.IMPERATIVE], before=r"\A")


class HistoryError(Exception):
    """The commits cannot be read: no git, no repository, an unknown revision."""


def check_commits(root: Path, revisions: str | None) -> list[Finding]:
    """Check ``BASE..HEAD`` without merges, by default the descendants of the commit that adds the check.

    In a shallow clone the oldest commit takes the place of that one. Raises :class:`HistoryError`.
    """
    if revisions is None:
        added = _git(root, "log", "--diff-filter=A", "--format=%H", "--", ADDED).split()
        if not added:
            raise HistoryError(f"no commit adds {ADDED}")
        chosen = ["--ancestry-path", f"{added[-1]}..HEAD"]
    else:
        chosen = [revisions]
    log = _git(root, "log", "--no-merges", "--format=%h %s", *chosen, "--")
    return [
        Finding(f"commit {commit}", 1, phrase, advice, "commit")
        for commit, _, subject in (line.partition(" ") for line in log.splitlines())
        for phrase, advice in check_subject(subject)
    ]


def check_subject(subject: str) -> Iterator[tuple[str, str]]:
    """Yield each problem of a subject: the phrase and the advice."""
    if len(subject) > SUBJECT:
        yield subject, f"subject of {len(subject)} characters; at most {SUBJECT}"
    form = _FORM.fullmatch(subject)
    if form is None:
        yield subject, "use 'area: imperative verb + object', in lower case"
    for match, _, phrase in _IMPERATIVE.find(form["rest"] if form else ""):
        yield match[0], phrase.advice
    for _, rejected, advice in words(subject):
        yield rejected, advice


def _git(root: Path, *arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as problem:
        raise HistoryError("git is not installed") from problem
    except subprocess.CalledProcessError as problem:
        raise HistoryError(problem.stderr.strip()) from problem
