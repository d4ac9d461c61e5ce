"""The operator's files: pybal.conf, keepalived.conf, and the values of options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pybal.config import bgp_options, convert, http_options, limit, url_options
from pybal.config.describe import describe
from pybal.config.errors import ConfigError, InvalidValueError
from pybal.config.ini import read
from pybal.config.keepalived.convert import convert as convert_keepalived
from pybal.config.keepalived.syntax import SyntaxLimitError
from pybal.config.literals import LiteralKind, items
from pybal.config.parse import parse
from pybal.control.place import control_socket
from pybal.monitors.kinds import KINDS
from pybal.sources.formats.text import parse as parse_pool
from tests.fuzz.target import Fuzzed, choices, is_line, target

DATA = Path(__file__).parents[2] / "data"
SERVICE = b"[web]\nprotocol = tcp\nip = 10.2.1.1\nport = 80\nscheduler = wrr\nconfig = file:///p\nmonitors = ['ProxyFetch']\nproxyfetch.url = ['http://a/']\n"
SECRET = "s3cr3t"


def refused(error: ConfigError, lines: int) -> None:
    """Fail unless each problem is a line at a place in the file."""
    assert error.problems
    for problem in (*error.problems, *error.warnings):
        is_line(str(problem), 1000)
        assert 0 <= problem.line <= lines


@target(
    "pybal.config.ini",
    "pybal.config.parse",
    "pybal.config.options",
    "pybal.config.services",
    "pybal.config.source_settings",
    "pybal.config.correction",
    "pybal.config.section_names",
    "pybal.config.peers",
    "pybal.config.source_options",
    "pybal.config.conflicts",
    seeds=[
        SERVICE,
        b"[global]\nbgp = yes\nbgp-local-asn = 64600\nbgp-peer-address = 10.0.0.1\nbgp-nexthop-ipv4=10.0.0.2\n[bgp r2]\nbgp-peer-address = 10.0.0.3\n" + SERVICE,
        b"[DEFAULT]\na = %(b)s\nb: x ; y\n  z\nrem x\n[web\nkey value\n{web}\n// c\n\xff = 1\n",
        SERVICE.replace(b"file:///p", b"k8s://s3cr3t@h:6443/?labelSelector=a=b") + b"[k8s h:6443]\ntoken-file = /x\n",
        SERVICE.replace(b"wrr", b"%(protocol)s%%").replace(b"= 80", b"= 0x50"),
    ],
    words=("[global]\n", "[web]\n", "%(ip)s", "%%", " = ", "[bgp r]\n", "[etcd h]\n", "monitors", "'UDP'"),
)  # fmt: skip
def pybal_conf(data: bytes) -> None:
    """A file is settings or all problems with places; a second run finds the same."""
    lines = 1 + data.count(b"\n")
    try:
        found = parse(data, "f", KINDS)
    except ConfigError as error:
        refused(error, lines)
        try:
            parse(data, "f", KINDS)
        except ConfigError as again:
            assert (again.problems, again.warnings) == (error.problems, error.warnings)
        else:
            raise AssertionError("refused only once") from error
    else:
        assert parse(data, "f", KINDS) == found
        text = describe(found.settings)
        assert all(line.isprintable() for line in text.splitlines())
        for warning in found.warnings:
            is_line(str(warning), 1000)
    assert control_socket(data, "f").isprintable()


@target(
    "pybal.config.ini",
    seeds=[b'[a]\nb = 1\n  2\nc : ; x\n[DEFAULT]\nd=""\n[a]\nb = 3\n'],
    words=("[a]\n", "=", ":", "\n ", ";", "#", "rem "),
)
def ini_document(data: bytes) -> None:
    """A document without problems is written and read again."""
    document = read(data, "f")
    for problem in document.problems:
        is_line(str(problem), 600)
    if document.problems:
        return
    sections = [document.defaults, *document.sections.values()]
    text = "".join(
        f"[{section.name}]\n" + "".join(f"{name}={_value(entry.lines)}\n" for name, entry in section.entries.items())
        for section in sections
    )
    again = read(text, "f")
    assert [section.name for section in again.sections.values()] == [each.name for each in document.sections.values()]
    for before, after in zip(sections, [again.defaults, *again.sections.values()], strict=True):
        assert {name: entry.text for name, entry in after.entries.items()} == {
            name: entry.text for name, entry in before.entries.items()
        }, text


def _value(lines: list[str]) -> str:
    return "\n ".join(line if line or number else '""' for number, line in enumerate(lines))


CONVERTERS: Mapping[str, Callable[[str], object]] = {
    "boolean": convert.boolean,
    "port": convert.port,
    "unsigned": convert.unsigned,
    "share": convert.share,
    "seconds": convert.seconds,
    "pause": convert.pause,
    "address": convert.address,
    "listen": convert.listen_address,
    "scheduler": convert.scheduler,
    "flags": convert.scheduler_flags("mh"),
    "texts": convert.texts,
    "words": convert.words,
    "ports": convert.each(convert.port),
    "hostname": convert.hostname,
    "optional_hostname": convert.optional_hostname,
    "optional_text": convert.optional_text,
    "octets": convert.octets,
    "initial_state": convert.initial_state,
    "socket_path": convert.socket_path,
    "least": limit.least,
    "check_url": url_options.check_url,
    "source_url": url_options.source_url,
    "authority": url_options.authority,
    "endpoint": url_options.endpoint,
}
WRITTEN: Mapping[str, Callable[[object], str]] = dict.fromkeys(("port", "unsigned", "share", "seconds", "pause", "address", "listen", "scheduler", "hostname", "least"), str)  # fmt: skip


@target(
    "pybal.config.convert",
    "pybal.config.literals",
    "pybal.config.limit",
    "pybal.config.url_options",
    "pybal.config.errors",
    seeds=[
        choices(text, number)
        for number, text in enumerate(
            (b"yes", b"80", b"7", b"0.5", b"1.5", b"0", b"10.0.0.1", b"::", b"wrr", b"mh-port", b"['a', \"b\\x41\"]", b"a, b", b"['80']",
             b"a.example.", b"", b"'x y'", b"'\\xff\\101\\n'", b"up", b"/run/x", b"50%", b"http://a:80/x?y", b"dns+srv://_a._tcp.b.c", b"[::1]:5", b"a:1")
        )
    ],
    words=("off", "no", "'", "[", "u'", "\\x", "etcd://", "k8s://", "@", "file://"),
)  # fmt: skip
def option_values(data: bytes) -> None:
    """A value is converted, or refused in a line; a converted one is written and converted again."""
    fuzzed = Fuzzed(data)
    name = fuzzed.pick(tuple(CONVERTERS))
    text = fuzzed.rest.decode("utf-8", "replace")
    try:
        found = CONVERTERS[name](text)
    except InvalidValueError as error:
        assert error.found
        assert error.wanted
        assert len(str(error)) <= 700
        if error.meant and error.meant_for == text:
            CONVERTERS[name](error.meant)
        return
    if name in WRITTEN and found is not None:
        assert CONVERTERS[name](WRITTEN[name](found)) == found
    if name in ("texts", "words"):
        assert isinstance(found, tuple)
        if all(word.isprintable() and not set(word) & set("'\"\\") for word in found):
            assert CONVERTERS[name](str(list(found))) == found


@target(
    "pybal.config.literals", seeds=[b"['a', \"b\\n\", u'c', 1, -2.5, server.host] # x", b"('a',)", b"'\\x41\\101\\q'"]
)
def literals(data: bytes) -> None:
    """Quoted texts are those of Python, if they have only the escapes of both versions."""
    text = data.decode("utf-8", "replace")
    try:
        found = items(text)
    except InvalidValueError as error:
        assert error.found
        return
    again = items(
        "[" + ", ".join(repr(each.value) if each.kind is LiteralKind.TEXT else each.value for each in found) + "]"
    )
    if all(each.value.isascii() and each.value.isprintable() for each in found):
        assert again == found


@target(
    "pybal.config.http_options",
    "pybal.config.bgp_options",
    seeds=[choices(b"X-A: b", 0), choices(b"200-299, 304", 1), choices(b"10.0.0.1", 2)],
)
def more_values(data: bytes) -> None:
    """Values of HTTP and BGP are converted or refused."""
    fuzzed = Fuzzed(data)
    public = [
        value
        for module in (http_options, bgp_options)
        for name, value in sorted(vars(module).items())
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", "") == module.__name__
        and value.__annotations__.get("text") == "str"
    ]
    converter = fuzzed.pick(public)
    try:
        converter(fuzzed.rest.decode("utf-8", "replace"))
    except InvalidValueError as error:
        assert error.found
        assert error.wanted


@target(
    "pybal.config.keepalived.syntax",
    "pybal.config.keepalived.convert",
    "pybal.config.keepalived.services",
    "pybal.config.keepalived.checks",
    seeds=[
        b"virtual_server 10.0.0.1 80 {\n lb_algo wrr\n lb_kind DR\n protocol TCP\n real_server 10.0.0.2 80 {\n weight 3\n HTTP_GET {\n url {\n path /x\n status_code 200\n }\n }\n }\n}\n",
        b"global_defs {\n}\n$A=\\\nb\nvirtual_server_group g {\n 10.0.0.1-3 80\n fwmark 7\n}\nvirtual_server group g {\n real_server ::1 80 { TCP_CHECK { connect_port 81 } }\n}\n",
        b"include x\n}}{\n\"a b\" 'c' # d\n",
    ],
    words=("virtual_server ", "real_server ", "{\n", "}\n", "HTTP_GET", "TCP_CHECK", "MISC_CHECK", "SSL_GET", "DNS_CHECK", "include ", "lb_algo ", "~SEQ", "${A}"),
)  # fmt: skip
def keepalived_conf(data: bytes) -> None:
    """The converted file is a valid pybal.conf, and its pools have no problem."""
    included = (DATA / "keepalived" / "ten.conf").read_text()
    try:
        found = convert_keepalived(
            "k.conf",
            data.decode("utf-8", "surrogateescape"),
            lambda pattern, file: [(f"{file}.d", included)] if pattern == "x" else [],
            KINDS,
        )
    except SyntaxLimitError as error:
        assert str(error)
        return
    for remark in found.remarks:
        is_line(str(remark), 1000)
    if found.pools:
        parsed = parse(found.text, "f", KINDS)
        assert parsed.warnings == ()
        assert {each.source.url.rpartition("/")[2] for each in parsed.settings.services} == set(found.pools)
    for pool in found.pools.values():
        assert parse_pool(pool.encode(), "pool").problems == ()
