"""Converters: accepted texts, values, and the messages of refusals."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from pybal.config import bgp_options, command_options, convert, url_options
from pybal.config.command_options import ServerField
from pybal.config.convert import Converter
from pybal.config.errors import InvalidValueError, masked, shown


def refusal(converter: Converter[object], text: str) -> str:
    with pytest.raises(InvalidValueError) as caught:
        converter(text)
    return str(caught.value)


@pytest.mark.parametrize("word", ["t", "true", "y", "yes", "on", "1", "True", "YES"])
def test_boolean_accepts_words_for_yes(word: str) -> None:
    assert convert.boolean(word) is True


@pytest.mark.parametrize("word", ["f", "false", "n", "no", "off", "0", "False", "OFF"])
def test_boolean_accepts_words_for_no(word: str) -> None:
    assert convert.boolean(word) is False


@pytest.mark.parametrize("word", ["", "2", "ja", "yes ", "None"])
def test_boolean_refuses_other_words(word: str) -> None:
    assert refusal(convert.boolean, word) == (
        f"found {word!r}; expected yes or no (t true y yes on 1, f false n no off 0)"
    )


def test_port_accepts_numbers_from_1_to_65535() -> None:
    assert [convert.port(text) for text in ("1", "80", "+443", "65535")] == [1, 80, 443, 65535]
    for text in ("0", "65536", "-1", "http", "8_0", "0x50", "80.0", "\u0668\u0660", "", "9" * 5000):
        assert refusal(convert.port, text) == f"found {shown(text)}; expected a port number from 1 to 65535"


def test_share_accepts_numbers_from_0_to_1() -> None:
    assert [convert.share(text) for text in ("0", ".5", "0.66", "1", "1.", "1.0")] == [0, 0.5, 0.66, 1, 1, 1]
    for text in ("-0.1", "1.01", "50%", "nan", "inf", "1e-3", ".", "", "0." + "9" * 5000):
        assert refusal(convert.share, text) == f"found {shown(text)}; expected a share from 0 to 1 (0.5 is 50 %)"


def test_seconds_accepts_positive_durations_of_at_most_a_day() -> None:
    assert [convert.seconds(text) for text in ("5", "0.25", "86400")] == [5, 0.25, 86400]
    for text in ("0", "0.0"):
        assert refusal(convert.seconds, text) == f"found '{text}'; expected seconds, more than 0 and at most 86400"
    for text in ("-1", "86401", "inf", "nan", "5s", ""):
        assert refusal(convert.seconds, text) == f"found '{text}'; expected seconds, at most 86400"


def test_pause_accepts_0() -> None:
    assert convert.pause("0") == 0


def test_address_accepts_addresses_of_one_host() -> None:
    assert convert.address("192.0.2.1") == IPv4Address("192.0.2.1")
    assert convert.address("2001:DB8::1") == IPv6Address("2001:db8::1")
    assert refusal(convert.address, "host") == "found 'host'; expected an IPv4 or IPv6 address, not a name"
    for text in ("192.0.2", "192.0.2.1/32", "192.0.2.01", "(unspecified)", "", "1"):
        assert refusal(convert.address, text) == f"found '{text}'; expected an IPv4 or IPv6 address"
    for text in ("0.0.0.0", "::"):
        assert refusal(convert.address, text) == f"found '{text}'; expected the address of a host"
    for text in ("224.0.0.1", "ff02::1", "fe80::1%eth0"):
        assert refusal(convert.address, text) == f"found '{text}'; expected an address of this host, without a zone"


def test_listen_address_accepts_the_unspecified_address() -> None:
    assert convert.listen_address("::") == IPv6Address("::")


def test_next_hop_accepts_addresses_of_its_family() -> None:
    assert bgp_options.nexthop_ipv4("192.0.2.1") == IPv4Address("192.0.2.1")
    assert bgp_options.nexthop_ipv6("") is None
    assert refusal(bgp_options.nexthop_ipv4, "2001:db8::1") == "found '2001:db8::1'; expected an IPv4 address"
    assert refusal(bgp_options.nexthop_ipv6, "192.0.2.1") == "found '192.0.2.1'; expected an IPv6 address"


def test_texts_accepts_single_and_double_quotes() -> None:
    assert convert.texts("[ 'a', \"b\" ]") == ("a", "b")
    assert convert.texts("('a', u'b',)") == ("a", "b")
    assert convert.texts("'a', 'b'") == ("a", "b")
    assert convert.texts("[]") == convert.texts("()") == ()


def test_texts_reads_a_bare_text_as_a_list_of_one() -> None:
    assert convert.texts("http://x/?a=[1]") == ("http://x/?a=[1]",)
    assert convert.texts("(unspecified)") == ("(unspecified)",)
    assert convert.texts("'a'") == ("a",)
    assert convert.texts("") == ()


def test_texts_ignores_comments_and_line_breaks() -> None:
    assert convert.texts("[ 'a', # 'x',\n'b ;#' ; 'y'\n, ] # z") == ("a", "b ;#")


def test_texts_resolves_the_escapes_of_python_2() -> None:
    assert convert.texts(r"""['it\'s', "\"", '\\d\d', '\x41\101\n', 'a\
b', '\u0041', '\xg']""") == ("it's", '"', r"\d\d", "AA\n", "ab", r"\u0041", r"\xg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("['a'", "found the end; expected a comma or ]"),
        ("['a',", "found the end; expected an item"),
        ("['a' 'b']", "found 'b'; expected a comma or ]"),
        ("['a'] 'b'", "found 'b'; expected nothing after the ]"),
        ("['a'];['b']", "found \";['b']\"; expected a list of quoted texts, separated by commas"),
        ("[,]", "found ','; expected an item"),
        ("[['a']]", "found '['; expected an item"),
        ("('a']", "found ']'; expected a comma or )"),
        ("'a' 'b'", "found 'b'; expected a comma or the end"),
        ("['a]", 'found "\'a]"; expected a list of quoted texts, separated by commas'),
        ("['a\nb']", "found \"'a\\nb']\"; expected a list of quoted texts, separated by commas"),
        ("[a]", "found 'a' without quotes; expected texts in quotes"),
        ("['a', 5]", "found '5' without quotes; expected texts in quotes"),
        ("[__import__('os')]", "found '('; expected a comma or ]"),
        ("['a' + 'b']", "found \"+ 'b']\"; expected a list of quoted texts, separated by commas"),
    ],
)
def test_texts_refuses_malformed_lists(text: str, message: str) -> None:
    assert refusal(convert.texts, text) == message


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "('" * 100_000, "['a'" * 100_000, "[" + "9" * 100_000, "['" + "\\" * 99_999]
)
def test_deep_and_long_lists_are_read_or_refused(text: str) -> None:
    refusal(convert.texts, text)
    refusal(command_options.arguments, text)


def test_each_removes_duplicates_and_keeps_the_order() -> None:
    assert convert.each(convert.address)("['192.0.2.2', '192.0.2.1', '192.0.2.2']") == (
        IPv4Address("192.0.2.2"),
        IPv4Address("192.0.2.1"),
    )


def test_some_refuses_an_empty_list_and_names_the_value() -> None:
    peers = convert.some(convert.address, "the address of a peer")
    assert refusal(peers, "[]") == "found '[]'; expected the address of a peer, or a list of them"
    assert refusal(peers, "['192.0.2.1', 'x']") == "found 'x'; expected an IPv4 or IPv6 address, not a name"


def test_words_accepts_lists_and_commas() -> None:
    for text in ("['a', 'b']", "a,b", "a, b", "a b", "['a,b']"):
        assert convert.words(text) == ("a", "b")


def test_local_addresses_omits_empty_texts() -> None:
    assert bgp_options.local_addresses('[""]') == ()
    assert bgp_options.local_addresses('["", "192.0.2.1"]') == (IPv4Address("192.0.2.1"),)


def test_path_of_as_numbers_accepts_numbers_separated_by_blanks() -> None:
    assert bgp_options.as_path("64600  4294967295") == (64600, 4294967295)
    assert bgp_options.as_path("") == ()
    for text, bad in (("64600,64601", "64600,64601"), ("64600 0", "0"), ("4294967296", "4294967296")):
        assert refusal(bgp_options.as_path, text) == (
            f"found '{bad}'; expected AS numbers from 1 to 4294967295, separated by blanks"
        )


def test_choice_suggests_the_nearest_word() -> None:
    assert convert.choice("wrr", "wlc")("wrr") == "wrr"
    assert refusal(convert.choice("wrr", "wlc"), "WRR") == "found 'WRR'; expected one of wrr, wlc"
    assert refusal(convert.choice("wrr", "wlc"), "-A") == "found '-A'; expected one of wrr, wlc"


@pytest.mark.parametrize("text", ["www.example.org", "www.example.org.", "_x._tcp.example.org", "a" * 63])
def test_hostname_accepts_valid_names(text: str) -> None:
    assert convert.hostname(text) == text


@pytest.mark.parametrize("text", ["", ".", "a..b", "a b", "a" * 64, "a." * 127, "caf\xe9.example"])
def test_hostname_refuses_invalid_names(text: str) -> None:
    assert refusal(convert.hostname, text) == f"found {shown(text)}; expected a host name"


@pytest.mark.parametrize(
    "text",
    [
        "http://h",
        "https://h/",
        "HTTP://h:8080/a?b=c@d#e",
        "http://[2001:db8::1]:80/",
        "http://192.0.2.1/%20",
        "http://h?x",
    ],
)
def test_check_url_accepts_valid_urls(text: str) -> None:
    assert url_options.check_url(text) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ""),
        ("www.example.org", ""),
        ("ftp://h/", ""),
        ("http:///path", ", with a host and optionally a port from 1 to 65535"),
        ("http://h:0/", ", with a host and optionally a port from 1 to 65535"),
        ("http://h:65536/", ", with a host and optionally a port from 1 to 65535"),
        ("http://h:http/", ", with a host and optionally a port from 1 to 65535"),
        ("http://[x]/", ", with a host and optionally a port from 1 to 65535"),
        ("http://[::1/", ", with a host and optionally a port from 1 to 65535"),
        ("http://h/a b", ""),
        ("http://h/\r\nX: y", ""),
        ("http://h/caf\xe9", ""),
        ("http://user:word@h/", ", without user and password"),
    ],
)
def test_check_url_refuses_invalid_urls(text: str, wanted: str) -> None:
    assert refusal(url_options.check_url, text) == (
        f"found {shown(text)}; expected a URL http://host/path or https://host/path{wanted}"
    )


@pytest.mark.parametrize(
    "text",
    [
        "file:///etc/pybal/pools/a b",
        "file://pools/a.json",
        "http://user:word@h:8080/pool",
        "https://h",
        "etcd://h:2379/conftool/v1/?api=3",
        "etcd://a:2379,[2001:db8::1]:2379/conftool/",
        "k8s://token@h:443",
        "k8s://token@h/",
        "k8s://token@[2001:db8::1]:6443/?labelSelector=role%20in%20(lvs,edge)",
        "k8s://token@h?labelSelector=role=lvs,!spare",
        "dns+srv://_http._tcp.example.org",
    ],
)
def test_source_url_accepts_every_scheme(text: str) -> None:
    assert url_options.source_url(text) == text


@pytest.mark.parametrize(
    ("text", "found", "wanted"),
    [
        ("file://", "'file://'", "file:///path"),
        ("file:///", "'file:///'", "file:///path"),
        ("file:///a\nb", r"'file:///a\nb'", "file:///path"),
        ("http:///pool", "'http:///pool'", "http://host/path"),
        ("etcd://h", "'etcd://h'", "etcd://host:port/path"),
        ("etcd:///path", "'etcd:///path'", "etcd://host:port/path"),
        ("k8s://s3cr3t", "'k8s://***'", "k8s://token@host/?labelSelector=name=value"),
        ("k8s://@h", "'k8s://***@h'", "k8s://token@host/?labelSelector=name=value"),
        ("k8s://s3cr3t@", "'k8s://***@'", "k8s://token@host/?labelSelector=name=value"),
        ("k8s://s3cr3t@h/api", "'k8s://***@h/api'", "k8s://token@host/?labelSelector=name=value"),
        (
            "k8s://s3cr3t@h/?fieldSelector=a=b",
            "'k8s://***@h/?fieldSelector=a=b'",
            "k8s://token@host/?labelSelector=name=value",
        ),
        (
            "k8s://s3cr3t@h/?labelSelector=",
            "'k8s://***@h/?labelSelector='",
            "k8s://token@host/?labelSelector=name=value",
        ),
        ("k8s:/s3cr3t@h", "'k8s:/***@h'", "any"),
        ("k8s //s3cr3t@h", "'***@h'", "any"),
        ("dns+srv://example.org", "'dns+srv://example.org'", "dns+srv://_service._protocol.domain"),
        ("dns+srv://_http._tcp", "'dns+srv://_http._tcp'", "dns+srv://_service._protocol.domain"),
        ("zookeeper://h/", "'zookeeper://h/'", "any"),
        ("/etc/pybal/pools/a", "'/etc/pybal/pools/a'", "any"),
        ("", "''", "any"),
    ],
)
def test_source_url_refuses_invalid_urls_and_masks_tokens(text: str, found: str, wanted: str) -> None:
    if wanted == "any":
        wanted = (
            "a URL: one of file:///path, http://host/path, https://host/path, etcd://host:port/path, "
            "k8s://token@host/?labelSelector=name=value, dns+srv://_service._protocol.domain"
        )
    assert refusal(url_options.source_url, text) == f"found {found}; expected {wanted}"


def test_command_accepts_one_program() -> None:
    assert command_options.command("/bin/sh") == command_options.command("'/bin/sh'") == "/bin/sh"
    for text in ("", "[]", "['/bin/sh', '-c']", r"'a\0'"):
        assert "expected the path of one program" in refusal(command_options.command, text)


def test_arguments_accepts_texts_numbers_and_server_facts() -> None:
    assert command_options.arguments("['-x', server.host, server.ip, server.port, -5, 2.50, 'server.host']") == (
        "-x",
        ServerField.HOST,
        ServerField.IP,
        ServerField.PORT,
        "-5",
        "2.50",
        "server.host",
    )
    assert command_options.arguments("server.host") == (ServerField.HOST,)
    assert command_options.arguments("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "[server.weight]",
        "[server]",
        "[server.host.x]",
        "[server.host()]",
        "[server['host']]",
        "[os.environ]",
        "__import__('os').system('true')",
        "['a' % server.host]",
        "[0x10]",
        "[1e3]",
        r"['\x00']",
        "[x for x in 'ab']",
        "[{}]",
        "['a', ['b']]",
    ],
)
def test_arguments_refuses_other_items(text: str) -> None:
    refusal(command_options.arguments, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b""),
        ('""', b""),
        ("PING", b"PING"),
        (r"PING\r\n", b"PING\r\n"),
        (r"'PING\r\n'", b"PING\r\n"),
        (r'"it\'s \"x\" \\ \0\x00\xff\377\777"', b'it\'s "x" \\ \0\0\xff\xff\xff'),
        ("'\u00e9\u20ac'", b"\xc3\xa9\xe2\x82\xac"),
        ("\u00e9", b"\xc3\xa9"),
        (r"['\r\n']", b"\r\n"),
        ("it's", b"it's"),
    ],
)
def test_octets_resolves_escapes(text: str, expected: bytes) -> None:
    assert convert.octets(text) == expected


@pytest.mark.parametrize("text", ["'a', 'b'", "[]", "[1]", "'a"])
def test_octets_refuses_several_texts(text: str) -> None:
    refusal(convert.octets, text)


@pytest.mark.parametrize("text", ["", '""', "''", "[]"])
def test_name_and_authority_accept_the_empty_text(text: str) -> None:
    assert (convert.optional_hostname(text), url_options.authority(text), convert.optional_text(text)) == ("", "", "")


def test_name_and_authority_are_read_bare_or_quoted() -> None:
    assert convert.optional_hostname("a.example") == convert.optional_hostname("'a.example'") == "a.example"
    for text in ("a.example", "a.example:443", "192.0.2.1"):
        assert url_options.authority(text) == url_options.authority(f"'{text}'") == text
    assert url_options.authority("'[2001:db8::1]:443'") == "[2001:db8::1]:443"
    for text in ("a b", "a.example:0", "http://a.example", "2001:db8::1", "user@a.example", "'a', 'b'"):
        refusal(url_options.authority, text)
    for text in ("a b", "a..example", "'a', 'b'"):
        refusal(convert.optional_hostname, text)


def test_shown_value_is_short_and_on_one_line() -> None:
    assert shown("a\nb\0") == r"'a\nb\x00'"
    assert len(shown("x" * 1000)) == 82


def test_credentials_are_never_shown() -> None:
    assert masked("https://user:p@ss@h/pool") == "https://***@h/pool"
    assert masked("K8S://s3cr3t") == "K8S://***"
    assert masked("['http://user:word@h/']") == "***@h/']"
    assert masked("etcd://h/path") == "etcd://h/path"
