"""Selection of the etcd member, and failover to the next."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from twisted.names import dns

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.http.errors import Fault, ProtocolError
from pybal.resolve.message import SRV, Record, Response, Target
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
    return Endpoints(SourceSettings(url, access or AccessSettings()), ask=ask or FakeDNS(), random=Random(1))


def current(members: Endpoints) -> str:
    """Return the current member; the DNS servers of these tests respond immediately."""
    return str(asyncio.run(members.current()))


def fail(members: Endpoints) -> float:
    """Switch to the next member; return the seconds to wait before it is used."""
    members.fail(SourceError("no answer", Trouble.SILENT))
    return members.pause()


class FakeDNS:
    """DNS servers with SRV records; ``asked`` has the names of all queries."""

    def __init__(self, **records: tuple[tuple[str, int], ...]) -> None:
        self.records = records
        self.asked: list[str] = []
        self.broken = False

    async def __call__(self, query: dns.Query) -> Response:
        name = str(query.name)
        self.asked.append(name)
        if self.broken:
            raise ValueError("SERVFAIL from 192.0.2.53")
        key = name.partition("._tcp")[0].strip("_").replace("-", "_")
        found = self.records.get(key, ())
        return Response(
            0, truncated=False, records=tuple(Record(SRV, 60, Target(0, 0, port, host)) for host, port in found)
        )


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("conf1", "conf1", 2379, "conf1:2379"),
        ("conf1:4001", "conf1", 4001, "conf1:4001"),
        ("[2001:db8::1]:4001", "2001:db8::1", 4001, "[2001:db8::1]:4001"),
        ("[2001:db8::1]", "2001:db8::1", 2379, "[2001:db8::1]:2379"),
    ],
)
def test_endpoint_has_host_and_optional_port(text: str, host: str, port: int, shown: str) -> None:
    assert endpoint(text) == Endpoint(host, port)
    assert str(endpoint(text)) == shown


def test_url_has_members_path_and_options() -> None:
    found = directory("etcd://user:secret@conf1,conf2:4001/conftool/v1/pools/?api=3&x=")
    assert found == Directory(
        (Endpoint("conf1", 2379), Endpoint("conf2", 4001)), "/conftool/v1/pools", (("api", "3"), ("x", ""))
    )
    assert found.api == "3"
    assert directory(URL).api == "2"
    assert "secret" not in repr(found)


def test_confirmed_member_stays_current() -> None:
    members = endpoints()
    first = current(members)
    members.confirm()
    assert current(members) == first


def test_rotation_reaches_each_member_without_delay() -> None:
    members = endpoints()
    seen = [current(members)]
    for _ in range(2):
        assert fail(members) <= SOON
        seen.append(current(members))
    assert sorted(seen) == ["a:1", "b:2", "c:3"]


def test_pauses_grow_when_all_members_failed() -> None:
    members = endpoints("etcd://a:1/p")
    pauses = [fail(members) for _ in range(20)]
    assert FIRST_PAUSE * 0.75 <= pauses[0] <= FIRST_PAUSE
    assert pauses[0] < pauses[3] < pauses[6]
    assert LONGEST_PAUSE * 0.75 <= pauses[-1] <= LONGEST_PAUSE
    members.confirm()
    assert fail(members) <= FIRST_PAUSE


def test_failure_names_each_member_that_failed_in_a_row() -> None:
    members = endpoints("etcd://a:1,b:2/p")
    first = current(members)
    assert str(members.fail(SourceError("no answer"))) == f"{first}: no answer"
    second = current(members)
    failure = members.fail(ProtocolError("connection refused", Fault.UNREACHABLE))
    reasons = {first: "no answer", second: "connection refused"}
    assert str(failure) == "; ".join(f"{place}: {reasons[place]}" for place in ("a:1", "b:2"))
    assert failure.trouble is Trouble.UNREACHABLE
    current(members)
    members.confirm()
    assert str(members.fail(SourceError("no answer"))) == f"{first}: no answer"


def test_failed_discovery_is_a_reason_until_it_succeeds() -> None:
    names = FakeDNS()
    members = endpoints(access=AccessSettings(discovery="example.org"), ask=names)
    with pytest.raises(SourceError) as caught:
        current(members)
    assert str(members.fail(caught.value)) == str(caught.value)
    names.records = {"etcd": (("d", 4),)}
    current(members)
    assert str(members.fail(SourceError("no answer"))) == "d:4: no answer"


def test_first_member_is_random() -> None:
    random = Random(1)
    first = {current(Endpoints(SourceSettings(URL), ask=FakeDNS(), random=random)) for _ in range(50)}
    assert first == {"a:1", "b:2", "c:3"}


def test_members_of_the_section_replace_those_of_the_url() -> None:
    assert current(endpoints(access=AccessSettings(endpoints=("d:4",)))) == "d:4"


@pytest.mark.parametrize(
    ("tls", "asked"),
    [
        (True, ["_etcd-client-ssl._tcp.example.org", "_etcd._tcp.example.org"]),
        (False, ["_etcd-client._tcp.example.org", "_etcd._tcp.example.org"]),
    ],
)
def test_discovery_queries_names_of_etcd_before_that_of_conftool(tls: bool, asked: list[str]) -> None:
    names = FakeDNS(etcd=(("d.example.org", 4),))
    access = AccessSettings(discovery="example.org", tls=tls)
    assert current(endpoints(access=access, ask=names)) == "d.example.org:4"
    assert names.asked == asked


def test_discovery_is_repeated_only_when_all_members_failed() -> None:
    names = FakeDNS(etcd_client_ssl=(("d", 4), ("e", 5)))
    members = endpoints(access=AccessSettings(discovery="example.org"), ask=names)
    current(members)
    members.confirm()
    current(members)
    fail(members)
    assert current(members) in {"d:4", "e:5"}
    assert len(names.asked) == 1
    names.records = {"etcd_client_ssl": (("f", 6),)}
    fail(members)
    assert current(members) == "f:6"


def test_discovered_members_stay_while_dns_fails() -> None:
    names = FakeDNS(etcd_client_ssl=(("d", 4),))
    members = endpoints(access=AccessSettings(discovery="example.org"), ask=names)
    assert current(members) == "d:4"
    fail(members)
    names.broken = True
    assert current(members) == "d:4"


def test_discovery_fails_when_domain_has_no_members() -> None:
    names = FakeDNS(etcd=(("", 4),))
    members = endpoints(access=AccessSettings(discovery="example.org"), ask=names)
    with pytest.raises(SourceError) as caught:
        current(members)
    assert str(caught.value) == (
        "_etcd-client-ssl._tcp.example.org or _etcd._tcp.example.org: no SRV records; no etcd member is known"
    )
    assert caught.value.trouble is Trouble.UNREACHABLE
    assert fail(members) >= FIRST_PAUSE * 0.75
    names.broken = True
    with pytest.raises(SourceError, match=r"SERVFAIL from 192\.0\.2\.53"):
        current(members)
    names.broken, names.records = False, {"etcd": (("d", 4),)}
    assert current(members) == "d:4"
