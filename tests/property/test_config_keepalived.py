"""The conversion of any keepalived.conf: no traceback, and each service is valid in pybal.conf."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.config.keepalived.convert import Conversion, convert
from pybal.config.keepalived.syntax import SyntaxLimitError
from pybal.config.parse import parse
from pybal.monitors.kinds import KINDS
from pybal.sources.formats.text import parse as parse_pool

TEN = (Path(__file__).parents[1] / "data" / "keepalived" / "ten.conf").read_text()
SAMPLES = sorted(Path("/usr/share/doc/keepalived/samples").glob("keepalived.conf.*"))
WORDS = sorted(set(TEN.replace("{", " ").replace("}", " ").split()))
VALUES = [
    "0", "-1", "1", "86401", "9" * 30, "0.5", "x", "$A", "${B}c", "~SEQ(a,1,2)", "@id", '"', "'", '"a b"', "'%(ip)s'", "%", "a;b",
    '" ;"', "\\", "[", "regex", "(", "(?:a", "status_code", "600", "200-100", "connect_port", "bindto", "::", "2001:db8::1", "fe80::1%e",
    "192.0.2.1-192.0.9.9", "10.0.0.0/8", "224.0.0.1", "http_protocol", "1.1", "sni_name", "include", "quorum", "weight", "real_server",
    "\u2028", "\x00", "\udc80", "é", "!", "#", "fwmark", "group", "mail", "MISC_CHECK", "DNS_CHECK", "virtual_server",
]  # fmt: skip


def read(pattern: str, file: str) -> Sequence[tuple[str, str]]:
    if pattern == "denied":
        raise PermissionError(13, "Permission denied")
    return [(f"{file}.d", TEN)] if pattern == "x" else []


def judge(text: str) -> Conversion | None:
    """Convert a text; check that the files are valid, and that pybal.conf has each remark."""
    try:
        found = convert("k.conf", text, read, KINDS)
    except SyntaxLimitError:
        return None
    if found.pools:
        parsed = parse(found.text, "f", KINDS)
        assert parsed.warnings == ()
        assert {each.source.url.rpartition("/")[2] for each in parsed.settings.services} == set(found.pools)
    for pool in found.pools.values():
        assert parse_pool(pool.encode(), "pool").problems == ()
    lines = found.text.replace("\udc80", "?").splitlines()
    assert all(any(remark.text in line for line in lines) for remark in found.remarks if remark.text.isprintable())
    assert all(str(remark).isprintable() for remark in found.remarks)
    return found


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The file of ten kinds with a few words replaced, lines moved or lost."""
    lines = TEN.split("\n")
    for _ in range(draw(st.integers(1, 12))):
        at = draw(st.integers(0, len(lines) - 1))
        words = lines[at].split()
        match draw(st.integers(0, 4)):
            case 0:
                lines[at] = ""
            case 1:
                lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
            case 2 if words:
                words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(VALUES + WORDS))
                lines[at] = " ".join(words)
            case 3:
                lines[at] += f" {draw(st.sampled_from(VALUES))}"
            case _:
                lines.insert(at, f"{draw(st.sampled_from(WORDS + VALUES))} {draw(st.sampled_from(VALUES + WORDS))}")
    return "\n".join(lines)


@given(st.text(max_size=400))
def test_any_text_is_converted(text: str) -> None:
    judge(text)


@given(st.lists(st.sampled_from([*WORDS, *VALUES, "{", "}", "\n", "\n"]), max_size=80).map(" ".join))
def test_words_of_keepalived_in_any_order_are_converted(text: str) -> None:
    judge(text)


@given(mutated())
def test_mutated_file_is_converted_to_valid_services(text: str) -> None:
    judge(text)


@pytest.mark.skipif(not SAMPLES, reason="wants the samples of keepalived's package")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name.removeprefix("keepalived.conf."))
def test_sample_of_keepalived_is_converted(sample: Path) -> None:
    text = sample.read_text()
    found = judge(text)
    assert found
    virtual = [line for line in text.splitlines() if line.startswith("virtual_server ") and "fwmark" not in line]
    assert bool(found.pools) == bool(virtual)
    assert len(found.pools) <= len(virtual)
