"""What becomes of a pool whose etcd lies, misses changes or lets nobody in, or that finds no etcd: by version 2 of the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.names import dns

from pybal.config.settings import AccessSettings
from pybal.sources.base import Trouble
from pybal.sources.etcd import blocking
from pybal.sources.etcd.v2watch import Times
from tests.harness.certificates import Authority
from tests.harness.etcd_pool import PATH, PLAIN, Reading, Stopwatch, etcd2, put, reading
from tests.harness.fake_dns_server import NameServer, answer
from tests.harness.servers.etcd import PASSWORD, Etcd, etcd
from tests.harness.servers.relay import Relay
from tests.harness.servers.wrong_answers import drip, endless, said
from tests.harness.stepped_reactor import run


@pytest.fixture
def modest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "LARGEST", 65536)


@pytest.mark.usefixtures("modest")
@pytest.mark.parametrize(
    ("lie", "reason", "trouble"),
    [
        (said(b"<html>"), "HTTP 200, but an answer that is none of etcd's: server response was", Trouble.MALFORMED),
        (said(b"[]"), "HTTP 200, but an answer that is none of etcd's: unable to decode", Trouble.MALFORMED),
        (said(b'{"node": 7}'), "HTTP 200, but an answer that is none of etcd's: unable to", Trouble.MALFORMED),
        (said(b'{"node": {"dir": true, "nodes": 7}}'), "an answer that is none of etcd's (", Trouble.MALFORMED),
        (said(b"{", length=50), "the connection is lost", Trouble.UNREACHABLE),
        (said(b""), "the connection is lost", Trouble.UNREACHABLE),
        (said(b"<html>", "502 Bad Gateway"), "HTTP 502, wanted 200: Bad response: <html>", Trouble.FAILED),
        (said(b"<html>", "404 Not Found"), "HTTP 404, wanted 200: Bad response: <html>", Trouble.FAILED),
        (said(b"", "301 Moved"), "HTTP 301, wanted 200", Trouble.FAILED),
        (said(b"<html>\n<b>", "503 \x1b"), "HTTP 503, wanted 200: Bad response: <html> <b>", Trouble.FAILED),
        (lambda: [b"SSH-2.0\x1b\r\n"], "SSH-2.0\\x1b, wanted an answer by HTTP", Trouble.MALFORMED),
        (drip, "no whole answer within 1 s", Trouble.SILENT),
        (endless, "an answer of more than 65536 bytes", Trouble.MALFORMED),
    ],
    ids=["html", "list", "number", "nodes", "short", "empty", "502", "404", "301", "503", "ssh", "drip", "endless"],
)
def test_what_is_no_answer_of_etcd_keeps_the_list_and_is_said(
    relay: Relay,
    one: Etcd,
    lie: Callable[[], Iterable[bytes]],
    reason: str,
    trouble: Trouble,
) -> None:

    async def story(read: Reading) -> None:
        await read.weight(1)
        relay.answer(lie)
        await read.problem(reason)
        assert read.errors[-1].trouble == trouble
        relay.behave()
        put(one, 2)
        await read.weight(2)
        assert read.source.problem is None
        assert [members[0].weight for members in read.lists] == [1, 2]

    reading([relay.port], story, PLAIN, Times(answer=1.0, poll=0.2))


def test_a_server_that_closes_the_connection_after_each_answer_is_read(relay: Relay) -> None:
    value = json.dumps({"weight": 2, "pooled": "yes"})
    nodes = [{"key": f"{PATH}/a", "value": value}]
    body = json.dumps({"action": "get", "node": {"key": PATH, "dir": True, "nodes": nodes}}).encode()
    relay.answer(lambda: [b"HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nConnection: close\r\n\r\n", body])

    async def story(read: Reading) -> None:
        await read.weight(2)
        assert read.errors == []

    reading([relay.port], story)


def test_changes_that_a_watch_does_not_tell_are_found_and_counted(relay: Relay, one: Etcd, watch: Stopwatch) -> None:
    """T134893: a dead watch was not noticed."""

    async def story(read: Reading) -> None:
        await read.weight(1)
        await read.until(lambda: "wait=true" in relay.requests[-1])
        relay.asked = lambda request: "wait=true" not in request
        count = len(relay.requests)
        relay.cut()
        await read.until(lambda: any("wait=true" in request for request in relay.requests[count:]))
        watch.start()
        put(one, 2)
        await read.weight(2)
        watch.stop()
        await read.until(lambda: read.source.differences == 1)

    reading([relay.port], story)


def test_while_changes_never_end_all_is_read_from_time_to_time_over_a_new_connection(relay: Relay, one: Etcd) -> None:
    async def story(read: Reading) -> None:
        number = 1
        while relay.connections < 3:
            await read.weight(number)
            number += 1
            put(one, number)
        assert read.errors == []
        assert sum("quorum=true" in request for request in relay.requests) >= 3
        assert relay.most <= 2

    reading([relay.port], story, PLAIN, Times(full_read=0.1))


def test_changes_that_follow_upon_each_other_are_heard_together(relay: Relay, one: Etcd, watch: Stopwatch) -> None:
    """T264362 the other way round: one by one they are an answer each, for each service that follows the directory."""

    def change() -> None:
        for weight in range(2, 302):
            put(one, weight)

    async def story(read: Reading) -> None:
        await read.weight(1)
        count = len(relay.requests)
        watch.start()
        await read.meanwhile(change)
        await read.weight(301)
        turns = watch.stop() / Times().gather + 2
        # In each turn the first change, and all.
        assert len(relay.requests) - count <= 2 * turns
        assert read.errors == []

    reading([relay.port], story)


def test_it_is_known_to_be_good_as_long_as_there_is_nothing_to_hear(relay: Relay) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        first = read.source.last_success
        await read.until(lambda: read.source.last_success != first)
        relay.refuse()
        await read.problem("connection")
        last = read.source.last_success
        count = relay.connections
        await read.until(lambda: relay.connections > count + 1)
        assert read.source.last_success == last

    reading([relay.port], story, PLAIN, Times(poll=0.2))


def test_who_may_not_read_any_more_keeps_the_list(one: Etcd, tmp_path: Path, watch: Stopwatch) -> None:
    password = tmp_path / "password"
    password.write_text("wrong\n")
    access = AccessSettings(tls=False, user="root", password_file=str(password))

    async def story(read: Reading) -> None:
        await read.weight(1)
        await read.meanwhile(one.require_passwords)
        await read.problem("HTTP 401, wanted 200: The request requires user authentication: Insufficient credentials")
        assert read.errors[-1].trouble == Trouble.DENIED
        assert "wrong" not in repr([str(error) for error in read.errors])
        password.write_text(PASSWORD)
        watch.start()
        await read.until(lambda: read.source.problem is None)
        watch.stop()
        assert len(read.lists) == 1

    reading([one.port], story, access)


def test_certificates_are_verified_and_ours_is_shown(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("ours", host="balancer.example")
    ca, certificate, key = (str(tmp_path / name) for name in ("ca.pem", "ours.crt", "ours.key"))
    member = etcd(tmp_path, authority=authority, clients=True)

    async def good(read: Reading) -> None:
        await read.problem(f"no directory {PATH}")

    async def bad(read: Reading) -> None:
        await read.problem("TLS: ")
        reasons.append(read.source.problem)

    reasons: list[str | None] = []
    with member.server:
        host = f"localhost:{member.port}"
        reading(host, good, AccessSettings(ca=ca, certificate=certificate, key=key))
        reading(host, bad, AccessSettings(certificate=certificate, key=key))
        reading(f"127.0.0.1:{member.port}", bad, AccessSettings(ca=ca, certificate=certificate, key=key))
        reading(host, bad, AccessSettings(ca=ca))
    url = f"etcd://{host}{PATH}/: {host}: TLS: "
    assert reasons[0] == f"{url}unable to get local issuer certificate"
    assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in (reasons[1] or "")
    assert "alert" in (reasons[2] or "")


def test_the_members_are_those_that_srv_records_name(one: Etcd, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    access = AccessSettings(tls=False, discovery="example")

    async def main(reactor: EPollReactor) -> None:
        names = NameServer(reactor)
        names.listen()
        names.answers = lambda query: [answer(query, dns.ENAME)]
        resolv_conf = str(tmp_path / "resolv.conf")
        read = Reading(reactor, etcd2(reactor, "conf.example", access, resolv_conf=resolv_conf, port=names.port))
        await read.problem("_etcd-client._tcp.example or _etcd._tcp.example: no SRV records")
        record = dns.RRHeader("", dns.SRV, payload=dns.Record_SRV(1, 1, one.port, "localhost"))
        names.answers = lambda query: [answer(query, records=(record,))]
        await read.weight(1)
        assert read.source.problem is None
        read.source.stop()
        await names.stop()
        await names.stop_tcp()

    run(main)


def test_where_nobody_answers_each_member_is_named_once(relay: Relay, one: Etcd) -> None:
    """Of three that are tried in turn, each turn would be news."""

    async def story(read: Reading) -> None:
        await read.weight(1)
        one.server.kill()
        relay.refuse()
        await read.until(lambda: relay.connections >= 6)
        assert f"127.0.0.1:{relay.port}: the connection is lost" in (read.source.problem or "")
        assert f"127.0.0.1:{one.port}: connection refused" in (read.source.problem or "")
        assert len(read.errors) <= 3

    reading([relay.port, one.port], story)
