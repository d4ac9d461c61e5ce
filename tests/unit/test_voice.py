"""The voice check: each rule rejects a planted sentence, each escape excuses one.

The planted sentences are the examples of phrases.py.
"""

import subprocess
from pathlib import Path
from textwrap import fill

import pytest

from tests.voice import __main__ as command
from tests.voice import phrases
from tests.voice.check import Finding, check
from tests.voice.commits import HistoryError, check_commits, check_subject
from tests.voice.phrases import Phrase
from tests.voice.texts import hashed, markdown, python, read

WORD = phrases.WORDS[0].example
OPENING = phrases.OPENINGS[0].example


def _python(content: str, path: str = "pybal/x.py") -> list[Finding]:
    return check(python(path, content))


def _found(content: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.rule) for finding in _python(content)]


@pytest.mark.parametrize("phrase", phrases.WORDS, ids=lambda phrase: phrase.example)
def test_word_is_rejected_with_its_advice(phrase: Phrase) -> None:
    assert phrase.advice in {finding.advice for finding in _python(f"x = {phrase.example!r}\n")}


@pytest.mark.parametrize("phrase", phrases.OPENINGS, ids=lambda phrase: phrase.example)
def test_opening_is_rejected_with_its_advice(phrase: Phrase) -> None:
    first, second = _python(f"# {phrase.example}\n# It ends. {phrase.example}\n")
    assert (first.rule, first.line, first.advice) == ("opening", 1, phrase.advice)
    assert (second.rule, second.line, second.advice) == ("opening", 2, phrase.advice)


def test_opening_after_the_object_of_a_log_line_is_rejected() -> None:
    assert _found(f"x = f'{{y}}: {OPENING}'\n") == [(1, "opening")]


@pytest.mark.parametrize("phrase", phrases.FIRST_WORDS, ids=lambda phrase: phrase.example)
def test_docstring_first_word_is_rejected_with_its_advice(phrase: Phrase) -> None:
    (finding,) = _python(f'def f():\n    """{phrase.example}"""\n')
    assert (finding.rule, finding.line, finding.advice) == ("docstring", 2, phrase.advice)


@pytest.mark.parametrize("text", phrases.BEFORE)
def test_text_before_the_rewriting_is_rejected(text: str) -> None:
    assert _python(f"# {text}\n")


@pytest.mark.parametrize("text", phrases.AFTER)
def test_text_after_the_rewriting_is_accepted(text: str) -> None:
    assert _python(f'"""{fill(text, 90)}"""\nx = {text!r}\n# {text}\n') == []


@pytest.mark.parametrize("length", [100, 101])
def test_docstring_first_line_has_at_most_100_characters(length: int) -> None:
    line = "Return " + "x" * (length - 7)
    assert _found(f'"""{line}\n\n{"x" * 110}\n"""\n') == [(1, "docstring")] * (length > 100)


@pytest.mark.parametrize(
    ("name", "rejected"),
    [
        ("test_peer_closes_session_when_idle", False),
        ("test_" + "x" * 65, False),
        ("test_" + "x" * 66, True),
        ("test_Peer_closes", True),
        ("testPeer", True),
        (phrases.SUBJECT.example, True),
        ("test_peer_" + phrases.WORDS[0].example.replace(" ", "_"), True),
        ("testing", False),
    ],
)
def test_test_name_follows_rule_11(name: str, rejected: bool) -> None:
    code = f"async def {name}(): pass\n"
    assert bool(_python(code, "tests/unit/test_x.py")) is rejected
    assert _python(code) == []


@pytest.mark.parametrize(
    ("subject", "rejected"),
    [
        ("sources: refuse a list that lost most of its members", False),
        ("bgp, ipvs: process updates in order", False),
        ("sources: need two members", False),
        ("sources: refuse " + "x" * 49, False),
        ("sources: refuse " + "x" * 50, True),
        ("refuse a list", True),
        ("sources: Refuse a list", True),
        ("sources: refused a list", True),
        ("sources: refusing a list", True),
        ("sources: the list is refused", True),
        (phrases.IMPERATIVE.example, True),
        (f"sources: send {WORD}", True),
    ],
)
def test_commit_subject_follows_rule_10(subject: str, rejected: bool) -> None:
    assert bool(list(check_subject(subject))) is rejected


@pytest.mark.parametrize(
    "content",
    [
        f'def f():\n    """Return x.\n\n    {WORD}\n    """\n',
        f"x = (\n    1,\n\n    # {WORD}\n)\n",
        f"x = (\n    1,\n    2,\n    3,  #: {WORD}\n)\n",
        f"x = f(\n    'a' 'b c',\n    3,\n    f'{{y}} {WORD}',\n)\n",
        f"x = f(\n    '#',\n    1,\n    b'{WORD}',\n)\n",
    ],
    ids=["docstring", "comment", "trailing comment", "f-string", "bytes"],
)
def test_finding_names_the_line_of_the_phrase(content: str) -> None:
    assert _found(content) == [(4, "word")]


@pytest.mark.parametrize(
    "content",
    [
        f"x = '{WORD.split()[-1]}'\n",
        f"# Return ``{WORD}``.\n",
        f"# noqa: X # {WORD}\n",
        f"# For example: a. {OPENING[0].lower()}{OPENING[1:]}\n",
        "x = 'all at once'\n",
        "x = 'refused: too many servers at once'\n",
        "x = 1 if y is None else 2  # Return 1 if y is None.\n",
    ],
    ids=["identifier", "code", "pragma", "abbreviation", "accepted", "accepted number", "None"],
)
def test_text_without_prose_is_accepted(content: str) -> None:
    assert [finding.rule for finding in _python(content)] == []


@pytest.mark.parametrize(
    "content",
    [
        f"x = '{WORD}'  # voice: PyBal 1.15\n",
        f"# voice: PyBal 1.15\nx = '{WORD}'\n",
        f"# {WORD}  # voice: PyBal 1.15\n",
        f'"""Return x.\n\n{WORD}\n"""  # voice: PyBal 1.15\n',
        f"# voice: PyBal 1.15\nx = '''a\n\n{WORD}'''\n",
        f"# voice: PyBal 1.15\n# {OPENING}\n",
    ],
    ids=["same line", "line before", "comment", "end of docstring", "before a long literal", "opening"],
)
def test_escape_with_a_reason_excuses_a_text(content: str) -> None:
    assert _found(content) == []
    assert _found(content.replace("# voice: PyBal 1.15", "#"))


def test_escape_without_a_reason_excuses_no_text() -> None:
    assert _found(f"x = '{WORD}'  # voice:\n") == [(1, "word"), (1, "escape")]


def test_escape_of_another_line_excuses_no_text() -> None:
    assert _found(f"y = 1  # voice: reason\nx = '{WORD}'\n") == [(2, "word"), (1, "escape")]


def test_unused_escape_is_rejected() -> None:
    assert _found("x = 1  # voice: reason\n") == [(1, "escape")]


def test_markdown_openings_are_found_outside_code_and_words_in_blocks() -> None:
    text = f"# {OPENING}\n\n* {OPENING}\n\n```\n# {OPENING}\n{WORD}\n```\n\n`{WORD}`\n"
    findings = [(finding.line, finding.rule) for finding in check(markdown("README.md", text))]
    assert sorted(findings) == [(1, "opening"), (3, "opening"), (7, "word")]


def test_markdown_escape_excuses_its_line_and_the_next() -> None:
    text = f"# {OPENING} <!-- voice: a question -->\n\n<!-- voice: a quotation -->\n{WORD}\n{WORD}\n"
    assert [finding.line for finding in check(markdown("README.md", text))] == [5]


def test_option_without_a_blank_is_no_comment() -> None:
    source = hashed("etc/pybal.conf", f"#x = {WORD}\n# {WORD}\ny = 1 # {WORD}\n")
    assert [finding.line for finding in check(source)] == [2, 3]


def test_changelog_is_checked_up_to_its_newest_entry(tmp_path: Path) -> None:
    path = tmp_path / "changelog"
    path.write_text(f"pybal (2)\n\n  * {WORD}\n\n -- A\n\npybal (1)\n\n  * {WORD}\n\n -- A\n")
    assert [finding.line for finding in check(read(path, tmp_path))] == [3]


def test_control_is_checked_in_its_description(tmp_path: Path) -> None:
    path = tmp_path / "control"
    path.write_text(f"Source: {WORD}\n\nPackage: x\nDescription: a\n {WORD}\n")
    assert [finding.line for finding in check(read(path, tmp_path))] == [5]


def _git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def _commit(root: Path, subject: str) -> None:
    _git(root, "commit", "--allow-empty", "-m", subject)


def test_commits_are_checked_after_the_one_that_adds_the_check(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-b", "main")
    _commit(tmp_path, "Old")
    (tmp_path / "tests/voice").mkdir(parents=True)
    (tmp_path / "tests/voice/commits.py").touch()
    _git(tmp_path, "add", ".")
    _commit(tmp_path, "Check")
    _git(tmp_path, "branch", "side", "HEAD~")
    _commit(tmp_path, "tests: check voice")
    assert check_commits(tmp_path, None) == []
    _git(tmp_path, "checkout", "side")
    _commit(tmp_path, "Parallel")
    assert [finding.phrase for finding in check_commits(tmp_path, "main..side")] == ["Parallel"]
    _git(tmp_path, "checkout", "main")
    _git(tmp_path, "merge", "--no-ff", "-m", "Merge side", "side")
    assert check_commits(tmp_path, None) == []
    _commit(tmp_path, "New")
    assert [finding.phrase for finding in check_commits(tmp_path, None)] == ["New"]
    assert [finding.phrase for finding in check_commits(tmp_path, "HEAD~..HEAD")] == ["New"]


@pytest.mark.parametrize("revisions", [None, "absent..HEAD"])
def test_commits_are_not_checked_without_their_history(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], revisions: str | None
) -> None:
    _git(tmp_path, "init")
    _commit(tmp_path, "Old")
    with pytest.raises(HistoryError):
        check_commits(tmp_path, revisions)
    assert command.main(["--commits", revisions] if revisions else [], tmp_path) == 0
    assert "commits not checked: " in capsys.readouterr().err


def test_command_prints_sorted_findings_and_returns_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pybal").mkdir()
    (tmp_path / "pybal/b.py").write_text(f"# {WORD}\n")
    (tmp_path / "pybal/a.py").write_text(f"#\n# {WORD}\n# {WORD}\n")
    assert command.main(["pybal"], tmp_path) == 1
    places = [line.split(' "')[0] for line in capsys.readouterr().out.splitlines()]
    assert places == ["pybal/a.py:2:", "pybal/a.py:3:", "pybal/b.py:1:"]
    assert command.main(["--count", "pybal"], tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[0] == "     3 word       pybal"


def test_command_reads_all_files_but_the_list_of_phrases(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["tests/voice", "tests/unit/test_voice.py"]) == 0
    assert capsys.readouterr().out == ""
