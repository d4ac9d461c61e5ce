"""The sections [etcd NAME], [http NAME] and [k8s NAME]."""

from __future__ import annotations

import pytest

from pybal.config.errors import ConfigError
from pybal.config.parse import parse
from pybal.config.settings import AccessSettings
from pybal.monitors.kinds import KINDS

WEB = """\
[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
config = {source}
"""


def access(section: str, source: str) -> AccessSettings:
    parsed = parse(f"{section}\n{WEB.format(source=source)}", "f", KINDS)
    assert parsed.warnings == ()
    return parsed.settings.services[0].source.access


def problems(section: str, source: str = "etcd://h/p") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(f"{section}\n{WEB.format(source=source)}", "f", KINDS)
    return list(map(str, caught.value.problems))


def test_access_section_reads_every_option() -> None:
    text = """\
[etcd conf1:2379]
endpoints = ['conf1:2379', '[2001:db8::1]:2379']
tls = no
ca = /ca.pem
certificate = /c.pem
key = /k.pem
user = pybal
password-file = /password
"""
    assert access(text, "etcd://conf1:2379/pools/web") == AccessSettings(
        endpoints=("conf1:2379", "[2001:db8::1]:2379"),
        tls=False,
        ca="/ca.pem",
        certificate="/c.pem",
        key="/k.pem",
        user="pybal",
        password_file="/password",
    )


@pytest.mark.parametrize(
    ("section", "source"),
    [
        ("http h", "https://h/pool"),
        ("http h:8080", "http://user:word@H:8080/pool?a=b"),
        ("k8s h", "k8s://token@h"),
        ("etcd  h ", "etcd://h/pools"),
        ("etcd a:1,b:2", "etcd://a:1,b:2/pools"),
    ],
)
def test_access_section_applies_to_the_server_of_its_name(section: str, source: str) -> None:
    assert access(f"[{section}]\nca = /ca", source) == AccessSettings(ca="/ca")


def test_source_without_access_section_has_the_defaults() -> None:
    parsed = parse(WEB.format(source="etcd://h/p"), "f", KINDS)
    assert parsed.settings.services[0].source.access == AccessSettings()


def test_discovery_srv_is_read() -> None:
    assert access("[etcd h]\ndiscovery-srv = example.org", "etcd://h/p").discovery == "example.org"


def test_disabled_verification_causes_a_warning() -> None:
    (warning,) = parse(f"[etcd h]\nverify = no\n{WEB.format(source='etcd://h/p')}", "f", KINDS).warnings
    assert "verify" in str(warning)
    assert "anyone in the path to the server can change the list of servers" in str(warning)


def test_unused_access_section_causes_a_warning() -> None:
    (warning,) = parse(f"[etcd other]\n{WEB.format(source='etcd://h/p')}", "f", KINDS).warnings
    assert str(warning) == "f:1: [etcd other] unused section (no config option names this server)"


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        (
            "[ETCD h]",
            "f:1: [ETCD h] found a section of this name; expected [etcd NAME], in lower case and with a blank. Did you mean: [etcd h]",
        ),
        (
            "[etcd h]\n[etcd H]",
            "f:2: [etcd H] found the server of [etcd h] (line 1); expected one section per server",
        ),
        (
            "[etcd h]\nkey = /k",
            "certificate: found nothing; expected a file in PEM format; certificate and key are set together",
        ),
        (
            "[etcd h]\ncertificate = /c",
            "key: found nothing; expected a file in PEM format; certificate and key are set together",
        ),
        ("[etcd h]\nuser = u", "password-file: found nothing; expected user and password-file together"),
        ("[etcd h]\npassword-file = /u", "user: found nothing; expected user and password-file together"),
        (
            "[etcd h]\nendpoints = a b",
            "endpoints: found 'a b'; expected HOST or HOST:PORT. Did you mean: endpoints = ['a', 'b']",
        ),
        (
            "[etcd h]\nendpoints = a\ndiscovery-srv = b",
            "discovery-srv: found b; expected no value, because endpoints is set",
        ),
        (
            "[http h]\nuser = u\npassword-file = /p\ntoken-file = /t",
            "token-file: found /t; expected user or token-file, not both",
        ),
    ],
)
def test_access_section_refuses_contradictions(section: str, problem: str) -> None:
    found = problems(section)
    assert len(found) == 1
    assert found[0].endswith(problem)


def test_option_of_another_section_kind_causes_a_warning() -> None:
    (warning,) = parse(f"[k8s h]\nuser = u\n{WEB.format(source='k8s://t@h')}", "f", KINDS).warnings
    assert "unknown option" in str(warning)
