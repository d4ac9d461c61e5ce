"""Access to etcd by both versions of the API: wrong responses, passwords, certificates, discovery."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from OpenSSL import SSL
from twisted.internet.epollreactor import EPollReactor
from twisted.names import dns

from pybal.config.settings import AccessSettings
from pybal.http.tls_errors import tls_reason
from pybal.sources.base import Trouble
from pybal.sources.etcd.v2 import Times
from pybal.sources.feed import Feed
from tests.harness.certificates import Authority
from tests.harness.etcd_pool import API, V2, Reading, Stopwatch, run_source
from tests.harness.fake_dns_server import NameServer, answer
from tests.harness.servers.etcd import PASSWORD, Etcd, etcd
from tests.harness.servers.relay import Relay
from tests.harness.servers.wrong_answers import drip, endless, said

MALFORMED = "malformed response from etcd"


class WrongResponse(NamedTuple):
    """A response of a server that is not etcd, with the problem it causes."""

    pieces: Callable[[], Iterable[bytes]]
    reason: str
    trouble: Trouble


WRONG = {
    "html": WrongResponse(said(b"<html>"), f"{MALFORMED}: '<html>'", Trouble.MALFORMED),
    "list": WrongResponse(said(b"[]"), f"{MALFORMED}: '[]'", Trouble.MALFORMED),
    "number": WrongResponse(said(b'{"kvs": 7}'), MALFORMED, Trouble.MALFORMED),
    "node": WrongResponse(said(b'{"node": 7}'), MALFORMED, Trouble.MALFORMED),
    "nodes": WrongResponse(said(b'{"node": {"dir": true, "nodes": 7}}'), MALFORMED, Trouble.MALFORMED),
    "short": WrongResponse(said(b"{", length=50), "connection closed after 1 of 50 bytes", Trouble.SILENT),
    "empty": WrongResponse(said(b""), f"{MALFORMED}: ''", Trouble.MALFORMED),
    "502": WrongResponse(said(b"<html>", "502 Bad Gateway"), "HTTP 502, wanted 200", Trouble.FAILED),
    "404": WrongResponse(said(b"404 page not found", "404 Not Found"), "HTTP 404, wanted 200", Trouble.FAILED),
    "301": WrongResponse(said(b"", "301 Moved"), "HTTP 301, wanted 200", Trouble.FAILED),
    "503": WrongResponse(said(b"<html>\n<b>", "503 \x1b"), "HTTP 503, wanted 200", Trouble.FAILED),
    "ssh": WrongResponse(lambda: [b"SSH-2.0\x1b\r\n"], "SSH-2.0\\x1b", Trouble.MALFORMED),
    "drip": WrongResponse(drip, "no complete body of 100000 bytes within {deadline:g} s", Trouble.SILENT),
    "endless": WrongResponse(endless, "more than 6291456 bytes", Trouble.MALFORMED),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_wrong_response_keeps_the_list_and_is_reported(api: API, relay: Relay, one: Etcd, wrong: WrongResponse) -> None:
    api = V2(Times(timeout=1.0, poll=0.2)) if isinstance(api, V2) else api

    async def story(read: Reading) -> None:
        await read.weight(1)
        relay.cut()
        relay.answer(wrong.pieces)
        await read.problem(wrong.reason.format(deadline=api.deadline))
        assert read.errors[-1].trouble is wrong.trouble
        api.put(one, 2)
        relay.behave()
        await read.weight(2)
        await read.well()
        assert [members[0].weight for members in read.lists] == [1, 2]

    api.run([relay.port], story)


def test_denied_source_keeps_the_list_until_the_password_is_right(
    api: API, one: Etcd, tmp_path: Path, watch: Stopwatch
) -> None:
    password = tmp_path / "password"
    password.write_text("wrong\n")

    async def story(read: Reading) -> None:
        await read.weight(1)
        await read.in_thread(lambda: api.require_passwords(one))
        await read.problem(api.denied)
        assert read.errors[-1].trouble is Trouble.DENIED
        assert "wrong" not in repr([str(error) for error in read.errors])
        password.write_text(PASSWORD)
        watch.start()
        await read.well()
        watch.stop()
        assert len(read.lists) == 1

    api.run([one.port], story, AccessSettings(tls=False, user="root", password_file=str(password)))


def test_certificates_of_both_sides_are_verified(api: API, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("ours", host="balancer.example")
    ca, certificate, key = (str(tmp_path / name) for name in ("ca.pem", "ours.crt", "ours.key"))
    member = etcd(tmp_path, authority=authority, clients=True)
    reasons: list[str] = []

    async def refused(read: Reading) -> None:
        await read.until(lambda: read.errors)
        reasons.append(str(read.errors[0]))

    host = f"localhost:{member.port}"
    with member.server:
        api.run(host, api.missing, AccessSettings(ca=ca, certificate=certificate, key=key))
        api.run(host, refused, AccessSettings(certificate=certificate, key=key))
        api.run(f"127.0.0.1:{member.port}", refused, AccessSettings(ca=ca, certificate=certificate, key=key))
        api.run(host, refused, AccessSettings(ca=ca))
    assert reasons[0].startswith(f"{api.name(host)}: {host}: ")
    assert reasons[0].endswith(tls_reason(SSL.Error([("SSL routines", "", "certificate verify failed")])))
    assert reasons[1].endswith("certificate does not match address 127.0.0.1")
    assert "TLS: " in reasons[2]
    assert "alert" in reasons[2]


def test_members_are_discovered_by_srv_records(api: API, one: Etcd, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    servers: list[NameServer] = []

    def make(reactor: EPollReactor) -> Feed:
        names = NameServer(reactor)
        names.listen()
        names.answers = lambda query: [answer(query, dns.ENAME)]
        servers.append(names)
        access = AccessSettings(tls=False, discovery="example")
        return api.source(reactor, "conf.example", access, resolv_conf=str(tmp_path / "resolv.conf"), port=names.port)

    async def story(read: Reading) -> None:
        (names,) = servers
        await read.problem("_etcd-client._tcp.example or _etcd._tcp.example: no SRV records")
        record = dns.RRHeader("", dns.SRV, payload=dns.Record_SRV(1, 1, one.port, "localhost"))
        names.answers = lambda query: [answer(query, records=(record,))]
        await read.weight(1)
        await read.well()
        await names.stop()
        await names.stop_tcp()

    run_source(make, story)
