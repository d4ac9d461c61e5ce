"""Mistakes of newcomers in pybal.conf, and the corrected lines that the problems suggest."""

from __future__ import annotations

import pytest

from pybal.config import ini
from pybal.config.errors import ConfigError
from pybal.config.lint import lint
from pybal.config.parse import parse
from pybal.monitors.kinds import KINDS

SERVICE = {
    "protocol": "tcp",
    "ip": "192.0.2.1",
    "port": "80",
    "scheduler": "mh",
    "config": "file:///pools/web",
    "monitors": "['ProxyFetch', 'DNSQuery', 'RunCommand']",
    "proxyfetch.url": "http://www.example.org/",
    "dnsquery.hostnames": "www.example.org",
    "runcommand.command": "/bin/true",
}
GLOBAL = {
    "instrumentation": "yes",
    "bgp": "yes",
    "bgp-local-asn": "64600",
    "bgp-peer-address": "192.0.2.251",
    "bgp-nexthop-ipv4": "192.0.2.10",
}
BOTH = "['192.0.2.251', '192.0.2.252']"
CHECKS = "['ProxyFetch', 'IdleConnection']"

IN_SERVICE = {
    "monitors": {
        "ProxyFetch, IdleConnection": CHECKS,
        "[ ProxyFetch, IdleConnection ]": CHECKS,
        "ProxyFetch IdleConnection": CHECKS,
        "ProxyFetch;IdleConnection": CHECKS,
        "(ProxyFetch, IdleConnection)": CHECKS,
        "['ProxyFetch' 'IdleConnection']": CHECKS,
        "['ProxyFetch, 'IdleConnection']": CHECKS,
        "['ProxyFetch', 'IdleConnection'": CHECKS,
        "'ProxyFetch', 'IdleConnection']": CHECKS,
        "\N{LEFT SINGLE QUOTATION MARK}ProxyFetch\N{RIGHT SINGLE QUOTATION MARK}": "'ProxyFetch'",
        "[`ProxyFetch`, `IdleConnection`]": CHECKS,
        "ProxyFetch # and more": "ProxyFetch ; and more",
        "proxyfetch": "ProxyFetch",
        "['proxy_fetch', 'idleconnection']": CHECKS,
        "\n  - ProxyFetch\n  - IdleConnection": CHECKS,
        "\n  ProxyFetch,\n  IdleConnection": CHECKS,
    },
    "depool-threshold": {
        "50%": "0.5",
        "50%%": "0.5",
        "50 %": "0.5",
        "50": "0.5",
        "0,5": "0.5",
        "1/2": "0.5",
        "'0.5'": "0.5",
        "0.5 # half": "0.5 ; half",
    },
    "max-depool-step": {"20%": "0.2", "150%%": ""},
    "proxyfetch.jitter": {"10%": "0.1", "20": "0.2"},
    "bgp-withdraw-below": {"25%": "25%%", "25 percent": "25%%", "2 servers": "2", "OFF": "off"},
    "port": {
        "8081 # the web": "8081 ; the web",
        "8081 // the web": "8081 ; the web",
        "8081; the web": "8081 ; the web",
        "8081 /* the web */": "8081 ; the web */",
        "http": "80",
        "'80'": "80",
        "[80]": "80",
        "80/tcp": "80",
        "80.0": "80",
        ":80": "80",
        "80,": "80",
        "= 80": "80",
        "> 80": "80",
        "192.0.2.1:80": "80",
        "70000": "",
    },
    "scheduler": {
        "round-robin": "rr",
        "Weighted Round Robin": "wrr",
        "leastconn": "lc",
        "source hash": "sh",
        "maglev": "mh",
        "RR": "rr",
        "'wrr'": "wrr",
        "wlcc": "wlc",
        "weighted": "",
    },
    "protocol": {"TCP": "tcp", '"tcp"': "tcp", "tpc": "tcp", "sctp": ""},
    "ip": {
        "192.0.2.1/32": "192.0.2.1",
        "192.0.2.1:80": "192.0.2.1",
        "'192.0.2.1'": "192.0.2.1",
        "['192.0.2.1']": "192.0.2.1",
        "192.0.2.01": "192.0.2.1",
        "192.0.2.1 # www": "192.0.2.1 ; www",
        "192.0.2.1\N{NO-BREAK SPACE}": "192.0.2.1",
        "\N{ZERO WIDTH SPACE}192.0.2.1": "192.0.2.1",
        "www.example.org": "",
    },
    "config": {
        "/etc/pybal/pools/web": "file:///etc/pybal/pools/web",
        "file:/etc/pybal/pools/web": "file:///etc/pybal/pools/web",
        "'file:///pools/web'": "file:///pools/web",
        "http:/pools.example.org/web": "http://pools.example.org/web",
        "https//pools.example.org/web": "https://pools.example.org/web",
        "pools.example.org/web": "http://pools.example.org/web",
        "FILE:///pools/web": "file:///pools/web",
    },
    "proxyfetch.url": {
        "www.example.org": "http://www.example.org/",
        "http:/www.example.org/": "http://www.example.org/",
        "[http://a/, http://b/]": "['http://a/', 'http://b/']",
        "http://a/, http://b/": "['http://a/', 'http://b/']",
    },
    "proxyfetch.timeout": {"5s": "5", "500ms": "0.5", "1,5": "1.5", "2 min": "120", "'5'": "5"},
    "proxyfetch.max-body": {"64k": "65536", "1 MiB": "1048576"},
    "proxyfetch.method": {"get": "GET"},
    "proxyfetch.http-version": {"HTTP/1.1": "1.1"},
    "proxyfetch.port": {"https": "443"},
    "proxyfetch.host": {"http://www.example.org/": "www.example.org"},
    "proxyfetch.headers": {"[X-A: b]": "X-A: b"},
    "proxyfetch.source": {"192.0.2.10/24": "192.0.2.10"},
    "dnsquery.hostnames": {"[a.example, b.example]": "['a.example', 'b.example']"},
    "runcommand.arguments": {"['--host' server.host]": "['--host', 'server.host']"},
    "tunneling": {"enabled": "yes", "yse": "yes", "'no'": "no", "none": "no", "on!": "on", "yes # IPIP": "yes ; IPIP"},
    "initial-state": {"Up": "up"},
    "suspect-check": {"HOLD": "hold"},
    "dns-move-wait": {"1m": "60", "2d": ""},
    "bgp-med": {"1,000": "1000", "five": ""},
    "source-max-age": {"10m": "600"},
}
IN_GLOBAL = {
    "instrumentation_ips": {
        "[127.0.0.1]": "['127.0.0.1']",
        "127.0.0.1, ::1": "['127.0.0.1', '::1']",
        "127.0.0.1 ::1": "['127.0.0.1', '::1']",
        "['127.0.0.1/8']": "['127.0.0.1']",
        "localhost": "127.0.0.1",
        "*": "0.0.0.0",
    },
    "instrumentation_port": {"127.0.0.1:9090": "9090"},
    "bgp-peer-address": {
        "192.0.2.251, 192.0.2.252": BOTH,
        "[192.0.2.251, 192.0.2.252]": BOTH,
        "192.0.2.251/32": "192.0.2.251",
        "router1": "",
    },
    "bgp-local-asn": {"AS64600": "64600"},
    "bgp-nexthop-ipv4": {"192.0.2.10/24": "192.0.2.10", "192.0.2.10:179": "192.0.2.10"},
    "bgp-as-path": {"64600,64600": "64600 64600"},
    "bgp-hold-time": {"9s": "9", "3 min": "180"},
    "bgp-dead-after": {"15 seconds": "15"},
    "bgp-communities": {"no_export": "no-export", "no-exports": "no-export"},
    "bgp-vip-policy": {"ALL": "all"},
    "bgp-local-ips": {"[192.0.2.10]": "['192.0.2.10']"},
    "ipvs-backend": {"netlnk": "netlink"},
    "ipvs-drift": {"Report": "report", "revert": ""},
    "ipvs-audit-interval": {"15s": "15"},
    "max-blast-radius": {"50%": "0.5"},
    "suspect-self": {"'alert'": "alert"},
}
TABLE = [
    (section, option, wrong, meant)
    for section, mistakes in (("web", IN_SERVICE), ("global", IN_GLOBAL))
    for option, values in mistakes.items()
    for wrong, meant in values.items()
]


def configuration(section: str, option: str, value: str) -> str:
    changed = {section: {option: value}}
    parts = {"global": GLOBAL | changed.get("global", {}), "web": SERVICE | changed.get("web", {})}
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in options.items())
        for name, options in parts.items()
    )


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f", KINDS)
    return [str(problem) for problem in caught.value.problems]


def warnings(text: str) -> list[str]:
    parsed = parse(text, "f", KINDS)
    return [str(each) for each in (*parsed.warnings, *lint(ini.read(text, "f"), "f", KINDS, parsed.settings))]


@pytest.mark.parametrize(("section", "option", "wrong", "meant"), TABLE)
def test_problem_suggests_the_corrected_line(section: str, option: str, wrong: str, meant: str) -> None:
    text = configuration(section, option, wrong)
    line = text[: text.index(f"{option} = ")].count("\n") + 1
    (problem,) = problems(text)
    assert problem.startswith(f"f:{line}: [{section}] {option}: found ")
    assert problem.partition(". Did you mean: ")[2] == (f"{option} = {meant}" if meant else "")


@pytest.mark.parametrize(
    ("section", "option", "meant"), dict.fromkeys((row[0], row[1], row[3]) for row in TABLE if row[3])
)
def test_suggested_line_is_accepted(section: str, option: str, meant: str) -> None:
    parse(configuration(section, option, meant), "f", KINDS)


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("bgp-next-hop", "bgp-nexthop-ipv4"),
        ("bgp-community", "bgp-communities"),
        ("bgp-peer-as", "bgp-peer-asn"),
        ("bgp-holdtime", "bgp-hold-time"),
        ("bgp_med", "bgp-med"),
        ("bgp-password-file", "bgp-md5-password-file"),
        ("peer-address", "bgp-peer-address"),
        ("instrumentation-port", "instrumentation_port"),
        ("bgp-keepalive", ""),
    ],
)
def test_unknown_option_names_the_nearest_one(option: str, meant: str) -> None:
    (warning,) = warnings(configuration("global", option, "1"))
    hint = f"did you mean {meant}?" if meant else "see man pybal.conf"
    assert warning.endswith(f"[global] {option}: unknown option ({hint})")


@pytest.mark.parametrize(
    ("section", "option", "hint"),
    [
        ("global", "scheduler", "move it to the section of a service, or [DEFAULT]"),
        ("web", "bgp-peer-address", "move it to [global]"),
    ],
)
def test_misplaced_option_names_its_section(section: str, option: str, hint: str) -> None:
    (warning,) = warnings(configuration(section, option, "1"))
    assert warning.endswith(f"({hint})")


def test_option_without_its_prefix_names_a_monitor_in_use() -> None:
    web = f"[web]\n{WEB}timeout = 1\n".replace("IdleConnection", "ProxyFetch\nproxyfetch.url = http://a/")
    assert warnings(web) == ["f:9: [web] timeout: unknown option (did you mean proxyfetch.timeout?)"]


def test_suggestion_never_shows_credentials() -> None:
    for url in ("http:/user:secret@host/x", "'http://user:secret@host/x'", "k8s://secret/?x"):
        (problem,) = problems(configuration("web", "config", url))
        assert "secret" not in problem


WEB = "protocol = tcp\nip = 192.0.2.1\nport = 80\nscheduler = wrr\nconfig = file:///x\nmonitors = IdleConnection\n"
HEADER = "expected a section header first, such as [web], in the first column"
LINE = "expected [section] or option = value, starting in the first column"
KINDS_OF_SECTIONS = (
    "found no option of a service (protocol, ip, port, scheduler, config); expected a service, [global], [DEFAULT],"
    " [bgp NAME], [etcd NAME], [http NAME] or [k8s NAME]"
)


@pytest.mark.parametrize("header", ["[web", "web]", "web:", "<web>", "{web}", "(web)", "[web]:", " [web]"])
def test_misspelt_first_header_is_one_problem(header: str) -> None:
    text = f"{header}\n{WEB}"
    if header == " [web]":
        text = "".join(f" {line}\n" for line in text.strip().splitlines())
    if header == "[web]:":  # text after the bracket is ignored, as in PyBal 1.15
        parse(text, "f", KINDS)
        return
    assert problems(text) == [f"f:1: found '{header.strip()}'; {HEADER}. Did you mean: [web]"]


def test_later_header_without_bracket_is_one_problem() -> None:
    assert problems(f"[a]\n{WEB}[b\n{WEB.replace('= 80', '= 81')}") == [
        f"f:8: [a] found '[b'; {LINE}. Did you mean: [b]"
    ]


@pytest.mark.parametrize(
    ("name", "options", "meant"),
    [
        ("globals", "bgp = no", "global"),
        ("gloabl", "bgp = no", "global"),
        ("settings", "ipvs-backend = memory", "global"),
        ("default", "bgp = no", "DEFAULT"),
        ("Defaults", "scheduler-flag = mh-port", "DEFAULT"),
        ("bgp", "bgp-peer-asn = 64601", "bgp NAME"),
        ("bgp-r1", "bgp-peer-asn = 64601", "bgp r1"),
        ("bgp:r1", "bgp-peer-asn = 64601", "bgp r1"),
        ("peer r1", "bgp-peer-asn = 64601", "bgp r1"),
        ("router1", "bgp-peer-asn = 64601", "bgp router1"),
        ("etcd", "ca = /x", "etcd NAME"),
        ("http:pools.example.org", "ca = /x", "http pools.example.org"),
        ("kubernetes api", "ca = /x", "k8s api"),
        ("notes", "author = me", ""),
    ],
)
def test_section_of_no_kind_is_one_problem(name: str, options: str, meant: str) -> None:
    suggestion = f". Did you mean: [{meant}]" if meant else ""
    assert problems(f"[{name}]\n{options}\n[web]\n{WEB}") == [f"f:1: [{name}] {KINDS_OF_SECTIONS}{suggestion}"]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("port 80", "port = 80"),
        ("IP 192.0.2.1", "ip = 192.0.2.1"),
        ("// the web", "# the web"),
        ("-- the web", "# the web"),
        ("/* the web */", "# the web"),
        ("<!-- the web -->", "# the web"),
        ("hello world", ""),
    ],
)
def test_line_that_is_no_option_is_corrected(line: str, meant: str) -> None:
    name = meant.partition(" = ")[0]
    text = f"[web]\n{line}\n" + "".join(f"{each}\n" for each in WEB.splitlines() if name != each.partition(" = ")[0])
    suggestion = f". Did you mean: {meant}" if meant else ""
    assert problems(text) == [f"f:2: [web] found '{line}'; {LINE}{suggestion}"]


def test_indented_option_is_reported_in_its_own_line() -> None:
    assert problems(f"[web]\n{WEB}".replace("\nport", "\n  port")) == [
        (
            "f:4: [web] port: found an indented line, which continues ip (line 3); expected it in the first column."
            " Did you mean: port = 80"
        )
    ]
    assert problems(f"[a]\n{WEB.replace('monitors = IdleConnection', ' [b]')}  ip = 192.0.2.2\n")[0] == (
        "f:7: [a] found an indented line, which continues config (line 6); expected it in the first column."
        " Did you mean: [b]"
    )


def test_indented_option_in_a_valid_value_causes_a_warning() -> None:
    text = f"[web]\n{WEB}proxyfetch.body-regex = ok\n  ops = yes\n"
    assert warnings(text)[0].startswith("f:9: [web] ops: found an indented line, which continues proxyfetch.body-regex")


def test_everything_missing_for_bgp_is_reported_together() -> None:
    def missing(vip: str, port: str) -> list[str]:
        text = f"[global]\nbgp = yes\n[web]\n{WEB}".replace("192.0.2.1", vip).replace("= 80", f"= {port}")
        return [problem.split(": found nothing")[0] for problem in problems(text) if "found nothing" in problem]

    both = ["f:1: [global] bgp-local-asn", "f:1: [global] bgp-peer-address"]
    assert missing("192.0.2.1", "80") == [*both, "f:1: [global] bgp-nexthop-ipv4"]
    assert missing("2001:db8::1", "80") == [*both, "f:1: [global] bgp-nexthop-ipv6", "f:1: [global] bgp-router-id"]
    assert missing("192.0.2.1", "http") == [*both, "f:1: [global] bgp-nexthop-ipv4"]


def test_options_of_a_part_that_is_off_cause_warnings() -> None:
    wrong = "instrumentation_ips = [127.0.0.1]\n"
    unquoted = (
        "instrumentation_ips: found '.0.1]'; expected a list of quoted texts, separated by commas."
        " Did you mean: instrumentation_ips = ['127.0.0.1']"
    )
    unset = (
        "instrumentation_ips: without effect, because instrumentation is not set (set instrumentation = yes to use it)"
    )
    assert warnings(f"[global]\n{wrong}[web]\n{WEB}") == [f"f:2: [global] {unquoted}", f"f:2: [global] {unset}"]
    assert warnings(f"[global]\ninstrumentation = no\n{wrong}[web]\n{WEB}") == [f"f:3: [global] {unquoted}"]
    assert warnings(f"[global]\nbgp = no\nbgp-peer-address = (unspecified)\nbgp-local-asn =\n[web]\n{WEB}") == []


@pytest.mark.parametrize("header", ["[[web]]", "[ web ]"])
def test_service_name_with_brackets_or_blanks_causes_a_warning(header: str) -> None:
    (warning,) = warnings(f"{header}\n{WEB}")
    assert warning.endswith("expected a name without blanks around it, in one pair of brackets. Did you mean: [web]")


def test_encodings_are_read_or_refused_as_a_whole() -> None:
    text = f"[web]\n{WEB}"
    for accepted in (b"\xef\xbb\xbf" + text.encode(), text.replace("\n", "\r\n").encode()):
        parse(accepted, "f", KINDS)
    expected = ["f:1: found a file in UTF-16; expected text in UTF-8; save it in this encoding"]
    assert problems(text.encode("utf-16")) == expected


def test_option_with_an_invisible_character_is_corrected() -> None:
    for wrong in ("ip\N{NO-BREAK SPACE}=", "\N{ZERO WIDTH SPACE}ip ="):
        (problem,) = problems(f"[web]\n{WEB}".replace("ip =", wrong))
        assert problem.startswith("f:3: [web] found the option ")
        assert problem.endswith("expected a name of printable characters. Did you mean: ip = 192.0.2.1")
