"""What becomes of a pool whose etcd lies or lets nobody in, or that finds no etcd: by version 3 of the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.names import dns

from pybal.config.settings import AccessSettings
from pybal.resolve.servers import NameServers
from pybal.sources.base import Trouble
from pybal.sources.etcd.v3 import Etcd3Source
from tests.harness.certificates import Authority
from tests.harness.etcd_pool import PATH, Reading, Stopwatch, begun3, etcd3, put3, reading3, tell
from tests.harness.fake_dns_server import NameServer, answer
from tests.harness.servers.etcd import PASSWORD, Etcd, etcd
from tests.harness.servers.relay import Relay
from tests.harness.servers.wrong_answers import drip, endless, said


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Etcd]:
    """One etcd, with one server in the pool."""
    made = etcd(tmp_path)
    with made.server:
        put3(made, 1)
        yield made


NONE = "malformed response from etcd"


@pytest.mark.parametrize(
    ("lie", "reason", "trouble"),
    [
        (said(b"<html>"), f"{NONE}: '<html>'", Trouble.MALFORMED),
        (said(b"[]"), f"{NONE}: '[]'", Trouble.MALFORMED),
        (said(b'{"kvs": 7}'), NONE, Trouble.MALFORMED),
        (said(b""), NONE, Trouble.MALFORMED),
        (said(b"<html>", "502 Bad Gateway"), "HTTP 502, wanted 200", Trouble.FAILED),
        (said(b"", "301 Moved"), "HTTP 301, wanted 200", Trouble.FAILED),
        (said(b"404 page not found", "404 Not Found"), "HTTP 404, wanted 200", Trouble.FAILED),
        (lambda: [b"SSH-2.0\r\n"], "SSH-2.0", Trouble.MALFORMED),
        (drip, "less than 100000 bytes of an answer within 5 s", Trouble.SILENT),
        (endless, "16777216 bytes", Trouble.MALFORMED),
    ],
    ids=["html", "list", "number", "empty", "502", "301", "404", "ssh", "drip", "endless"],
)
def test_what_is_no_answer_of_etcd_keeps_the_list_and_is_said(
    relay: Relay, one: Etcd, lie: Callable[[], Iterable[bytes]], reason: str, trouble: Trouble
) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        relay.cut()
        relay.answer(lie)
        await read.problem(reason)
        assert read.errors[-1].trouble == trouble
        put3(one, 2)
        relay.behave()
        await read.weight(2)

    reading3([relay.port], story)


class TestUsers:
    @staticmethod
    def require_passwords(member: Etcd) -> None:
        member.v3("auth/user/add", name="root", password=PASSWORD)
        member.v3("auth/role/add", name="root")
        member.v3("auth/user/grant", user="root", role="root")
        member.v3("auth/enable")

    def test_who_may_not_read_any_more_keeps_the_list_and_gets_in_with_the_password(
        self, one: Etcd, tmp_path: Path, watch: Stopwatch
    ) -> None:
        password = tmp_path / "password"
        password.write_text("wrong\n")

        async def story(read: Reading) -> None:
            await read.weight(1)
            self.require_passwords(one)
            await read.problem("authentication failed, invalid user ID or password")
            assert read.errors[-1].trouble == Trouble.DENIED
            assert "wrong" not in repr([str(error) for error in read.errors])
            password.write_text(PASSWORD)
            watch.start()
            await read.well()
            watch.stop()
            assert len(read.lists) == 1

        reading3([one.port], story, AccessSettings(tls=False, user="root", password_file=str(password)))

    def test_a_token_that_is_not_known_any_more_is_had_anew(
        self, relay: Relay, one: Etcd, tmp_path: Path, watch: Stopwatch
    ) -> None:
        """They expire, and a new password ends them."""
        password = tmp_path / "password"
        password.write_text(PASSWORD)
        self.require_passwords(one)
        token = one.v3("auth/authenticate", name="root", password=PASSWORD)["token"]

        def logins() -> int:
            return sum("/v3/auth/authenticate" in request for request in relay.requests)

        async def story(read: Reading) -> None:
            await begun3(read)
            assert logins() == 1
            watch.start()
            one.v3("auth/user/changepw", token, name="root", password="another")
            password.write_text("another")
            await read.until(lambda: logins() == 2)
            before = read.source.last_success
            await read.until(lambda: read.source.last_success != before)
            watch.stop()
            assert (read.errors, len(read.lists)) == ([], 1)
            assert sum("/v3/watch" in request for request in relay.requests) == 1

        reading3([relay.port], story, AccessSettings(tls=False, user="root", password_file=str(password)))

    def test_where_users_are_wanted_and_none_is_given_that_is_said(self, one: Etcd) -> None:
        async def story(read: Reading) -> None:
            await read.problem("user name is empty; set user and password-file")
            assert read.errors[-1].trouble == Trouble.DENIED

        self.require_passwords(one)
        reading3([one.port], story)


def test_certificates_are_verified_and_ours_is_shown(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("ours", host="balancer.example")
    ours: Any = {"certificate": str(tmp_path / "ours.crt"), "key": str(tmp_path / "ours.key")}
    member = etcd(tmp_path, authority=authority, clients=True)
    reasons: list[str] = []

    async def good(read: Reading) -> None:
        await read.until(lambda: read.lists == [()])

    async def bad(read: Reading) -> None:
        await read.until(lambda: read.errors)
        reasons.append(str(read.errors[0]))

    host = f"localhost:{member.port}"
    with member.server:
        reading3(host, good, AccessSettings(ca=str(authority.file), **ours))
        reading3(host, bad, AccessSettings(**ours))
        reading3(f"127.0.0.1:{member.port}", bad, AccessSettings(ca=str(authority.file), **ours))
        reading3(host, bad, AccessSettings(ca=str(authority.file)))
    url = f"etcd://{host}{PATH}?api=3: {host}: "
    assert reasons[0] == f"{url}the server's certificate has expired, or is up to no authority that we trust"
    assert reasons[1].endswith(": the server's certificate is of another name")
    assert "TLS: " in reasons[2]
    assert "alert" in reasons[2]


def test_the_members_are_those_that_srv_records_name(one: Etcd, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    servers: list[NameServer] = []

    def make(reactor: EPollReactor) -> Etcd3Source:
        names = NameServer(reactor)
        names.listen()
        names.answers = lambda query: [answer(query, dns.ENAME)]
        servers.append(names)
        ask = NameServers(reactor, str(tmp_path / "resolv.conf"), names.port).ask
        return etcd3(reactor, "conf.example", AccessSettings(tls=False, discovery="example"), ask=ask)

    async def story(read: Reading) -> None:
        (names,) = servers
        await read.problem("_etcd-client._tcp.example or _etcd._tcp.example: no SRV records")
        record = dns.RRHeader("", dns.SRV, payload=dns.Record_SRV(1, 1, one.port, "localhost"))
        names.answers = lambda query: [answer(query, records=(record,))]
        await read.weight(1)
        await read.well()
        await names.stop()
        await names.stop_tcp()

    tell(make, story)
