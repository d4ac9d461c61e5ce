"""Options declared at the fields of settings classes: names, defaults, conversion, problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pybal.config import ini
from pybal.config.convert import boolean, choice, optional_text, port, seconds, words
from pybal.config.option import Kind, group, names_of, option, options_of, read_options, required
from pybal.config.options import Options, Suggestions


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Timing:
    interval: float = option(10.0, seconds, help="time between checks, in seconds")
    fast_interval: float | None = option(None, seconds, same_as="interval", help="interval while in doubt, in seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login(Timing):
    """A server that accepts a login."""

    interval: float = option(60.0, seconds, help="time between logins, in seconds")
    user: str = required("", choice("root", "guest"), help="user to log in as")
    max_tries: int = option(1, port, name="max_tries", help="number of tries")
    flags: tuple[str, ...] = option((), words, name="flag", aliases=("flags",), help="flags of the login")

    def validate(self, options: Options, prefix: str) -> None:
        if self.user == "root" and self.interval < 5:
            options.refuse(f"{prefix}interval", f"{self.interval:g}", "at least 5 for root")


@dataclass(frozen=True, slots=True)
class Server:
    name: str = option("", optional_text, help="name of the server")
    token: str = option("", optional_text, variants=("http",), help="token")
    secure: bool = option(True, boolean, variants=("etcd",), help="use TLS")


@dataclass(frozen=True, slots=True)
class Whole:
    line: int
    timing: Timing = group(Timing, prefix="t-")
    server: Server | None = group(Server, prefix="server-", switch="serve", help="serve")
    colour: Colour = option(Colour.RED, lambda text: Colour(choice(*Colour)(text)), help="colour")


LOGIN = Kind("Login", Login)


def section(*lines: str) -> Options:
    document = ini.read("\n".join(["[web]", *lines]), "pybal.conf")
    return Options("pybal.conf", document.sections["web"], document.defaults)


def problems(options: Options) -> Sequence[tuple[int, str]]:
    return [(problem.line, problem.option) for problem in options.problems]


def test_option_derives_its_name_from_the_field() -> None:
    assert names_of(Timing, "udp.") == {"udp.interval", "udp.fast-interval"}


def test_kind_declares_inherited_and_named_options_and_aliases() -> None:
    expected = {"interval", "fast-interval", "user", "max_tries", "flag", "flags"}
    assert LOGIN.options == {f"login.{name}" for name in expected}


def test_options_of_yields_full_names_in_order_of_declaration() -> None:
    assert [each.name for each in options_of(Whole)] == [
        "t-interval",
        "t-fast-interval",
        "serve",
        "server-name",
        "colour",
    ]


def test_read_options_returns_the_defaults_of_an_empty_section() -> None:
    assert read_options(Timing, section(), "udp.") == Timing(10.0, None)


def test_read_options_converts_values() -> None:
    options = section("login.user = guest", "login.max_tries = 3", "login.fast-interval = 2")
    assert LOGIN.read(options) == Login(user="guest", max_tries=3, interval=60.0, fast_interval=2.0)
    assert problems(options) == []


def test_read_options_reads_a_value_equal_to_same_as_as_none() -> None:
    options = section("interval = 7", "fast-interval = 7")
    assert read_options(Timing, options) == Timing(7.0, None)


def test_read_options_appends_the_values_of_aliases() -> None:
    assert LOGIN.read(section("login.user = guest", "login.flags = b", "login.flag = a")).flags == ("a", "b")


def test_read_options_locates_every_problem() -> None:
    options = section("login.interval = 0", "login.max_tries = many", "login.fast-interval = -1")
    LOGIN.read(options)
    assert sorted(problems(options)) == [
        (1, "login.user"),
        (2, "login.interval"),
        (3, "login.max_tries"),
        (4, "login.fast-interval"),
    ]


def test_read_options_validates_options_together() -> None:
    options = section("login.user = root", "login.interval = 4")
    LOGIN.read(options)
    assert list(map(str, options.problems)) == [
        "pybal.conf:3: [web] login.interval: found 4; expected at least 5 for root"
    ]


def test_unknown_option_suggests_the_nearest_declared_name() -> None:
    options = section("login.max-trys = 3")
    list(options.finish(LOGIN.options, Suggestions()))
    assert "login.max_tries" in str(options.warnings[0])


def test_read_options_reads_groups_and_their_switches() -> None:
    options = section("t-interval = 3", "server-name = a", "colour = blue")
    assert read_options(Whole, options, line=4) == Whole(4, Timing(3.0), None, Colour.BLUE)
    assert read_options(Whole, section("serve = yes", "server-name = a"), line=4).server == Server("a")


def test_read_options_keeps_given_values() -> None:
    options = section("t-interval = 3", "colour = red")
    whole = read_options(Whole, options, line=4, timing=Timing(9.0), colour=Colour.BLUE)
    assert whole == Whole(4, Timing(9.0), None, Colour.BLUE)


def test_default_of_the_caller_applies_when_the_option_is_absent() -> None:
    blue = {"colour": Colour.BLUE}
    assert read_options(Whole, section(), defaults=blue, line=4).colour is Colour.BLUE
    assert read_options(Whole, section("colour = red"), defaults=blue, line=4).colour is Colour.RED


def test_required_option_with_a_default_may_be_missing() -> None:
    options = section()
    assert read_options(Login, options, "login.", defaults={"user": "guest"}).user == "guest"
    assert problems(options) == []


def test_variants_limit_the_options_of_a_section() -> None:
    assert names_of(Server, variant="http") == {"name", "token"}
    assert read_options(Server, section("secure = no", "token = x"), variant="http") == Server(token="x")
