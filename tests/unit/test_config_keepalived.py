"""The conversion of keepalived.conf: its syntax, what is carried over, and the remarks on the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from pybal.config.keepalived.convert import Conversion, convert
from pybal.config.keepalived.syntax import SyntaxLimitError
from pybal.config.parse import parse
from pybal.config.settings import ServiceSettings
from pybal.monitors.kinds import KINDS

TEN = Path(__file__).parents[1] / "data" / "keepalived" / "ten.conf"
NO_FILES: Mapping[str, str] = MappingProxyType({})


def converted(text: str, files: Mapping[str, str] = NO_FILES) -> Conversion:
    def read(pattern: str, _file: str) -> Sequence[tuple[str, str]]:
        if pattern == "denied":
            raise PermissionError(13, "Permission denied")
        return [(name, files[name]) for name in files if name == pattern]

    return convert("k.conf", text, read, KINDS)


def services(found: Conversion) -> dict[str, ServiceSettings]:
    parsed = parse(found.text, "f", KINDS)
    assert parsed.warnings == ()
    return {each.service.name: each for each in parsed.settings.services}


def server(*lines: str, check: str = "TCP_CHECK {\n}", head: str = "192.0.2.1 80", protocol: str = "TCP") -> str:
    """Return a virtual server with one real server; its own lines begin at line 5."""
    port = head.rpartition(" ")[2]
    own = "\n".join(lines) + "\n" if lines else ""
    return (
        f"virtual_server {head} {{\nprotocol {protocol}\nlb_algo wlc\nlb_kind DR\n{own}"
        f"real_server 10.0.0.1 {port} {{\n{check}\n}}\n}}\n"
    )


def remarks(found: Conversion) -> list[str]:
    return list(map(str, found.remarks))


def option_lines(found: Conversion, prefix: str) -> list[str]:
    return [line.removeprefix(prefix) for line in found.text.splitlines() if line.startswith(prefix)]


def test_ten_kinds_of_virtual_servers_are_services_of_a_valid_file() -> None:
    found = services(converted(TEN.read_text()))
    assert {name: each.service.monitors for name, each in found.items()} == {
        "192.0.2.1_18080": ("ProxyFetch",),
        "192.0.2.2_443": ("ProxyFetch",),
        "192.0.2.3_18080": ("TCPConnect",),
        "192.0.2.4_25": ("TCPConnect",),
        "192.0.2.5_53_udp": ("DNSQuery",),
        "192.0.2.6_3306": ("RunCommand",),
        "192.0.2.7_8080": ("ICMP",),
        "192.0.2.8_514_udp": ("UDP",),
        "192.0.2.9_143": ("TCPConnect",),
        "192.0.2.10_143": ("TCPConnect",),
        "2001-db8--9_143": ("TCPConnect",),
        "2001-db8--10_80": (),
    }
    tunnels = [name for name, each in found.items() if each.service.tunneling]
    assert tunnels == ["192.0.2.9_143", "192.0.2.10_143", "2001-db8--9_143"]


def test_remarks_of_the_ten_kinds_name_file_line_and_remedy() -> None:
    assert [each.partition(";")[0] for each in remarks(converted(TEN.read_text()))] == [
        "k.conf:59: url: found 'https://192.0.2.2/a b'",
        "k.conf:65: status_code 200-299 404: PyBal expects the same statuses of all URLs",
        "k.conf:97: SMTP_CHECK: TCPConnect waits for the greeting 220 and sends no HELO",
        "k.conf:102: SMTP_CHECK: TCPConnect waits for the greeting 220 and sends no HELO",
        "k.conf:128: persistence_timeout 50: IPVS persistence is not used (scheduler = sh or mh sends a client address to the same server)",
        "k.conf:184: virtual_server 2001:db8::10 80: PyBal forwards directly or by tunnels instead of NAT (the servers need the VIP, see docs/real-servers.md)",
        "k.conf:187: sorry_server 2001:db8::99 80: PyBal has no sorry server (let the servers send the error page",
        "k.conf:188: real_server 2001:db8::11 8080: PyBal does not translate ports (the server must listen on the port of the VIP, 80)",
        "k.conf:190: inhibit_on_failure: a failed server is removed from IPVS instead of getting weight 0",
    ]


def test_pool_files_have_the_weights_and_are_shared_by_a_group() -> None:
    pools = converted(TEN.read_text()).pools
    assert pools["192.0.2.1_18080"] == (
        "{'host': '127.0.1.11', 'weight': 10, 'enabled': True}\n{'host': '127.0.1.12', 'weight': 20, 'enabled': True}\n"
    )
    assert "192.0.2.10_143" not in pools


def test_fully_carried_file_has_no_remark() -> None:
    assert remarks(converted("global_defs {\nrouter_id x\n}\n" + server("delay_loop 6", "alpha", "quorum 1"))) == []


def test_retries_become_fall_and_the_pause_before_them_fast_interval() -> None:
    check = "TCP_CHECK {\nretry 3\ndelay_before_retry 2\nconnect_timeout 4\n}"
    assert option_lines(converted(server("delay_loop 6", check=check)), "tcpconnect.") == [
        "timeout = 4",
        "interval = 6",
        "fall = 4",
        "fast-interval = 2",
    ]


@pytest.mark.parametrize(
    ("check", "fall"),
    [
        ("HTTP_GET {\nurl {\npath /\n}\n}", ["proxyfetch.fall = 2", "proxyfetch.fast-interval = 3"]),
        ("TCP_CHECK {\n}", ["tcpconnect.fall = 2", "tcpconnect.fast-interval = 1"]),
        ("DNS_CHECK {\ntype A\nname a.example\n}", ["dnsquery.fall = 4"]),
        ("MISC_CHECK {\nmisc_path /bin/true\n}", []),
    ],
)
def test_retries_have_the_default_of_the_check(check: str, fall: list[str]) -> None:
    lines = converted(server(check=check)).text.splitlines()
    assert [line for line in lines if ".fall = " in line or ".fast-interval = " in line] == fall


def test_defaults_of_a_virtual_server_apply_to_the_checks_of_its_servers() -> None:
    found = converted(server("delay_loop 7", "connect_timeout 2", "retry 0", "virtualhost a.example", check=HTTP))
    assert option_lines(found, "proxyfetch.") == [
        "timeout = 2",
        "interval = 7",
        "url = [ 'http://a.example/x' ]",
        "statuses = 200-299",
    ]


HTTP = "HTTP_GET {\nurl {\npath /x\n}\n}"


@pytest.mark.parametrize(
    ("head", "url"),
    [
        ("192.0.2.1 80", "http://192.0.2.1/x"),
        ("192.0.2.1 8080", "http://192.0.2.1:8080/x"),
    ],
)
def test_url_without_a_virtual_host_names_the_vip(head: str, url: str) -> None:
    assert option_lines(converted(server(check=HTTP, head=head)), "proxyfetch.url = ") == [f"[ '{url}' ]"]


def test_regular_expression_is_carried_over_if_pybal_supports_it() -> None:
    page = "HTTP_GET {\nurl {\npath /\nregex %s\nregex_options caseless\n}\n}"
    assert option_lines(converted(server(check=page % r'"ok [0-9]+%"')), "proxyfetch.body-regex = ") == [
        "'(?i)ok [0-9]+%%'"
    ]
    refused = converted(server(check=page % r'"(?<=a)b"'))
    assert option_lines(refused, "proxyfetch.body-regex") == []
    assert remarks(refused)[0].startswith("k.conf:9: regex (?<=a)b: found ")


def test_arguments_of_a_script_name_the_address_and_port_of_the_server() -> None:
    check = "MISC_CHECK {\nmisc_path \"/opt/check 'a b' 10.0.0.1 80 10.0.0.2\"\n}"
    found = services(converted(server(check=check)))["192.0.2.1_80"]
    assert option_lines(converted(server(check=check)), "runcommand.arguments = ") == [
        "[ 'a b', server.ip, server.port, '10.0.0.2' ]"
    ]
    assert found.service.monitors == ("RunCommand",)


@pytest.mark.parametrize(
    ("weights", "quorum", "least"), [((1, 1, 1), 2, "2"), ((10, 10, 10), 15, "2"), ((1, 2), 2, ""), ((1,), 5, "")]
)
def test_quorum_of_equal_weights_is_a_number_of_servers(weights: Sequence[int], quorum: int, least: str) -> None:
    servers = "".join(f"real_server 10.0.0.{n} 80 {{\nweight {weight}\n}}\n" for n, weight in enumerate(weights, 1))
    text = f"virtual_server 192.0.2.1 80 {{\nprotocol TCP\nlb_kind DR\nquorum {quorum}\n{servers}}}\n"
    found = converted(text)
    assert option_lines(found, "bgp-withdraw-below = ") == ([least] if least else [])
    assert [each.startswith(f"k.conf:4: quorum {quorum}: ") for each in remarks(found)] == ([] if least else [True])


@pytest.mark.parametrize(
    ("line", "remark"),
    [
        ("persistence_timeout 50", "IPVS persistence is not used"),
        ("sorry_server 10.0.0.9 80", "PyBal has no sorry server"),
        ("quorum_down /bin/x", "PyBal runs no scripts on transitions"),
        ("omega", "PyBal runs no scripts on transitions"),
        ("hysteresis 2", "PyBal announces a VIP again"),
        ("smtp_alert", "PyBal sends no mail"),
        ("ha_suspend", "checks always run"),
        ("flag-3", "no equivalent"),
        ("sh-port", "not a flag of the scheduler wlc"),
        ("lb_algo twos", "not a scheduler of PyBal; using wlc"),
        ("lb_kind NAT", "PyBal forwards directly or by tunnels"),
        ("lb_kind TUN type gue port 5555", "tunnels are IPIP"),
        ("ops", "one-packet scheduling is for UDP only"),
        ("delay_loop soon", "found 'soon'; tcpconnect.interval takes seconds"),
        ("delay_loop $LOOP", "$LOOP is not expanded"),
        ("delay_loop ~SEQ(LOOP,1,9)", "~SEQ is not expanded"),
        ("@main delay_loop 5", "a condition on the configuration id"),
    ],
)
def test_directive_without_an_equivalent_is_a_remark_and_a_comment(line: str, remark: str) -> None:
    found = converted(server(line))
    assert [each for each in remarks(found) if each.startswith(f"k.conf:5: {line}: {remark}")] == remarks(found) != []
    assert f"# {remarks(found)[0]}" in found.text.splitlines()
    assert list(services(found)) == ["192.0.2.1_80"]


@pytest.mark.parametrize(
    ("check", "remark"),
    [
        ("BFD_CHECK {\nname x\n}", "k.conf:6: BFD_CHECK: PyBal has no BFD to servers"),
        ("DNS_CHECK {\ntype A\n}", "k.conf:6: DNS_CHECK: no monitor without dnsquery.hostnames"),
        ("DNS_CHECK {\nname a.example\n}", "k.conf:6: DNS_CHECK: DNSQuery asks for A or AAAA records"),
        ("HTTP_GET {\nurl {\npath /\ndigest 00\n}\n}", "k.conf:9: digest 00: PyBal compares no digest"),
        ("HTTP_GET {\nurl {\npath /\npassword s3cr3t\n}\n}", "k.conf:9: password: set proxyfetch.headers"),
        ("HTTP_GET {\n}", "k.conf:6: HTTP_GET: no monitor without proxyfetch.url"),
        ("MISC_CHECK {\nmisc_path /x\nmisc_dynamic\n}", "k.conf:8: misc_dynamic: a check does not change the weight"),
        ("TCP_CHECK {\nconnect_ip 10.0.0.2\n}", "k.conf:7: connect_ip 10.0.0.2: a check connects to the server"),
        ("TCP_CHECK {\n}\nTCP_CHECK {\n}", "k.conf:8: TCP_CHECK: a second check of kind TCPConnect"),
        ("notify_down /x", "k.conf:6: notify_down /x: PyBal runs no scripts"),
        ("uthreshold 5", "k.conf:6: uthreshold 5: limits of connections"),
        ("weight -1", "k.conf:6: weight -1: not a weight; using 1"),
        ("weight 9999999999999", "k.conf:6: weight 9999999999999: not a weight; using 1"),
    ],
)
def test_directive_of_a_server_without_an_equivalent_is_a_remark(check: str, remark: str) -> None:
    found = converted(server(check=check))
    assert [each for each in remarks(found) if each.startswith(remark)] == remarks(found) != []
    assert "s3cr3t" not in found.text + "".join(remarks(found))
    assert list(services(found)) == ["192.0.2.1_80"]


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        (server(head="fwmark 1"), "k.conf:1: virtual_server fwmark 1: firewall marks are not used"),
        (server(head="group g"), "k.conf:1: virtual_server group g: no virtual_server_group of this name"),
        (server(head="192.0.2.1 0"), "k.conf:1: virtual_server 192.0.2.1 0: a service has one port"),
        (server(head="x 80"), "k.conf:1: virtual_server x 80: no address"),
        (server(protocol="SCTP"), "k.conf:2: protocol SCTP: a service is TCP or UDP"),
        (server(protocol="$A"), "k.conf:2: protocol $A: a service is TCP or UDP"),
        ("vrrp_instance V {\n}\n", "k.conf:1: vrrp_instance V: PyBal announces VIPs by BGP"),
        ("virtual_server_group g {\n192.0.2.1 80\n}\n", "k.conf:1: virtual_server_group g: no virtual server uses it"),
        ("bfd_instance b {\n}\n", "k.conf:1: bfd_instance b: PyBal has no BFD"),
        ("colour blue\n", "k.conf:1: colour blue: no equivalent"),
    ],
)
def test_block_without_a_service_is_a_remark(text: str, remark: str) -> None:
    found = converted(text)
    assert any(each.startswith(remark) for each in remarks(found))
    assert "k.conf:1: no service: the file has no virtual server that PyBal can serve" in remarks(found)


def test_remark_on_vrrp_names_the_addresses_to_announce() -> None:
    found = converted("vrrp_instance V {\nvirtual_ipaddress {\n192.0.2.1/32\n192.0.2.2 dev eth0\n}\n}\n")
    assert remarks(found)[0].endswith("; its addresses: 192.0.2.1/32, 192.0.2.2")


def test_second_virtual_server_of_an_address_and_port_is_left_out() -> None:
    found = converted(server() + server())
    assert list(services(found)) == ["192.0.2.1_80"]
    assert [each.rpartition("; ")[0] for each in remarks(found)] == [
        "k.conf:10: virtual_server 192.0.2.1 80: a second virtual server with protocol, address and port of 192.0.2.1_80"
    ]


def test_servers_with_other_checks_or_another_family_are_remarks() -> None:
    text = (
        "virtual_server 192.0.2.1 80 {\nprotocol TCP\nlb_kind DR\nreal_server 10.0.0.1 80 {\nTCP_CHECK {\n}\n}\n"
        "real_server 10.0.0.2 80 {\n}\nreal_server 10.0.0.1 80 {\n}\nreal_server 2001:db8::1 80 {\n}\n}\n"
    )
    assert [each.partition(":")[2].partition(";")[0] for each in remarks(converted(text))] == [
        "8: real_server 10.0.0.2 80: its checks differ from those of the first server",
        "10: real_server 10.0.0.1 80: the address is in the pool already",
        "12: real_server 2001:db8::1 80: its address is not of the family of the VIP",
    ]


def test_range_of_a_group_is_a_service_for_each_address() -> None:
    group = "virtual_server_group g {\n192.0.2.254-192.0.3.1 80\n198.51.100.0/30 81\n192.0.2.1-9999 80\nfwmark 3\n}\n"
    found = converted(group + server(head="group g"))
    assert [name for name in services(found) if name.endswith("_80")] == [
        "192.0.2.254_80",
        "192.0.2.255_80",
        "192.0.3.0_80",
        "192.0.3.1_80",
    ]
    assert len([name for name in services(found) if name.endswith("_81")]) == 4
    assert [str(each.place) for each in found.remarks if each.place.line < 6] == ["k.conf:4", "k.conf:5"]


def test_included_files_are_read_and_named_in_remarks() -> None:
    found = converted("include a\n", {"a": "include b\n", "b": server("omega")})
    assert list(services(found)) == ["192.0.2.1_80"]
    assert remarks(found)[0].startswith("b:5: omega: ")


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("include nothing\n", "k.conf:1: include nothing: no such file"),
        ("include denied\n", "k.conf:1: include denied: cannot be read: Permission denied"),
        ("include a\n", "a:1: include a: files included more than 10 levels deep"),
        ("global_defs {\n", "k.conf:1: global_defs: its block has no closing brace"),
        ("}\n", "k.conf:1: a closing brace without a block"),
        ("{\n}\n", "k.conf:1: a brace without a name before it"),
        ("$A=1 \\\nb {\n", "k.conf:1: $A: definitions are not expanded (write the value where it is used)"),
        ("x" * 9000, "k.conf:1: a line of 9000 characters (write at most 8192)"),
    ],
)
def test_fault_of_the_syntax_is_a_remark(text: str, remark: str) -> None:
    assert remark in remarks(converted(text, {"a": "include a\n"}))


def test_nesting_and_size_beyond_the_limits_are_errors() -> None:
    with pytest.raises(SyntaxLimitError, match=r"^k\.conf:33: blocks nested more than 32 levels deep$"):
        converted("a {\n" * 33)
    with pytest.raises(SyntaxLimitError, match=r"^a: more than 4194304 characters, or 1000 files"):
        converted("include a\n" * 1001, {"a": ""})


def test_comments_and_quotes_are_read_as_keepalived_reads_them() -> None:
    check = 'HTTP_GET { ! why\nurl\n{\npath "/a#b!c"# more\n}}'
    assert option_lines(converted(server(check=check)), "proxyfetch.url = ") == ["[ 'http://192.0.2.1/a#b!c' ]"]
