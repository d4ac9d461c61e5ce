"""Clients of port 9090 and of the control socket that mean harm: others get their responses."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle

import pytest

from tests.harness.attacked_balancer import AttackedBalancer

STATUS = ("127.0.0.1", 9090)
HOST = b"Host: localhost\r\n"
GET = b"GET %s HTTP/1.1\r\n" + HOST + b"\r\n"
SERVERS = 300
"""Servers of a pool, for responses that fill buffers."""
RESPONSES = 20
SMALL = 3 * 1024
"""KiB by which the daemon may grow while clients send faster than they are served."""
PATIENCE = 2.0
"""Seconds that an attacker waits for the daemon."""


@pytest.fixture
def populated(balancer: AttackedBalancer) -> AttackedBalancer:
    hosts = [f"127.1.{number >> 8}.{number & 255}" for number in range(1, SERVERS + 1)]
    balancer.reload({"many": f"config = {balancer.pool_file('many', *hosts)}\nmonitors = []\n"})
    balancer.wait(lambda: len(balancer.servers_of("many")) == SERVERS, "the servers")
    return balancer


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20_000, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def repeated(*attacks: Callable[[], object]) -> Iterator[None]:
    """Make one attack after the other, again and again, in a thread during the block."""
    ended = threading.Event()

    def run() -> None:
        for attack in cycle(attacks):
            if ended.is_set():
                return
            with contextlib.suppress(OSError):
                attack()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def connected(stack: ExitStack, *, buffer: int = 0) -> socket.socket:
    client = stack.enter_context(socket.socket())
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.settimeout(60)
    client.connect(STATUS)
    return client


def send_what_fits(clients: Iterable[socket.socket], data: bytes) -> None:
    for client in clients:
        with contextlib.suppress(OSError):
            client.send(data)


def read_what_came(clients: Iterable[socket.socket]) -> None:
    for client in clients:
        with contextlib.suppress(OSError):
            while client.recv(1 << 20):
                pass


def others_are_served(balancer: AttackedBalancer, path: str = "/alerts") -> None:
    """Require a response to each of several requests."""
    for _ in range(RESPONSES):
        balancer.wait(lambda: balancer.process.get(path), path)


def send_and_read(data: bytes) -> None:
    with socket.create_connection(STATUS, PATIENCE) as client:
        client.sendall(data)
        while client.recv(65536):
            pass


@pytest.mark.parametrize("path", [b"/", b"/metrics", b"/v1/pools/many", b"/page/pools/many", b"/alerts", b"/none"])
def test_pipelined_requests_leave_others_their_responses(populated: AttackedBalancer, path: bytes) -> None:
    with ExitStack() as stack, populated.attack(f"pipelined {path.decode()}", growth=SMALL):
        clients = [connected(stack), connected(stack)]
        for client in clients:
            client.setblocking(False)
        data = (GET % path) * 1000

        def attack() -> None:
            send_what_fits(clients, data)
            read_what_came(clients[:1])  # the other one never reads

        with repeated(attack):
            others_are_served(populated)


def test_half_open_connections_leave_others_their_responses(populated: AttackedBalancer) -> None:
    with ExitStack() as stack, populated.attack("half-open connections"):
        for number in range(4000):
            with contextlib.suppress(OSError):
                client = connected(stack)
                if number % 2:
                    client.sendall(b"GET / HTTP/1.1\r\nX: ")
        others_are_served(populated)


def test_connections_in_a_loop_leave_others_their_responses(populated: AttackedBalancer) -> None:
    def flood() -> None:
        with ExitStack() as stack:
            for _ in range(100):
                connected(stack)

    with repeated(flood), populated.attack("connections in a loop"):
        others_are_served(populated)


@pytest.mark.parametrize("path", [b"/metrics", b"/v1/pools/many", b"/page/pools/many"])
def test_slow_readers_leave_others_their_responses(populated: AttackedBalancer, path: bytes) -> None:
    with ExitStack() as stack, populated.attack(f"slow readers of {path.decode()}"):
        for _ in range(520):
            with contextlib.suppress(OSError):
                connected(stack, buffer=2048).sendall(GET % path)
        others_are_served(populated)
        others_are_served(populated, "/metrics")


def test_hundreds_of_event_streams_leave_others_their_responses(populated: AttackedBalancer) -> None:
    with ExitStack() as stack, populated.attack("event streams"):
        for _ in range(600):
            with contextlib.suppress(OSError):
                connected(stack, buffer=2048).sendall(GET % b"/v1/events")
        others_are_served(populated)
        # Changes that all streams report, to clients that do not read.
        for number in range(5):
            populated.pool_file("many", *(f"127.2.{number}.{n}" for n in range(1, SERVERS // 2)))
            others_are_served(populated)


MALFORMED: Sequence[bytes] = (
    b"GET / HTTP/1.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
    b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999\r\n\r\n" + bytes(1_000_000),
    b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 100_000,
    b"GET / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n\r\n" * 1000,
    b"\n" * 1_000_000,
    b"\r\n" * 500_000,
    b"\x16\x03\x01" + bytes(1_000_000),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(1_000_000),
    b"GET /page/" + b"..%2f" * 2000 + b"etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /v1/pools/" + b"%" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /?" + b"&".join(b"a%d=1" % n for n in range(2000)) + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Accept-Encoding: " + b"gzip;q=0.1, " * 1000 + b"\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n" + HOST + b"Accept: " + b"text/plain;version=0.0.4;q=0.5, " * 400 + b"\r\n\r\n",
    b"GET /alerts HTTP/1.1\r\nHost: " + b"a" * 10_000 + b"\r\n\r\n",
    b"GET /alerts HTTP/1.1\r\n" + b"Host: localhost\r\n" * 90 + b"\r\n",
)


def test_malformed_requests_leave_others_their_responses(populated: AttackedBalancer) -> None:
    attacks = [partial(send_and_read, data) for data in MALFORMED]
    with repeated(*attacks), repeated(*reversed(attacks)), populated.attack("malformed requests"):
        others_are_served(populated)
        others_are_served(populated)
    assert "Traceback" not in populated.process.log


def test_expensive_requests_leave_others_their_responses(populated: AttackedBalancer) -> None:
    """Request the largest responses over many connections, compressed and not."""
    gzip = b"GET %s HTTP/1.1\r\n" + HOST + b"Accept-Encoding: gzip\r\nConnection: close\r\n\r\n"

    paths = (b"/metrics", b"/v1/pools/many", b"/page/pools/many", b"/v1/config", b"/v1/checks")
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(repeated(*(partial(send_and_read, gzip % path) for path in paths)))
        with populated.attack("expensive requests"):
            others_are_served(populated)
            others_are_served(populated)


# -- the control socket


def control(balancer: AttackedBalancer, stack: ExitStack) -> socket.socket:
    client = stack.enter_context(socket.socket(socket.AF_UNIX))
    client.settimeout(60)
    client.connect(str(balancer.directory / "control.sock"))
    return client


def request(command: str, **arguments: object) -> bytes:
    return json.dumps({"version": 1, "command": command, "arguments": arguments}).encode() + b"\n"


LINES: Sequence[bytes] = (
    b"x" * 3_000_000,
    b'{"version":1,"command":"status","arguments":' + b'{"a":' * 300_000 + b"\n",
    b"[" * 900_000 + b"\n",
    b'{"version":' + b"1" * 900_000 + b"}\n",
    b'{"version":NaN}\n',
    b'{"version":1,"command":"\xff"}\n',
    b'{"version":1,"command":"\\ud800"}\n',
    b'{"version":1,' + b'"command":"thaw",' * 60_000 + b'"x":1}\n',
    b"\n" * 900_000,
    b"{}\n" * 300_000,
    json.dumps({"version": 1, "command": "depool", "arguments": {"a\nb" * 100_000: 1}}).encode() + b"\n",
    json.dumps({"version": 1, "command": "freeze", "reason": "\x1b[2J" * 100_000}).encode() + b"\n",
    request("plan", configuration="[a]\n" * 250_000, file="x"),
    request("plan", configuration="[global]\n" + "a = b\n" * 150_000, file="x"),
    request("plan", configuration="[DEFAULT]\nx = " + "%(x)s" * 100_000, file="x"),
)


def test_malformed_commands_leave_others_their_replies(balancer: AttackedBalancer) -> None:
    def attack(line: bytes) -> None:
        with ExitStack() as stack:
            client = control(balancer, stack)
            client.settimeout(PATIENCE)
            client.sendall(line)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass

    with repeated(*(partial(attack, line) for line in LINES)), balancer.attack("malformed commands"):
        for _ in range(RESPONSES):
            balancer.wait(lambda: replied(balancer), "a reply")
        others_are_served(balancer)
    assert "Traceback" not in balancer.process.log
    assert all(line.isprintable() for line in balancer.process.log.replace("\t", "").splitlines())


def replied(balancer: AttackedBalancer) -> bool:
    """Return whether the daemon replies to a command."""
    with contextlib.suppress(OSError), ExitStack() as stack:
        client = control(balancer, stack)
        client.sendall(request("status"))
        return b"unrelated" in client.makefile("rb").readline()
    return False


def test_flood_of_commands_leaves_others_their_replies(balancer: AttackedBalancer) -> None:
    with ExitStack() as stack:
        clients = [control(balancer, stack) for _ in range(8)]
        for client in clients:
            client.setblocking(False)
        data = request("status") * 2000

        def attack() -> None:
            send_what_fits(clients, data)
            read_what_came(clients[:4])  # the others never read
            time.sleep(0.01)

        with repeated(attack), balancer.attack("flood of commands", growth=SMALL):
            for _ in range(RESPONSES):
                balancer.wait(lambda: replied(balancer), "a reply")
            others_are_served(balancer)


def test_half_lines_release_their_connections_in_time(balancer: AttackedBalancer) -> None:
    with ExitStack() as stack, balancer.attack("half lines"):
        for _ in range(60):
            with contextlib.suppress(OSError):
                control(balancer, stack).sendall(b'{"version":1,"command":"status"')
        balancer.wait(lambda: replied(balancer), "a reply after the deadline of the others")


UNAUTHORISED = """
import os, socket, sys, time
os.setgroups([]); os.setgid(65534); os.setuid(65534)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    clients = []
    for _ in range(100):
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(sys.argv[1])
            client.send(b"x" * 100000)
        except OSError:
            pass
        clients.append(client)
"""


def test_flood_of_an_unauthorised_user_leaves_others_their_replies(balancer: AttackedBalancer) -> None:
    balancer.directory.chmod(0o711)
    (balancer.directory / "control.sock").chmod(0o666)
    with balancer.attack("unauthorised user"):
        command = [sys.executable, "-c", UNAUTHORISED, "control.sock", "4"]
        attacker = subprocess.Popen(command, cwd=balancer.directory)  # the path to it is private
        while attacker.poll() is None:
            balancer.wait(lambda: replied(balancer), "a reply")
            others_are_served(balancer)
        assert attacker.returncode == 0
    assert balancer.process.log.count("refused (not authorized)") <= 1
