"""The secrets of a configuration with their places, and the exposures that its text shows."""

from __future__ import annotations

import pytest

from pybal.config.errors import ConfigError
from pybal.config.parse import parse
from pybal.config.sensitive import Location, Secret, Sensitive
from pybal.monitors.kinds import KINDS

WEB = """\
[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
"""
CHECK = "config = file:///pools/web\nmonitors = ['ProxyFetch']\n"


def sensitive(text: str) -> Sensitive:
    return parse(text, "f", KINDS).sensitive


def exposures(text: str) -> list[str]:
    return [f"{each.place}: {each.subject} {each.found}; {each.mend}" for each in sensitive(text).exposures]


def test_secret_files_are_found_with_the_place_of_their_option() -> None:
    text = """\
[DEFAULT]
redis.password-file = /redis

[global]
bgp = yes
bgp-local-asn = 64600
bgp-nexthop-ipv4 = 192.0.2.10
bgp-peer-address = 192.0.2.251
bgp-md5-password-file = /md5

[bgp second]
bgp-peer-address = 192.0.2.252
bgp-md5-password-file = /md5-of-second

[etcd conf1:2379]
certificate = /cert
key = /key
user = pybal
password-file = /password

[k8s k8s1]
token-file = /token

"""
    web = WEB + "config = etcd://conf1:2379/pools/\nmonitors = ['Redis']\n"
    api = WEB.replace("[web]", "[api]").replace("port = 80", "port = 81") + "config = k8s://unused@k8s1\n"
    assert [
        (each.place.line, each.place.section, each.place.option, each.file)
        for each in sensitive(text + web + api).secrets
    ] == [
        (9, "global", "bgp-md5-password-file", "/md5"),
        (13, "bgp second", "bgp-md5-password-file", "/md5-of-second"),
        (17, "etcd conf1:2379", "key", "/key"),
        (19, "etcd conf1:2379", "password-file", "/password"),
        (22, "k8s k8s1", "token-file", "/token"),
        (2, "DEFAULT", "redis.password-file", "/redis"),
        (36, "api", "config", ""),
    ]


@pytest.mark.parametrize(
    "option",
    ["config = https://user:word@h/pool", "config = etcd://user:word@h/p", "config = k8s://token@h"],
)
def test_credentials_of_a_url_are_a_secret_of_the_file(option: str) -> None:
    assert sensitive(f"{WEB}{option}\n") == Sensitive(
        "f",
        secrets=(Secret(Location("f", 6, "web", "config")),),
        instrumentation=Location("f", 1, "global", "instrumentation_ips"),
        group=Location("f", 1, "global", "control-group"),
    )


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("Authorization", True),
        ("proxy-authorization", True),
        ("Cookie", True),
        ("X-Api-Key", True),
        ("X-Auth-Token", True),
        ("X-Forwarded-For", False),
        ("Accept", False),
    ],
)
def test_headers_with_credentials_are_a_secret_of_the_file(name: str, *, secret: bool) -> None:
    text = (
        f"{WEB}{CHECK}proxyfetch.url = https://h/\nproxyfetch.verify = yes\nproxyfetch.headers = ['{name}: s3cr3t']\n"
    )
    found = parse(text, "f", KINDS)
    assert [each.place.option for each in found.sensitive.secrets] == ["proxyfetch.headers"] * secret
    assert found.sensitive.exposures == ()
    assert "s3cr3t" not in repr(found.settings)


@pytest.mark.parametrize(
    "value", ["['Authorization: s3cr3t', 'X: \u00e9']", "['Cookie: s3cr3t'", "[('X-Api-Key: s3cr3t')]"]
)
def test_refused_headers_are_not_shown(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"{WEB}{CHECK}proxyfetch.url = https://h/\nproxyfetch.headers = {value}\n", "f", KINDS)
    assert "proxyfetch.headers: found" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "source", "exposure"),
    [
        ("", "http://user:word@h/pool", "f:6: [web] config: secret sent without TLS; use https"),
        ("[http h]\ntoken-file = /t\n", "http://h/p", "f:2: [http h] token-file: secret sent without TLS; use https"),
        (
            "[etcd h]\ntls = no\nuser = u\npassword-file = /p\n",
            "etcd://h/p",
            "f:4: [etcd h] password-file: secret sent without TLS; remove tls = no",
        ),
        (
            "[etcd h]\ntls = no\n",
            "etcd://u:w@h/p",
            "f:8: [web] config: secret sent without TLS; remove tls = no",
        ),
        (
            "[etcd h]\nverify = no\nuser = u\npassword-file = /p\n",
            "etcd://h/p",
            "f:4: [etcd h] password-file: secret sent to an unverified server; remove verify = no, and set ca",
        ),
        (
            "[etcd h]\ndiscovery-srv = example.org\n",
            "etcd://h/p",
            "f:2: [etcd h] discovery-srv: host names of the servers taken from DNS; set server-name, or ca to a CA for etcd only",
        ),
    ],
)
def test_secret_that_others_can_receive_is_an_exposure(section: str, source: str, exposure: str) -> None:
    assert exposures(f"{section}{WEB}config = {source}\n") == [exposure]


@pytest.mark.parametrize(
    ("section", "source"),
    [
        ("", "https://user:word@h/pool"),
        ("", "http://h/pool"),
        ("", "http://user:word@127.0.0.1:8080/pool"),
        ("", "http://user:word@[::1]/pool"),
        ("[etcd h]\nuser = u\npassword-file = /p\n", "etcd://h/p"),
        ("[etcd h]\ntls = no\n", "etcd://h/p"),
        ("[etcd h]\ntls = no\nendpoints = ['localhost:1', '127.0.0.2']\nuser = u\npassword-file = /p\n", "etcd://h/p"),
        ("[etcd h]\nverify = no\n", "etcd://h/p"),
        ("[etcd h]\ndiscovery-srv = example.org\nserver-name = etcd.example.org\n", "etcd://h/p"),
        ("[etcd h]\ndiscovery-srv = example.org\nca = /ca\n", "etcd://h/p"),
        ("[k8s h]\ntoken-file = /t\n", "k8s://unused@h"),
    ],
)
def test_secret_that_only_the_server_receives_is_no_exposure(section: str, source: str) -> None:
    assert exposures(f"{section}{WEB}config = {source}\n") == []


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("proxyfetch.url = http://h/", ["secret sent without TLS"]),
        ("proxyfetch.url = ['https://h/', 'http://h/']", ["secret sent without TLS"]),
        ("proxyfetch.url = https://h/", ["secret sent to unverified servers"]),
        ("proxyfetch.url = https://h/\nproxyfetch.verify = yes", []),
    ],
)
def test_credentials_of_a_check_need_verified_tls(options: str, found: list[str]) -> None:
    text = f"{WEB}{CHECK}{options}\nproxyfetch.headers = ['Authorization: Basic dTp3']\n"
    assert [f"{each.subject} {each.found}" for each in sensitive(text).exposures] == found
