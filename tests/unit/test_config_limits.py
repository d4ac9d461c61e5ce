"""Limits of pybal.conf: no file, however wrong, takes long in one step or reports endless problems."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import pytest

from pybal.config.errors import ConfigError
from pybal.config.parse import LARGEST, MOST_SHOWN, parse, parse_steps
from pybal.monitors.kinds import KINDS

LONGEST = 0.05
"""Seconds of CPU time that one step may take."""

SERVICE = "[s{0}]\nprotocol = tcp\nip = 10.3.{1}.{2}\nport = 80\nscheduler = wrr\nconfig = file:///p\nmonitors = []\n"
UNKNOWN = "".join(f"proxyfetch.follow-{n} = 1\nidleconnection.limit-{n} = 1\n" for n in range(15))


def service(number: int) -> str:
    return SERVICE.format(number, number // 250, number % 250 + 1)


def longest_step(text: str) -> float:
    """Return the CPU time of the longest step, in seconds."""
    # The garbage of other tests is no part of a step.
    gc.collect()
    gc.freeze()
    steps = parse_steps(text, "f", KINDS)
    longest = 0.0
    while True:
        begun = time.thread_time()
        try:
            next(steps)
        except (StopIteration, ConfigError):
            return longest
        finally:
            longest = max(longest, time.thread_time() - begun)


def refused(text: str) -> tuple[list[str], list[str]]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f", KINDS)
    return [str(problem) for problem in caught.value.problems], [str(warning) for warning in caught.value.warnings]


@pytest.mark.parametrize(
    "text",
    [
        "[x]\n" + "".join(f"host{n}.example: {{weight: 10, enabled: true}}\n" for n in range(20_000)),
        "".join(service(n) + UNKNOWN for n in range(116)),
        "".join(service(n) for n in range(2000)),
        "\n" * 1_000_000,
        "no option\n" * 100_000,
        "".join(f"[{n}]\n" for n in range(3000)),
        "[x]\nmonitors = [" + "'a'," * 3500 + "]\n",
        "[x]\nscheduler = rr\nscheduler-flag = [" + "'a'," * 3500 + "]\n",
        "[x]\nconfig = " + "a" * 1_000_000,
        "[x]\na = %%\n" + "".join(f"b{n} = {'%(a)s' * 300}\n" for n in range(500)),
        "[x]\na = 1\n" + " 1\n" * 300_000,
        "".join(f"[s{n}]\nport = {'a,[1/#' * 25}\nip = {'; 1:2%%' * 21}\nconfig = {'x y|' * 37}\n" for n in range(300)),
        "[DEFAULT]\n" + "".join(f"o{n} = 1\n" for n in range(50_000)) + service(1),
        *(
            service(1).replace("[]", "['ProxyFetch']") + f"proxyfetch.body-regex = {expression}\n"
            for expression in (
                "((()?){1000}){1000}",
                "(a{0}){1000}" * 1000,
                f"(a{'|' * 8000}){{100}}",
                "a?" * 500,
                "(a?){500}",
                "()*" * 5000,
                "[" + "a-z" * 5000 + "]",
                "(?i)" + "a" * 16_000,
            )
        ),
    ],
    ids=range(21),
)
def test_no_step_of_a_strange_file_takes_long(text: str) -> None:
    assert len(text) <= LARGEST
    # On a machine that is slowed down for a moment one of three attempts is enough.
    assert any(longest_step(text) < LONGEST for _ in range(3))


def test_problems_are_reported_up_to_a_limit() -> None:
    problems, _ = refused("[x]\n" + "no option\n" * 1050)
    assert len(problems) == MOST_SHOWN + 1
    assert problems[-1] == "f: 951 more problems of this kind"


def test_unknown_options_are_reported_up_to_a_limit_with_few_suggestions() -> None:
    text = service(1) + "".join(f"proxyfetch.timeot-{n} = 1\n" for n in range(900))
    warnings = [str(warning) for warning in parse(text, "f", KINDS).warnings]
    assert len(warnings) == MOST_SHOWN + 1
    assert sum("did you mean" in warning for warning in warnings) <= 20
    assert "did you mean" in warnings[0]
    assert warnings[-1] == "f: 800 more problems of this kind"


def test_section_with_too_many_options_is_refused_once() -> None:
    problems, _ = refused(service(1) + "".join(f"o{n} = 1\n" for n in range(3000)))
    assert [problem for problem in problems if "too many" in problem] == [
        "f:1002: [s1] found too many options; expected at most 1000 options in a section"
    ]


def test_very_long_value_is_refused_at_its_line() -> None:
    problems, _ = refused(service(1).replace("file:///p", "file:///" + "p" * 50_000))
    assert problems == ["f:6: [s1] config: found a very long value; expected at most 16384 characters"]


def test_file_above_the_largest_size_is_refused_unread() -> None:
    problems, _ = refused("#" * (LARGEST + 1))
    assert problems == ["f: found a file of 1,048,577 bytes; expected at most 1 MiB"]


def test_example_is_far_below_the_limits() -> None:
    example = Path(__file__).parents[2].joinpath("etc/pybal.conf").read_text()
    assert len(example) < LARGEST / 10


def test_very_long_list_is_refused_with_its_limit() -> None:
    problems, _ = refused(service(1) + "monitors = [" + "'a'," * 1001 + "]\n")
    assert problems == ["f:8: [s1] monitors: found a very long list; expected at most 1000 items"]
