"""Which member of an etcd is asked, and when the next one is."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from twisted.names import dns

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.sources.base import SourceError, Trouble
from pybal.sources.etcd.endpoints import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    SOON,
    Ask,
    Directory,
    Endpoint,
    Endpoints,
    directory,
    endpoint,
)

URL = "etcd://a:1,b:2,c:3/pools/web/"


def endpoints(url: str = URL, access: AccessSettings | None = None, ask: Ask | None = None) -> Endpoints:
    return Endpoints(SourceSettings(url, access or AccessSettings()), ask=ask or Names(), random=Random(1))


def current(members: Endpoints) -> str:
    """Return the member whose turn it is; nothing that is asked in these tests waits."""
    return str(asyncio.run(members.current()))


class Names:
    """DNS servers that know SRV records, and write down what they are asked."""

    def __init__(self, **records: tuple[tuple[str, int], ...]) -> None:
        self.records = records
        self.asked: list[str] = []
        self.broken = False

    async def __call__(self, query: dns.Query) -> dns.Message:
        name = str(query.name)
        self.asked.append(name)
        if self.broken:
            raise ValueError("SERVFAIL from 192.0.2.53")
        message = dns.Message()
        key = name.partition("._tcp")[0].strip("_").replace("-", "_")
        message.answers = [
            dns.RRHeader(name.encode(), dns.SRV, payload=dns.Record_SRV(0, 0, port, host.encode()))
            for host, port in self.records.get(key, ())
        ]
        return message


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("conf1", "conf1", 2379, "conf1:2379"),
        ("conf1:4001", "conf1", 4001, "conf1:4001"),
        ("[2001:db8::1]:4001", "2001:db8::1", 4001, "[2001:db8::1]:4001"),
        ("[2001:db8::1]", "2001:db8::1", 2379, "[2001:db8::1]:2379"),
    ],
)
def test_an_endpoint_is_a_host_and_perhaps_a_port(text: str, host: str, port: int, shown: str) -> None:
    assert endpoint(text) == Endpoint(host, port)
    assert str(endpoint(text)) == shown


def test_a_url_names_members_a_path_and_options() -> None:
    found = directory("etcd://user:secret@conf1,conf2:4001/conftool/v1/pools/?api=3&x=")
    assert found == Directory(
        (Endpoint("conf1", 2379), Endpoint("conf2", 4001)), "/conftool/v1/pools", (("api", "3"), ("x", ""))
    )
    assert found.api == "3"
    assert directory(URL).api == "2"
    assert "secret" not in repr(found)


def test_a_member_that_is_good_is_kept() -> None:
    members = endpoints()
    first = current(members)
    members.good()
    assert current(members) == first


def test_after_a_failure_the_next_member_is_tried_soon_and_each_in_turn() -> None:
    members = endpoints()
    seen = [current(members)]
    for _ in range(2):
        assert members.failed() <= SOON
        seen.append(current(members))
    assert sorted(seen) == ["a:1", "b:2", "c:3"]


def test_a_pause_that_grows_follows_upon_the_failure_of_all() -> None:
    members = endpoints("etcd://a:1/p")
    pauses = [members.failed() for _ in range(20)]
    assert FIRST_PAUSE * 0.75 <= pauses[0] <= FIRST_PAUSE
    assert pauses[0] < pauses[3] < pauses[6]
    assert LONGEST_PAUSE * 0.75 <= pauses[-1] <= LONGEST_PAUSE
    members.good()
    assert members.failed() <= FIRST_PAUSE


def test_sources_do_not_all_begin_at_the_same_member() -> None:
    random = Random(1)
    first = {current(Endpoints(SourceSettings(URL), ask=Names(), random=random)) for _ in range(50)}
    assert first == {"a:1", "b:2", "c:3"}


def test_the_members_of_the_section_count_in_place_of_those_of_the_url() -> None:
    assert current(endpoints(access=AccessSettings(endpoints=("d:4",)))) == "d:4"


@pytest.mark.parametrize(
    ("tls", "asked"),
    [
        (True, ["_etcd-client-ssl._tcp.example.org", "_etcd._tcp.example.org"]),
        (False, ["_etcd-client._tcp.example.org", "_etcd._tcp.example.org"]),
    ],
)
def test_the_members_are_discovered_by_the_names_of_etcd_and_then_by_that_of_conftool(
    tls: bool, asked: list[str]
) -> None:
    names = Names(etcd=(("d.example.org", 4),))
    access = AccessSettings(discovery="example.org", tls=tls)
    assert current(endpoints(access=access, ask=names)) == "d.example.org:4"
    assert names.asked == asked


def test_dns_is_asked_again_when_all_members_have_failed_and_not_before() -> None:
    names = Names(etcd_client_ssl=(("d", 4), ("e", 5)))
    members = endpoints(access=AccessSettings(discovery="example.org"), ask=names)
    current(members)
    members.good()
    current(members)
    members.failed()
    assert current(members) in {"d:4", "e:5"}
    assert len(names.asked) == 1
    names.records = {"etcd_client_ssl": (("f", 6),)}
    members.failed()
    assert current(members) == "f:6"


def test_members_that_were_found_serve_on_while_dns_does_not_answer() -> None:
    names = Names(etcd_client_ssl=(("d", 4),))
    members = endpoints(access=AccessSettings(discovery="example.org"), ask=names)
    assert current(members) == "d:4"
    members.failed()
    names.broken = True
    assert current(members) == "d:4"


def test_a_domain_without_members_is_said_to_have_none() -> None:
    names = Names(etcd=(("", 4),))
    members = endpoints(access=AccessSettings(discovery="example.org"), ask=names)
    with pytest.raises(SourceError) as caught:
        current(members)
    assert str(caught.value) == (
        "_etcd-client-ssl._tcp.example.org or _etcd._tcp.example.org: no SRV records, wanted the members of an etcd"
    )
    assert caught.value.trouble is Trouble.UNREACHABLE
    assert members.failed() >= FIRST_PAUSE * 0.75
    names.broken = True
    with pytest.raises(SourceError, match=r"SERVFAIL from 192\.0\.2\.53"):
        current(members)
    names.broken, names.records = False, {"etcd": (("d", 4),)}
    assert current(members) == "d:4"
