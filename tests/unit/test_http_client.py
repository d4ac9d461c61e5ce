"""One client for all sources that speak HTTP: connections kept, replaced and given up, answers that end and those that do not."""

from __future__ import annotations

import errno
from collections.abc import Container, Sequence
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from pybal.http.client import LIFE, HTTPClient, HTTPRequest
from pybal.http.connection import PATIENCE, BodyListener, FullResponse, HTTPConnection
from pybal.http.errors import Fault, ProtocolError
from pybal.resolve import LookupFailed
from pybal.resolve import LookupResult as Addresses

GET = HTTPRequest("/pool")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: "
OK = HEAD + b"5\r\n\r\nhello"
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSED = Failure(ConnectionDone())
LOST = Failure(ConnectionLost())


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Link:
    """The server's end of a connection."""

    def __init__(self, factory: Any) -> None:
        self._protocol = factory.buildProtocol(None)
        self._transport: Any = StringTransport()
        self._protocol.makeConnection(self._transport)

    @property
    def is_open(self) -> bool:
        return not self._transport.disconnected

    def heard(self) -> bytes:
        """Return what has been asked since the last time."""
        said: bytes = self._transport.value()
        self._transport.clear()
        return said

    def say(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def close(self, reason: Failure = CLOSED) -> None:
        self._protocol.connectionLost(reason)


class Net:
    """A client, and the network as the test plays it."""

    def __init__(self, host: str = "192.0.2.1", port: int = 80, **options: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.names: dict[tuple[str, int], Sequence[str]] = {}
        self.dns_fails = False
        self.client = HTTPClient(host, port, trust=None, reactor=self.reactor, lookup=self._look_up, **options)

    async def _look_up(self, host: str, version: int) -> Addresses:
        if self.dns_fails:
            raise LookupFailed("SERVFAIL from 192.0.2.53", definite=False)
        if (host, version) not in self.names:
            raise LookupFailed("no such name (NXDOMAIN)", definite=True)
        return Addresses(tuple(map(ip_address, self.names[host, version])), 60.0)

    def ask(self, request: HTTPRequest = GET, heeded: Container[int] | None = None) -> Asked:
        return Asked(self.client.ask(request, heeded=heeded))

    def follow(self, request: HTTPRequest = GET) -> Followed:
        return Followed(self.client, request)

    @property
    def places(self) -> list[tuple[str, int]]:
        """Where connections were tried."""
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def accept(self) -> Link:
        """Take the last connection that was tried."""
        return Link(self.reactor.tcpClients[-1][2])

    def refuse(self, error: Exception | None = None) -> None:
        factory: Any = self.reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(None, Failure(error or ConnectError(errno.ECONNREFUSED)))

    def answered(self, link: Link | None = None) -> Link:
        """Have a question asked and answered; return the connection that is kept."""
        asked = self.ask()
        link = link or self.accept()
        link.say(OK)
        assert asked.body == b"hello"
        return link


class Asked:
    """A question, and what became of it."""

    def __init__(self, asking: Deferred[FullResponse]) -> None:
        self.asking = asking
        self.answer: FullResponse | None = None
        self.error: Exception | None = None
        asking.addCallbacks(self._answered, self._failed)

    def _answered(self, answer: FullResponse) -> None:
        self.answer = answer

    def _failed(self, failure: Failure) -> None:
        assert isinstance(failure.value, Exception)
        self.error = failure.value

    @property
    def body(self) -> bytes:
        assert self.answer is not None, self.error
        return self.answer.body

    @property
    def is_open(self) -> bool:
        return self.answer is None and self.error is None

    @property
    def failure(self) -> tuple[str, Fault]:
        assert isinstance(self.error, ProtocolError), self.error or self.answer
        return str(self.error), self.error.fault


class Followed(Asked):
    """An answer that is followed."""

    def __init__(self, client: HTTPClient, request: HTTPRequest) -> None:
        self.pieces: list[bytes] = []
        self.lost: list[str] = []
        self.refused = b""
        super().__init__(client.follow(request, BodyListener(self._heard, lambda error: self.lost.append(str(error)))))

    def _heard(self, data: bytes) -> None:
        if self.refused and self.refused in data:
            raise ValueError(f"heard {data!r}")
        self.pieces.append(data)


def test_a_request_is_what_is_asked_for_and_not_a_byte_more() -> None:
    net = Net()
    net.ask(HTTPRequest("/pool?a=b", {"If-None-Match": '"x"'}))
    assert net.accept().heard() == (
        b'GET /pool?a=b HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: PyBal\r\nIf-None-Match: "x"\r\n\r\n'
    )


def test_a_request_with_a_body_says_its_length() -> None:
    net = Net(port=2379)
    net.ask(HTTPRequest("/v3/kv/range", {"Content-Type": "application/json"}, "POST", b"{}"))
    assert net.accept().heard() == (
        b"POST /v3/kv/range HTTP/1.1\r\nHost: 192.0.2.1:2379\r\nUser-Agent: PyBal\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_an_ipv6_address_stands_in_brackets() -> None:
    net = Net("2001:db8::1", 8080)
    net.ask()
    assert net.places == [("2001:db8::1", 8080)]
    assert b"\r\nHost: [2001:db8::1]:8080\r\n" in net.accept().heard()


def test_a_request_does_not_show_its_credentials() -> None:
    assert "secret" not in repr(HTTPRequest("/", {"Authorization": "secret"}, body=b"secret"))


def test_the_next_request_takes_the_same_connection() -> None:
    net = Net()
    link = net.answered()
    net.answered(link)
    assert len(net.places) == 1
    net.client.close()
    assert not link.is_open


def test_a_connection_is_not_kept_for_ever() -> None:
    net = Net()
    link = net.answered()
    net.reactor.advance(LIFE)
    net.answered()
    assert len(net.places) == 2
    assert not link.is_open


@pytest.mark.parametrize(
    "answer", [OK.replace(b"1.1", b"1.0"), OK + b"surplus", OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")]
)
def test_a_connection_that_is_good_for_one_answer_is_not_kept(answer: bytes) -> None:
    net = Net()
    asked = net.ask()
    link = net.accept()
    link.say(answer)
    assert asked.body == b"hello"
    assert not link.is_open


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    net = Net()
    net.answered().close()
    net.answered()
    assert len(net.places) == 2


def test_a_connection_that_is_closed_by_the_request_is_replaced() -> None:
    """The server's patience with an idle connection may end at the moment of the request."""
    net = Net()
    link = net.answered()
    asked = net.ask()
    link.close(LOST)
    net.accept().say(OK)
    assert asked.body == b"hello"


def test_a_connection_that_is_half_open_is_replaced_soon() -> None:
    """T170847: half-open connections."""
    net = Net()
    link = net.answered()
    asked = net.ask()
    net.reactor.advance(PATIENCE)
    assert not link.is_open
    net.accept().say(OK)
    assert asked.body == b"hello"


def test_a_connection_that_breaks_within_an_answer_is_a_failure() -> None:
    net = Net()
    link = net.answered()
    asked = net.ask()
    link.say(OK[:9])
    link.close(LOST)
    assert asked.failure == ("connection lost: less than a whole header", Fault.NO_RESPONSE)
    assert len(net.places) == 1


def test_what_nobody_asked_for_ends_the_connection() -> None:
    net = Net()
    link = net.answered()
    link.say(OK)
    assert not link.is_open
    net.answered()
    assert len(net.places) == 2


def test_two_questions_at_a_time_have_a_connection_each_and_one_is_kept() -> None:
    net = Net()
    first, link = net.ask(), net.accept()
    second, other = net.ask(), net.accept()
    other.say(OK)
    link.say(OK)
    assert (first.body, second.body) == (b"hello", b"hello")
    assert (link.is_open, other.is_open) == (False, True)


def test_a_body_comes_in_pieces() -> None:
    net = Net()
    asked = net.ask()
    link = net.accept()
    for byte in ENDLESS + chunk(b"hel") + chunk(b"lo") + b"0\r\n\r\n":
        assert asked.is_open
        link.say(bytes([byte]))
    assert asked.body == b"hello"
    assert asked.answer is not None
    assert asked.answer.status == 200
    assert asked.answer.response.field("transfer-encoding") == "chunked"


def test_a_body_may_end_with_the_connection() -> None:
    net = Net()
    asked = net.ask()
    link = net.accept()
    link.say(b"HTTP/1.0 200 OK\r\n\r\nhello")
    link.close()
    assert asked.body == b"hello"


@pytest.mark.parametrize("status", [404, 500])
def test_the_body_of_any_answer_is_read_unless_some_are_heeded(status: int) -> None:
    net = Net()
    head = b"HTTP/1.1 %d No\r\nContent-Length: 5\r\n\r\n" % status
    asked = net.ask()
    link = net.accept()
    link.say(head)
    assert asked.is_open
    link.say(b"sorry")
    assert asked.body == b"sorry"
    asked = net.ask(heeded=(200,))
    link.say(head + b"s")
    assert asked.answer is not None
    assert asked.answer.status == status
    assert not link.is_open


SHORT = HEAD + b"5\r\n\r\nhell"
FAILURES = {
    "closed before": (b"", CLOSED, ("connection closed before a response", Fault.NO_RESPONSE)),
    "closed in the header": (OK[:9], CLOSED, ("connection closed after 9 bytes", Fault.NO_RESPONSE)),
    "closed in the body": (SHORT, CLOSED, ("connection closed after 4 of 5 bytes", Fault.NO_RESPONSE)),
    "closed in a chunk": (
        ENDLESS + b"5\r\nhell",
        CLOSED,
        ("connection closed after 4 bytes of unknown length", Fault.NO_RESPONSE),
    ),
    "reset": (b"", LOST, ("connection lost: no answer", Fault.NO_RESPONSE)),
    "reset in the body": (SHORT, LOST, ("connection lost: less than 5 bytes of an answer", Fault.NO_RESPONSE)),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", None, ("not HTTP/1: 'SSH-2.0-OpenSSH_9.2'", Fault.MALFORMED)),
    "no length": (HEAD + b"x\r\n\r\n", None, ("bad content-length 'x'", Fault.MALFORMED)),
    "endless header": (OK[:15] + b"X: " + b"x" * 65536, None, ("more than 65536 bytes", Fault.MALFORMED)),
    "announced too long": (HEAD + b"101\r\n\r\n", None, ("more than 100 bytes", Fault.MALFORMED)),
    "too long": (ENDLESS + chunk(b"x" * 101), None, ("more than 100 bytes", Fault.MALFORMED)),
}


@pytest.mark.parametrize("name", FAILURES)
def test_why_there_is_no_answer_is_said(name: str) -> None:
    data, end, failure = FAILURES[name]
    net = Net(limit=100)
    asked = net.ask()
    link = net.accept()
    if data:
        link.say(data)
    if end:
        link.close(end)
    assert asked.failure == failure
    assert end or not link.is_open
    net.answered()


@pytest.mark.parametrize(
    ("said", "stage"),
    [
        (b"", "no answer"),
        (OK[:9], "less than a whole header"),
        (SHORT, "less than 5 bytes of an answer"),
        (ENDLESS + b"5\r\nhell", "less than all bytes of an answer"),
    ],
)
def test_how_far_an_answer_came_in_time_is_said(said: bytes, stage: str) -> None:
    net = Net()
    asked = net.ask()
    link = net.accept()
    if said:
        link.say(said)
    net.reactor.advance(4.9)
    assert asked.is_open
    net.reactor.advance(0.1)
    assert asked.failure == (f"{stage} within 5 s", Fault.NO_RESPONSE)
    assert not link.is_open


def test_an_answer_that_drips_has_no_more_time_than_another() -> None:
    net = Net()
    asked = net.ask()
    link = net.accept()
    link.say(ENDLESS)
    for _ in range(10):
        link.say(chunk(b"x"))
        net.reactor.advance(0.5)
    assert asked.failure == ("less than all bytes of an answer within 5 s", Fault.NO_RESPONSE)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectError(errno.ECONNREFUSED), "connection refused"),
        (ConnectError(errno.EHOSTUNREACH), "no route to host"),
        (ConnectError(string="what now"), "An error occurred while connecting: what now."),
    ],
)
def test_why_there_is_no_connection_is_said(error: Exception, reason: str) -> None:
    net = Net()
    asked = net.ask()
    net.refuse(error)
    assert asked.failure == (reason, Fault.UNREACHABLE)


def test_a_connection_that_does_not_come_about_is_given_up() -> None:
    net = Net()
    asked = net.ask()
    net.reactor.advance(5)
    assert asked.failure == ("no connection within 5 s", Fault.UNREACHABLE)
    assert net.reactor.connectors[-1].stoppedConnecting


def test_the_addresses_of_a_name_are_tried_in_turn() -> None:
    net = Net("conf.example")
    net.names = {("conf.example", 4): ["192.0.2.1"], ("conf.example", 6): ["2001:db8::1"]}
    asked = net.ask()
    net.refuse()
    net.accept().say(OK)
    assert asked.body == b"hello"
    assert net.places == [("192.0.2.1", 80), ("2001:db8::1", 80)]


def test_the_address_that_was_good_is_the_first_next_time() -> None:
    net = Net("conf.example")
    net.names = {("conf.example", 4): ["192.0.2.1", "192.0.2.2"]}
    net.ask()
    net.refuse()
    link = net.accept()
    link.say(OK)
    link.close()
    net.answered()
    assert net.places[-1] == ("192.0.2.2", 80)


def test_an_address_that_takes_connections_and_is_silent_does_not_keep_us() -> None:
    net = Net("conf.example")
    net.names = {("conf.example", 4): ["192.0.2.1", "192.0.2.2"]}
    asked = net.ask()
    net.accept()
    net.reactor.advance(5)
    assert asked.failure == ("no answer within 5 s", Fault.NO_RESPONSE)
    net.answered()
    assert net.places == [("192.0.2.1", 80), ("192.0.2.2", 80)]


def test_an_address_that_answers_with_nonsense_does_not_keep_us() -> None:
    net = Net("conf.example")
    net.names = {("conf.example", 4): ["192.0.2.1", "192.0.2.2"]}
    net.ask()
    net.accept().say(b"SSH-2.0-OpenSSH_9.2\r\n")
    net.answered()
    assert net.places == [("192.0.2.1", 80), ("192.0.2.2", 80)]


def test_addresses_of_which_none_takes_a_connection_share_the_time() -> None:
    net = Net("conf.example")
    net.names = {("conf.example", 4): ["192.0.2.1", "192.0.2.2"]}
    asked = net.ask()
    assert net.reactor.tcpClients[-1][3] == 2.5
    net.refuse()
    net.refuse()
    assert asked.failure == ("connection refused", Fault.UNREACHABLE)


def test_a_name_without_address_is_said() -> None:
    asked = Net("conf.example").ask()
    assert asked.failure == ("address of conf.example: no such name (NXDOMAIN)", Fault.UNREACHABLE)


def test_a_name_that_dns_cannot_tell_keeps_its_addresses() -> None:
    net = Net("conf.example")
    net.dns_fails = True
    assert net.ask().failure == ("address of conf.example: SERVFAIL from 192.0.2.53", Fault.UNREACHABLE)
    net.dns_fails = False
    net.names = {("conf.example", 4): ["192.0.2.1"]}
    net.answered().close()
    net.dns_fails = True
    net.answered().close()
    assert len(net.places) == 2


def test_a_name_that_is_no_more_keeps_none() -> None:
    net = Net("conf.example")
    net.names = {("conf.example", 4): ["192.0.2.1"]}
    net.answered().close()
    net.names = {}
    assert net.ask().failure == ("address of conf.example: no such name (NXDOMAIN)", Fault.UNREACHABLE)


def test_closing_ends_all_that_is_asked_and_the_client_is_good_for_more() -> None:
    net = Net()
    kept = net.answered()
    asked, link = net.ask(), kept
    trying = net.ask()
    net.client.close()
    assert isinstance(asked.error, CancelledError)
    assert isinstance(trying.error, CancelledError)
    assert not link.is_open
    assert net.reactor.connectors[-1].stoppedConnecting
    assert net.reactor.getDelayedCalls() == []
    net.answered()


def test_who_asked_may_give_it_up() -> None:
    net = Net()
    asked = net.ask()
    link = net.accept()
    asked.asking.cancel()
    assert isinstance(asked.error, CancelledError)
    assert not link.is_open
    assert net.reactor.getDelayedCalls() == []


def test_an_answer_without_end_is_told_as_it_comes() -> None:
    net = Net(limit=10)
    followed = net.follow()
    link = net.accept()
    link.say(ENDLESS + chunk(b"one"))
    assert followed.body == b""
    assert followed.pieces == [b"one"]
    net.reactor.advance(3600)
    for _ in range(100):
        link.say(chunk(b"more than ten bytes"))
    assert followed.pieces[-1] == b"more than ten bytes"
    assert len(followed.pieces) == 101
    assert (followed.lost, link.is_open) == ([], True)


def test_an_answer_is_followed_from_its_header_on() -> None:
    net = Net()
    followed = net.follow()
    link = net.accept()
    link.say(ENDLESS)
    assert followed.answer is not None
    assert (followed.answer.status, followed.pieces) == (200, [])


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (b"0\r\n\r\n", "the answer has ended"),
        (b"x\r\n", "bad chunk size 'x'"),
        (CLOSED, "connection closed after 3 bytes of unknown length"),
        (LOST, "connection lost: less than all bytes of an answer"),
    ],
)
def test_why_an_answer_does_not_go_on_is_told_once(end: bytes | Failure, reason: str) -> None:
    net = Net()
    followed = net.follow()
    link = net.accept()
    link.say(ENDLESS + chunk(b"one"))
    if isinstance(end, bytes):
        link.say(end)
        assert not link.is_open
        link.close(LOST)
    else:
        link.close(end)
    assert (followed.pieces, followed.lost) == ([b"one"], [reason])


def test_what_ends_at_once_was_followed_all_the_same() -> None:
    net = Net()
    followed = net.follow()
    net.accept().say(OK)
    assert (followed.body, followed.pieces, followed.lost) == (b"", [b"hello"], ["the answer has ended"])


def test_what_the_listener_does_not_want_ends_the_answer() -> None:
    net = Net()
    followed = net.follow()
    followed.refused = b"two"
    link = net.accept()
    link.say(ENDLESS + chunk(b"one"))
    link.say(chunk(b"two"))
    assert not link.is_open
    assert (followed.pieces, followed.lost) == ([b"one"], ["heard b'two'"])


def test_an_answer_that_is_a_refusal_is_not_followed() -> None:
    net = Net(limit=10)
    followed = net.follow()
    link = net.accept()
    link.say(b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nsorry")
    assert (followed.body, followed.pieces, followed.lost) == (b"sorry", [], [])
    assert link.is_open
    net.answered(link)


def test_a_refusal_is_no_longer_than_another_answer() -> None:
    net = Net(limit=10)
    followed = net.follow()
    link = net.accept()
    link.say(b"HTTP/1.1 403 No\r\n\r\nsorry")
    link.say(b", sorry")
    assert followed.failure == ("more than 10 bytes", Fault.MALFORMED)
    assert (followed.lost, link.is_open) == ([], False)


def test_an_answer_to_follow_has_to_begin_in_time() -> None:
    net = Net()
    followed = net.follow()
    net.accept()
    net.reactor.advance(5)
    assert followed.failure == ("no answer within 5 s", Fault.NO_RESPONSE)
    assert followed.lost == []


def test_what_is_followed_ends_with_the_client_and_nobody_is_told() -> None:
    net = Net()
    followed = net.follow()
    link = net.accept()
    link.say(ENDLESS)
    net.client.close()
    assert not link.is_open
    link.say(chunk(b"late"))
    link.close(LOST)
    assert (followed.pieces, followed.lost) == ([], [])


def test_a_listener_may_close_the_client_while_it_hears() -> None:
    net = Net()
    lost: list[Exception] = []
    net.client.follow(GET, BodyListener(lambda _: net.client.close(), lost.append))
    link = net.accept()
    link.say(ENDLESS + chunk(b"one") + b"0\r\n\r\n")
    assert not link.is_open
    assert lost == []


def test_who_got_the_answer_may_close_the_client_before_its_first_piece() -> None:
    net = Net()
    told: list[bytes | Exception] = []
    net.client.follow(GET, BodyListener(told.append, told.append)).addCallback(lambda _: net.client.close())
    link = net.accept()
    link.say(ENDLESS + chunk(b"one"))
    assert (told, link.is_open) == ([], False)


def test_a_connection_over_tls_is_silent_in_two_ways() -> None:
    connection = HTTPConnection(MemoryReactorClock(), 10, secure=True)
    assert connection.stage == "no TLS handshake"
    connection.handshakeCompleted()
    assert connection.stage == "no answer"


@given(
    st.sampled_from(
        [OK, ENDLESS + chunk(b"hello") + b"0\r\n\r\n", OK.replace(b"1.1", b"1.0"), OK.replace(b"200", b"500")]
    ),
    st.lists(st.tuples(st.integers(0, 80), st.binary(max_size=3)), max_size=3),
    st.lists(st.integers(0, 80), max_size=4),
    st.sampled_from([None, CLOSED, LOST]),
    st.booleans(),
)
def test_whatever_is_said_there_is_one_outcome_and_nothing_is_left(
    said: bytes, changes: list[tuple[int, bytes]], cuts: list[int], end: Failure | None, used: bool
) -> None:
    net = Net(limit=20)
    link = net.answered() if used else None
    for place, new in changes:
        said = said[:place] + new + said[place + 1 :]
    asked = net.ask()
    link = link or net.accept()
    for start, stop in pairwise([0, *sorted(min(cut, len(said)) for cut in cuts), len(said)]):
        if link.is_open and stop > start:
            link.say(said[start:stop])
    if end and link.is_open:
        link.close(end)
    net.reactor.advance(5)
    assert (asked.answer is None) != (asked.error is None)
    assert isinstance(asked.error, ProtocolError | None)
    net.client.close()
    assert net.reactor.getDelayedCalls() == []


def test_one_answer_is_followed_at_a_time_and_questions_go_beside_it() -> None:
    net = Net()
    first = net.follow()
    link = net.accept()
    link.say(ENDLESS)
    net.answered()
    assert link.is_open
    net.follow()
    assert (link.is_open, first.lost) == (False, [])
