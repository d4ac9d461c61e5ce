"""Parsing of any text: deterministic settings or a ConfigError, without tokens in the messages."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from pybal.config.describe import describe
from pybal.config.errors import ConfigError
from pybal.config.parse import ParsedConfig, parse
from pybal.monitors.kinds import KINDS

ROOT = Path(__file__).parents[2]
REAL = [path.read_bytes() for path in (ROOT / "etc" / "pybal.conf", *sorted((ROOT / "tests/data/config").iterdir()))]
SECRET = "s3cr3t"

VALUES = [
    b"", b"yes", b"no", b"0", b"1", b"-1", b"65536", b".5", b"nan", b"1e400", b"9" * 5000, b"tcp", b"udp", b"mh",
    b"mh-port, sh-port", b"192.0.2.1", b"::", b"fe80::1%%eth0", b"(unspecified)", b"[]", b"[" * 3000, b"['a', \"b\"]",
    b"['a'", b"'", b"%", b"%%", b"%(ip)s", b"%(config)s", b"%(port)s%(nothing)s", b"http://[::1/", b"http://h:99999/",
    b"http://a:s3cr3t@h/", b"k8s://s3cr3t@h", b"k8s://s3cr3t", b"file://", b"etcd://h", b"['UDP', 'ProxyFetch']",
    b"__import__('os')", b"[server.host, 1, 'x']", b"\xff", b"\0", b"\xe2\x80\xa8", b"\r", b"a ; b",
]  # fmt: skip


def outcome(text: str | bytes) -> ParsedConfig | tuple[str, ...]:
    try:
        return parse(text, "f", KINDS)
    except ConfigError as error:
        problems = error.problems
    assert problems
    lines = 1 + (text.count("\n") if isinstance(text, str) else text.count(b"\n"))
    shown = [problem for problem in problems if not problem.found.endswith("more problems of this kind")]
    assert all(1 <= problem.line <= lines and problem.found and problem.wanted for problem in shown)
    return tuple(map(str, problems))


def judge(text: str | bytes) -> None:
    found = outcome(text)
    assert outcome(text) == found
    if isinstance(found, ParsedConfig):
        said = (describe(found.settings), *map(str, found.warnings))
        assert len(said[0].splitlines()) == 1 + len(found.settings.services)
    else:
        said = found
        assert list(dict.fromkeys(found)) == list(found)
    assert all(line.isprintable() for text in said for line in text.splitlines())


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real file, or two of them one after the other, with a few mistakes."""
    text = draw(st.sampled_from(REAL))
    if draw(st.integers(0, 9)) == 0:
        text += draw(st.sampled_from(REAL))
    lines = text.split(b"\n")
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 6)):
            case 0:
                lines[at] = b""
            case 1:
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case 2:
                where = draw(st.integers(0, max(0, len(lines[at]) - 1)))
                lines[at] = lines[at][:where] + bytes([draw(st.integers(0, 255))]) + lines[at][where + 1 :]
            case 3 | 4:
                key, mark, _ = lines[at].lstrip(b"#").partition(b"=")
                lines[at] = key + mark + b" " + draw(st.sampled_from(VALUES))
            case 5:
                lines.insert(at, lines[at])
            case _:
                lines[at] = draw(st.sampled_from([b" ", b"[", b"[global]", b"[DEFAULT]", b"# "])) + lines[at]
    return b"\n".join(lines)


@given(st.binary(max_size=2000))
@example(b"\xef\xbb\xbf")
@example(b"[")
@example(b"[a]\n=\n:\n\n ")
def test_parse_of_any_bytes_returns_settings_or_raises_config_error(text: bytes) -> None:
    judge(text)


@given(st.text(max_size=500))
def test_parse_of_any_text_returns_settings_or_raises_config_error(text: str) -> None:
    judge(text)


@given(st.text(alphabet="[]()ab'\"%s=: ;#\n\t,\\.@/1-", max_size=300))
def test_parse_of_meaningful_characters_returns_or_raises(text: str) -> None:
    judge("[a]\n" + text)


@given(mutated())
def test_parse_of_a_mutated_file_returns_or_raises(text: bytes) -> None:
    judge(text)


@given(
    mutated(),
    st.sampled_from([b"k8s://%s@h", b"k8s://%s", b"k8s:%s@h", b"k8s://%s@h:x", b"http://u:%s@:1", b"\xff//%s@"]),
)
def test_mutated_file_never_shows_a_token(text: bytes, source: bytes) -> None:
    secret = b"config = " + source % SECRET.encode()
    text = b"\n".join(secret if line.startswith(b"config") else line for line in text.split(b"\n"))
    found = outcome(text)
    said = (
        (describe(found.settings), repr(found), *map(str, found.warnings)) if isinstance(found, ParsedConfig) else found
    )
    assert SECRET not in "".join(said).replace("http://a:s3cr3t@h/", "")


@given(st.permutations(REAL[0].split(b"\n\n")))
def test_parse_of_shuffled_paragraphs_returns_or_raises(paragraphs: list[bytes]) -> None:
    judge(b"\n\n".join(paragraphs))
