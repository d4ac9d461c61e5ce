"""The parser of a whole pybal.conf: settings, or all problems."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from pybal.config.command_options import ServerField
from pybal.config.describe import describe
from pybal.config.errors import ConfigError
from pybal.config.parse import parse
from pybal.config.settings import (
    BGPSettings,
    DriftPolicy,
    InstrumentationSettings,
    IPVSBackend,
    IPVSSettings,
    PeerSettings,
    ServiceSettings,
    Settings,
    SourceSettings,
)
from pybal.core.model import IPProtocol, Service
from pybal.monitors.dnsquery import DNSQuerySettings
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.kinds import KINDS
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.monitors.runcommand import RunCommandSettings
from pybal.monitors.udp import UDPSettings

DATA = Path(__file__).parents[1] / "data" / "config"

WEB = """\
[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
config = file:///pools/web
"""
BGP = """\
[global]
bgp = yes
bgp-local-asn = 64600
bgp-peer-address = 192.0.2.251
bgp-nexthop-ipv4 = 192.0.2.10
"""


def settings(text: str | bytes) -> Settings:
    parsed = parse(text, "f", KINDS)
    assert parsed.warnings == ()
    return parsed.settings


def service(text: str) -> ServiceSettings:
    return settings(text).services[0]


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f", KINDS)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [str(problem) for problem in caught.value.problems]


def warnings(text: str) -> list[str]:
    return [str(warning) for warning in parse(text, "f", KINDS).warnings]


def test_minimal_service_has_the_defaults_of_pybal_1_15() -> None:
    assert settings(WEB) == Settings(
        services=(
            ServiceSettings(
                Service("web", IPProtocol.TCP, IPv4Address("192.0.2.1"), 80, "wrr"),
                SourceSettings("file:///pools/web", port=80),
                line=1,
            ),
        )
    )


def test_service_defaults_equal_the_contract() -> None:
    found = service(WEB)
    assert (found.service.depool_threshold, found.service.monitors, found.service.scheduler_flags) == (0.5, (), ())
    assert (found.service.one_packet, found.service.tunneling, found.service.initially_up) == (False, False, False)
    assert (found.bgp, found.bgp_med, found.source.allow_empty) == (True, 0, False)


def test_service_reads_every_option() -> None:
    text = """\
[dns]
protocol = udp
ip = 2001:db8::1
port = 53
scheduler = mh
scheduler-flag = mh-port
scheduler_flag = ['mh-fallback', 'mh-port']
ops = yes
tunneling = on
config = etcd://h:2379/p
depool-threshold = 0.66
initial-state = up
allow-empty = y
source-interval = .5
bgp = no
bgp-med = 7
share-checks = yes
"""
    assert service(text) == ServiceSettings(
        Service(
            "dns",
            IPProtocol.UDP,
            IPv6Address("2001:db8::1"),
            53,
            "mh",
            scheduler_flags=("mh-port", "mh-fallback"),
            one_packet=True,
            tunneling=True,
            depool_threshold=0.66,
            initially_up=True,
        ),
        SourceSettings("etcd://h:2379/p", allow_empty=True, interval=0.5, port=53),
        bgp=False,
        bgp_med=7,
        share_checks=True,
        line=1,
    )


@pytest.mark.parametrize(
    "scheduler", ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh", "fo", "ovf"]
)
def test_scheduler_accepts_every_scheduler_of_ipvs(scheduler: str) -> None:
    assert service(WEB.replace("wrr", scheduler)).service.scheduler == scheduler


def test_share_checks_is_set_by_a_service_or_by_default() -> None:
    other = WEB.replace("[web]", "[api]").replace("192.0.2.1", "192.0.2.2")
    assert [one.share_checks for one in settings(f"{WEB}share-checks = yes\n{other}").services] == [True, False]
    all_but_one = f"[DEFAULT]\nshare-checks = yes\n{WEB}{other}share-checks = no\n"
    assert [one.share_checks for one in settings(all_but_one).services] == [True, False]
    described = describe(settings(all_but_one)).splitlines()[1:]
    assert [", shared checks, " in line for line in described] == [True, False]


def test_bgp_reads_every_option() -> None:
    text = """\
[global]
bgp = yes
bgp-local-asn = 64600
bgp-as-path = 64600 64600
bgp-med = 100
bgp-nexthop-ipv4 = 192.0.2.10
bgp-nexthop-ipv6 = 2001:db8::10
bgp-peer-address = [ '192.0.2.251', "2001:db8::251" ]
bgp-local-ips = [ '192.0.2.10' ]
bgp-local-port = 1179
"""
    found = settings(text + WEB)
    nexthops = IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10")
    assert found.bgp == BGPSettings(
        peers=(
            PeerSettings(IPv4Address("192.0.2.251"), 64600, None, (64600, 64600), *nexthops, router_id=nexthops[0]),
            PeerSettings(IPv6Address("2001:db8::251"), 64600, None, (64600, 64600), *nexthops, router_id=nexthops[0]),
        ),
        med=100,
        local_ips=(IPv4Address("192.0.2.10"),),
        local_port=1179,
    )
    assert found.services[0].bgp_med == 100


def test_path_of_as_numbers_defaults_to_the_local_as() -> None:
    bgp = settings(BGP + WEB).bgp
    nexthop = IPv4Address("192.0.2.10")
    peer = PeerSettings(IPv4Address("192.0.2.251"), 64600, None, (64600,), nexthop, router_id=nexthop)
    assert bgp == BGPSettings((peer,))


def test_instrumentation_is_read_only_if_enabled() -> None:
    options = "instrumentation_ips = ['::']\ninstrumentation_port = 1\nadvertised_instrumentation_ips = 192.0.2.7\n"
    assert settings(f"[global]\n{options}{WEB}").instrumentation is None
    assert settings(f"[global]\ninstrumentation = t\n{options}{WEB}").instrumentation == InstrumentationSettings(
        (IPv6Address("::"),), 1, (IPv4Address("192.0.2.7"),)
    )
    assert settings(f"[global]\ninstrumentation = t\n{WEB}").instrumentation == InstrumentationSettings(
        (IPv4Address("127.0.0.1"), IPv6Address("::1")), 9090
    )


def test_global_section_reads_the_other_options() -> None:
    found = settings("[global]\nipvs-backend = memory\ndry-run = yes\n" + WEB)
    assert (found.ipvs_backend, found.dry_run) == (IPVSBackend.MEMORY, True)
    assert settings(WEB).ipvs_backend is IPVSBackend.NETLINK
    assert settings("[global]\nipvs-backend = ipvsadm\n" + WEB).ipvs_backend is IPVSBackend.IPVSADM


def test_ipvs_options_are_read() -> None:
    lines = "ipvs-audit-interval = 60\nipvs-drift = report\nipvs-remove-grace = 0\nipvs-exclusive = yes\n"
    assert settings("[global]\n" + lines + WEB).ipvs == IPVSSettings(60.0, DriftPolicy.REPORT, 0.0, exclusive=True)
    assert settings(WEB).ipvs == IPVSSettings(15.0, DriftPolicy.REPAIR, 30.0, exclusive=False)


def test_bgp_options_are_ignored_when_bgp_is_off() -> None:
    assert settings("[global]\nbgp = no\nbgp-peer-address = (unspecified)\nbgp-local-asn =\n" + WEB).bgp is None


def test_monitors_have_the_defaults_of_pybal_1_15() -> None:
    text = WEB + "monitors = [ 'IdleConnection', \"ProxyFetch\" ]\nproxyfetch.url = http://h/\n"
    assert service(text).service.monitors == ("IdleConnection", "ProxyFetch")
    assert service(text).monitors == (
        IdleConnectionSettings(
            3.0, 300.0, keepalive=True, keepalive_retries=3, keepalive_idle=10, keepalive_interval=30
        ),
        ProxyFetchSettings(("http://h/",), 200, check_all=False, max_failures=0, timeout=5.0, interval=10.0),
    )
    text = WEB + "monitors = ['DNSQuery','UDP','RunCommand']\ndnsquery.hostnames = h\nruncommand.command = /x\n"
    assert service(text).monitors == (
        DNSQuerySettings(("h",), fail_on_nxdomain=False, timeout=5.0, interval=10.0),
        UDPSettings(interval=10.0, icmp_timeout=20.0),
        RunCommandSettings(command="/x", arguments=(), timeout=20.0, interval=60.0, log_output=True),
    )


def test_monitors_read_every_option() -> None:
    text = """\
monitors = [ 'ProxyFetch', 'IdleConnection', 'DNSQuery', 'UDP', 'RunCommand' ]
proxyfetch.url = [ 'http://h/', 'https://h/' ]
proxyfetch.http_status = 301
proxyfetch.timeout = 1.5
proxyfetch.interval = 2
proxyfetch.check_all = yes
proxyfetch.max_failures = 1
idleconnection.timeout-clean-reconnect = 0
idleconnection.max-delay = 60
idleconnection.keepalive = no
idleconnection.keepalive-retries = 4
idleconnection.keepalive-idle = 5
idleconnection.keepalive-interval = 6
dnsquery.hostnames = [ 'a', 'b' ]
dnsquery.timeout = 1
dnsquery.interval = 2
dnsquery.fail-on-nxdomain = yes
udp.interval = 1
udp.icmp-timeout = 2
runcommand.command = /bin/sh
runcommand.arguments = [ '/x', server.host, 1 ]
runcommand.timeout = 1
runcommand.interval = 2
runcommand.log-output = no
"""
    assert service(WEB + text).monitors == (
        ProxyFetchSettings(("http://h/", "https://h/"), 301, check_all=True, max_failures=1, timeout=1.5, interval=2.0),
        IdleConnectionSettings(0.0, 60.0, keepalive=False, keepalive_retries=4, keepalive_idle=5, keepalive_interval=6),
        DNSQuerySettings(("a", "b"), fail_on_nxdomain=True, timeout=1.0, interval=2.0),
        UDPSettings(interval=1.0, icmp_timeout=2.0),
        RunCommandSettings(
            command="/bin/sh",
            arguments=("/x", ServerField.HOST, "1"),
            timeout=1.0,
            interval=2.0,
            log_output=False,
        ),
    )


def test_service_without_monitors_is_accepted() -> None:
    assert service(WEB + "monitors = []\n").monitors == ()


def test_options_of_an_unused_monitor_are_accepted() -> None:
    assert service(WEB + "proxyfetch.url = ['unclosed'\nudp.interval = x\n").monitors == ()


def test_references_and_defaults_work_as_in_1_15() -> None:
    text = "[DEFAULT]\nscheduler = sh\nwhere = pools\n" + WEB.replace("/pools/web", "/%(where)s/%(__name__)s").replace(
        "scheduler = wrr\n", ""
    )
    assert service(text).service.scheduler == "sh"
    assert service(text).source.url == "file:///pools/web"


def test_problems_are_raised_together_in_file_order() -> None:
    text = """\
[global]
bgp = ja
nonsense
[text_80]
protocol = sctp
ip = text.example.org
port = http
scheduler = wr
tunneling = maybe
depool-threshold = 50%%
monitors = [ 'ProxyFetch' ]
proxyfetch.timeout = 0
bgp-med = -1
initial-state = down
"""
    assert problems(text) == [
        "f:2: [global] bgp: found 'ja'; expected yes or no (t true y yes on 1, f false n no off 0)",
        "f:3: [global] found 'nonsense'; expected [section] or option = value, starting in the first column",
        (
            "f:4: [text_80] config: found nothing; expected a URL: one of file:///path, http://host/path, https://host/path, "
            "etcd://host:port/path, k8s://token@host/?labelSelector=name=value, dns+srv://_service._protocol.domain"
        ),
        (
            "f:4: [text_80] proxyfetch.url: found nothing; expected a URL http://host/path or https://host/path, "
            "or a list of them"
        ),
        "f:5: [text_80] protocol: found 'sctp'; expected one of tcp, udp",
        "f:6: [text_80] ip: found 'text.example.org'; expected an IPv4 or IPv6 address, not a name",
        "f:7: [text_80] port: found 'http'; expected a port number from 1 to 65535. Did you mean: port = 80",
        (
            "f:8: [text_80] scheduler: found 'wr'; expected one of rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, mh, fo, "
            "ovf. Did you mean: scheduler = wrr"
        ),
        "f:9: [text_80] tunneling: found 'maybe'; expected yes or no (t true y yes on 1, f false n no off 0)",
        (
            "f:10: [text_80] depool-threshold: found '50%'; expected a share from 0 to 1 (0.5 is 50 %)."
            " Did you mean: depool-threshold = 0.5"
        ),
        "f:12: [text_80] proxyfetch.timeout: found '0'; expected seconds, more than 0 and at most 86400",
        "f:13: [text_80] bgp-med: found '-1'; expected a whole number from 0 to 4294967295",
        "f:14: [text_80] initial-state: found 'down'; expected one of up, unknown",
    ]


def test_unknown_monitor_is_refused_with_a_suggestion() -> None:
    monitors = ", ".join(KINDS)
    assert problems(WEB + "monitors = [ 'proxyfetch', 'UDP', 'Ping' ]\n") == [
        f"f:7: [web] monitors: found 'proxyfetch', 'Ping'; expected a list of monitors in quotes, of {monitors}"
    ]
    assert problems(WEB + "monitors = [ 'proxyfetch', 'UDP' ]\n")[0].endswith(
        f"of {monitors}. Did you mean: monitors = [ 'ProxyFetch', 'UDP' ]"
    )


def test_monitor_named_twice_is_used_once_with_a_warning() -> None:
    text = WEB + "monitors = [ 'UDP', 'UDP' ]\n"
    assert parse(text, "f", KINDS).settings.services[0].service.monitors == ("UDP",)
    assert warnings(text) == ["f:7: [web] monitors: found 'UDP' more than once; expected each monitor once"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "[DEFAULT]\nport = 80\n", b"\xef\xbb\xbf"])
def test_file_without_sections_is_refused(text: str | bytes) -> None:
    assert problems(text) == ["f:1: found no section; expected [global], or one for each service"]


def test_file_with_the_global_section_alone_has_no_services() -> None:
    assert parse("[global]\n", "f", KINDS).settings.services == ()


def test_misspelt_global_section_is_refused() -> None:
    assert problems("[Global]\nbgp = yes\n" + WEB) == [
        (
            "f:1: [Global] found a section of this name; expected [global], in lower case and without blanks."
            " Did you mean: [global]"
        )
    ]


def test_one_packet_scheduling_is_refused_for_tcp() -> None:
    assert service(WEB + "ops = false\n").service.one_packet is False
    assert problems(WEB + "ops = true\n") == ["f:7: [web] ops: found yes; expected no, or protocol = udp"]


def test_scheduler_refuses_flags_it_does_not_have() -> None:
    assert problems(WEB + "scheduler-flag = mh-port\n") == [
        "f:7: [web] scheduler-flag: found 'mh-port'; expected no flag: the scheduler wrr has none"
    ]
    assert problems(WEB.replace("wrr", "mh") + "scheduler_flag = sh-port\n") == [
        (
            "f:7: [web] scheduler_flag: found 'sh-port'; expected one of mh-port, mh-fallback, flag-1, flag-2."
            " Did you mean: scheduler_flag = mh-port"
        )
    ]


def test_option_that_depends_on_a_refused_one_is_not_refused() -> None:
    assert len(problems(WEB.replace("tcp", "sctp") + "ops = yes\n")) == 1
    assert len(problems(WEB.replace("wrr", "x") + "scheduler-flag = mh-port\n")) == 1


@pytest.mark.parametrize(
    ("option", "bad", "wanted"),
    [
        ("proxyfetch.http_status", "99", "an HTTP status from 100 to 599"),
        ("proxyfetch.http_status", "600", "an HTTP status from 100 to 599"),
        ("proxyfetch.max_failures", "-1", "a whole number from 0 to 2147483647"),
        ("idleconnection.keepalive-retries", "0", "a whole number from 1 to 127"),
        ("idleconnection.keepalive-retries", "128", "a whole number from 1 to 127"),
        ("idleconnection.keepalive-idle", "0", "whole seconds from 1 to 32767"),
        ("idleconnection.keepalive-idle", "1.5", "whole seconds from 1 to 32767"),
        ("idleconnection.keepalive-interval", "32768", "whole seconds from 1 to 32767"),
        ("idleconnection.max-delay", "0", "seconds, more than 0 and at most 86400"),
    ],
)
def test_monitor_options_refuse_numbers_out_of_range(option: str, bad: str, wanted: str) -> None:
    text = WEB + "monitors = [ 'ProxyFetch', 'IdleConnection' ]\nproxyfetch.url = http://h/\n"
    assert problems(f"{text}{option} = {bad}\n") == [f"f:9: [web] {option}: found '{bad}'; expected {wanted}"]


@pytest.mark.parametrize(("more", "line"), [("source-interval = 300", 1), ("source-max-age = .5", 7)])
def test_source_max_age_must_exceed_source_interval(more: str, line: int) -> None:
    found, interval = ("300", "300") if line == 1 else ("0.5", "1")
    assert problems(WEB + f"{more}\n") == [
        f"f:{line}: [web] source-max-age: found {found}; expected more than source-interval, {interval}"
    ]


def test_bgp_requires_local_asn_and_peer_address() -> None:
    assert problems("[global]\nbgp = yes\nbgp-nexthop-ipv4 = 192.0.2.10\n" + WEB) == [
        "f:1: [global] bgp-local-asn: found nothing; expected an AS number from 1 to 4294967295",
        (
            "f:1: [global] bgp-peer-address: found nothing; expected the IPv4 or IPv6 address of a BGP peer, "
            "or a list of them"
        ),
    ]


def test_peer_address_refuses_a_placeholder() -> None:
    assert problems(BGP.replace("192.0.2.251", "(unspecified)") + WEB) == [
        "f:4: [global] bgp-peer-address: found '(unspecified)'; expected the IPv4 or IPv6 address of a BGP peer"
    ]


def test_next_hop_is_required_for_each_announced_family() -> None:
    v6 = WEB.replace("192.0.2.1", "2001:db8::1")
    assert problems(BGP + v6) == [
        (
            "f:1: [global] bgp-nexthop-ipv6: found nothing; expected an IPv6 address, "
            "because 2001:db8::1 of [web] (line 8) is announced"
        )
    ]
    assert "2001:db8::1 of [web] (line 8)" in problems(BGP + v6 + v6.replace("[web]", "[b]").replace("80", "81"))[0]
    assert settings(BGP + v6 + "bgp = no\n").bgp
    advertised = "instrumentation = yes\nadvertised_instrumentation_ips = ['2001:db8::9']\n"
    assert problems(BGP + advertised + WEB) == [
        (
            "f:1: [global] bgp-nexthop-ipv6: found nothing; expected an IPv6 address, "
            "because 2001:db8::9 of advertised_instrumentation_ips is announced"
        )
    ]


def test_invalid_next_hop_is_reported_once() -> None:
    assert problems(BGP.replace("192.0.2.10", "x") + WEB) == [
        "f:5: [global] bgp-nexthop-ipv4: found 'x'; expected an IPv4 address, not a name"
    ]


def test_services_with_the_same_address_are_refused() -> None:
    other = WEB.replace("[web]", "[other]")
    assert problems(WEB + other) == [
        (
            "f:10: [other] port: found tcp 192.0.2.1 port 80, as in [web] (line 1); "
            "expected a unique combination of protocol, ip and port"
        )
    ]
    assert len(settings(WEB + other.replace("tcp", "udp")).services) == 2
    assert len(settings(WEB + other.replace("80", "443")).services) == 2


def test_spelling_of_an_address_does_not_matter() -> None:
    one = WEB.replace("192.0.2.1", "2001:db8::1")
    other = WEB.replace("192.0.2.1", "2001:DB8:0::1").replace("[web]", "[other]")
    assert "as in [web] (line 1)" in problems(one + other)[0]


def test_services_of_one_vip_must_have_one_med() -> None:
    other = WEB.replace("[web]", "[other]").replace("80", "443")
    assert problems(WEB + other + "bgp-med = 100\n") == [
        "f:13: [other] bgp-med: found 100; expected 0, as in [web] (line 1) with the same ip"
    ]
    assert problems(BGP + WEB + "bgp-med = 1\n" + other) == [
        "f:13: [other] bgp-med: found 0; expected 1, as in [web] (line 12) with the same ip"
    ]
    assert settings(WEB + other + "bgp-med = 100\nbgp = no\n")
    assert settings(WEB + other.replace("192.0.2.1", "192.0.2.2") + "bgp-med = 100\n")


def test_service_with_problems_has_no_conflicts() -> None:
    broken = WEB.replace("[web]", "[other]").replace("wrr", "x")
    assert len(problems(WEB + broken)) == 1


def test_unknown_options_cause_warnings_with_suggestions() -> None:
    text = "[DEFAULT]\nprot = tcp\nport = 1\n[global]\ninstrumentation-port = 1\n" + WEB
    assert warnings(text + "depool-treshold = 1\nproxyfetch.ulr = x\nping.interval = 1\nxyzzy = 1\n") == [
        "f:2: [DEFAULT] prot: unknown option (did you mean port?)",
        "f:5: [global] instrumentation-port: unknown option (did you mean instrumentation_port?)",
        "f:12: [web] depool-treshold: unknown option (did you mean depool-threshold?)",
        "f:13: [web] proxyfetch.ulr: unknown option (did you mean proxyfetch.url?)",
        "f:14: [web] ping.interval: unknown option (did you mean udp.interval?)",
        "f:15: [web] xyzzy: unknown option (see man pybal.conf)",
    ]


def test_config_error_holds_the_warnings() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(WEB.replace("protocol", "protocl"), "f", KINDS)
    assert [str(problem) for problem in caught.value.problems] == [
        "f:1: [web] protocol: found nothing; expected one of tcp, udp"
    ]
    assert [str(warning) for warning in caught.value.warnings] == [
        "f:2: [web] protocl: unknown option (did you mean protocol?)"
    ]


def test_referenced_option_is_not_unknown() -> None:
    assert warnings(WEB.replace("/pools/web", "/%(dc)s/web") + "dc = a\n") == []


def test_malformed_reference_of_an_unread_option_is_refused() -> None:
    assert problems(WEB + "udp.interval = 5%\nfoo = %(bar)s\n") == [
        "f:7: [web] udp.interval: found a lone '%'; expected %% or %(option)s",
        "f:8: [web] foo: found '%(bar)s'; expected the name of an option of the same section or of [DEFAULT]",
    ]


def test_problem_in_default_is_reported_once_at_its_line() -> None:
    assert problems(
        "[DEFAULT]\nport = x\n"
        + WEB.replace("port = 80\n", "")
        + WEB.replace("[web]", "[b]").replace("port = 80\n", "")
    ) == ["f:2: [DEFAULT] port: found 'x'; expected a port number from 1 to 65535"]


def test_conflict_with_default_is_reported_at_the_service() -> None:
    text = "[DEFAULT]\nops = yes\nport = 53\n" + WEB.replace("port = 80\n", "")
    assert problems(text) == ["f:2: [web] ops: found yes; expected no, or protocol = udp"]
    text = text.replace("tcp", "udp")
    assert problems(text + text.replace("[web]", "[b]"))[0].startswith("f:11: [b] port: found udp 192.0.2.1 port 53, ")


def test_option_with_invalid_bytes_is_one_problem() -> None:
    assert problems(WEB.encode() + b"depool-threshold = \xff\n") == [
        "f:7: [web] depool-threshold: found the byte 0xff; expected printable text in UTF-8"
    ]


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "value",
    [
        f"k8s://{SECRET}@",
        f"k8s://{SECRET}",
        f"k8s:{SECRET}@h",
        f"k8s//{SECRET}@h",
        f"k8://{SECRET}@h",
        f"k8s://{SECRET}\n  @h",
        f"k8s://%{SECRET}@h",
        f"k8s://%({SECRET}@h",
        f"k8s://\0{SECRET}@h",
        f"http://u:{SECRET}@h:x/",
        f"'k8s://{SECRET}@h'",
        f"k8s://%({SECRET})s@h",
    ],
)
def test_problem_never_shows_a_token(value: str) -> None:
    text = WEB.replace("file:///pools/web", value)
    assert problems(text)
    assert SECRET not in "".join(problems(text) + problems("[global]\nfoo\n" + text.replace("config = ", "")))


def test_token_in_another_option_is_not_shown() -> None:
    assert problems(WEB + f"monitors = [ 'UDP' ]\n  k8s://{SECRET}\n") == [
        "f:7: [web] monitors: found \"[ 'UDP' ]\\nk8s://***\"; expected a list of quoted texts, separated by commas"
    ]


def test_token_is_in_no_representation_and_no_description() -> None:
    found = settings(WEB.replace("file:///pools/web", f"k8s://{SECRET}@h"))
    assert found.services[0].source.url == f"k8s://{SECRET}@h"
    assert SECRET not in repr(found) + describe(found)
    assert "k8s://***@h" in describe(found)


def test_description_has_totals_and_a_line_per_service() -> None:
    found = settings((DATA / "wmf-like.conf").read_text()).services
    parsed = parse((DATA / "every-monitor.conf").read_bytes(), "f", KINDS)
    assert describe(parsed.settings).splitlines() == [
        "3 services, 3 VIPs, 3 pool sources, no BGP, HTTP on 127.0.0.1:9191 [::1]:9191, IPVS through netlink",
        "web_80: tcp 10.2.1.1:80, wlc, threshold 0.5, ProxyFetch IdleConnection, file:///etc/pybal/pools/eqiad/web_80",
        (
            "dns_53: udp [2001:db8::53]:53, sh sh-port sh-fallback, one-packet, threshold 0.5, DNSQuery UDP, "
            "https://pools.example.org/dns.json"
        ),
        "search_9200: tcp 10.2.1.2:9200, wrr, threshold 0.5, RunCommand, k8s://***@kubernetes.example.org:6443",
    ]
    assert len(found) == 5
    lines = describe(settings("[global]\ndry-run = 1\n" + BGP + WEB + "tunneling = y")).splitlines()
    assert lines == [
        "1 service, 1 VIP, 1 pool source, BGP as 64600 to 192.0.2.251, no HTTP, IPVS through netlink, dry run",
        "web: tcp 192.0.2.1:80, wrr, tunneling, threshold 0.5, no monitors, file:///pools/web",
    ]


def test_file_of_the_largest_deployment_loads() -> None:
    found = settings((DATA / "wmf-like.conf").read_bytes())
    upload = next(each for each in found.services if each.service.name == "uploadlb6_443")
    assert upload.service == Service(
        "uploadlb6_443",
        IPProtocol.TCP,
        IPv6Address("2620:0:861:ed1a::2:b"),
        443,
        "mh",
        tunneling=True,
        depool_threshold=0.66,
        monitors=("IdleConnection", "ProxyFetch"),
    )
    assert upload.bgp_med == 100
    assert upload.monitors[1] == ProxyFetchSettings(("https://healthcheck.example.org/varnish-fe",))


def test_file_full_of_comments_and_spellings_loads() -> None:
    web, dns, search = settings((DATA / "every-monitor.conf").read_bytes()).services
    assert web.monitors[0] == ProxyFetchSettings(
        ("http://www.example.org/a%20b", "https://www.example.org:8443/"), timeout=2.5, check_all=True, max_failures=1
    )
    assert dns.monitors == (DNSQuerySettings(("www.example.org",), timeout=1.0), UDPSettings(icmp_timeout=30.0))
    assert search.monitors == (
        RunCommandSettings(
            command="/bin/sh",
            arguments=("/etc/pybal/check", ServerField.HOST, ServerField.IP, ServerField.PORT, "5", "it's"),
            log_output=False,
        ),
    )


def test_file_with_crlf_and_latin_1_comments_loads() -> None:
    assert service_of("odd.conf").port == 516


def service_of(name: str) -> Service:
    return settings((DATA / name).read_bytes()).services[0].service


def test_ca_without_verify_is_refused() -> None:
    web = WEB + "monitors = [ 'TLS' ]\ntls.ca = /etc/ca.pem\n"
    assert problems(web) == ["f:8: [web] tls.ca: found '/etc/ca.pem'; expected tls.verify = yes as well"]
    assert warnings(web + "tls.verify = yes\n") == [
        "f:9: [web] tls.verify: found yes; expected tls.name as well; without it a certificate for any host is accepted"
    ]
    assert warnings(web + "tls.verify = yes\ntls.name = www.example.org\n") == []
