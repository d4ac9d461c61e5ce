"""The shipped plugin check_pybal and servers that give it no conclusion: each is UNKNOWN, in one line."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from pathlib import Path

import pytest

from tests.harness.daemon_process import free_port
from tests.harness.guest import namespace
from tests.harness.tools.nagios import CRITICAL, OK, UNKNOWN, WARNING
from tests.harness.tools.shipped_plugin import check_pybal

OVERDUE = {"age": 46.0, "interval": 15.0, "problem": None}
UNREADABLE = {"age": 1.0, "interval": 15.0, "problem": "Operation not permitted"}
READ = {"age": 1.0, "interval": 15, "problem": None}


@contextmanager
def server(*pieces: bytes, more: Iterator[bytes] = iter(()), hold: bool = False) -> Iterator[str]:  # noqa: B008  # empty
    """Serve one connection: read a request, send the pieces, then close or hold the connection."""
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        with suppress(OSError), listener.accept()[0] as peer:
            peer.recv(65536)
            for piece in chain(pieces, more):
                peer.sendall(piece)
            if hold:
                ended.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def response(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    return (
        b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n"
        % (
            status.encode(),
            len(body) if length is None else length,
        )
        + body
    )


def document(value: object) -> bytes:
    return response(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "Remote end closed connection without response"),
        (b"\x16\x03\x01\x02\x00\x01\xff|`'\n", "invalid response (BadStatusLine: "),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "invalid response (BadStatusLine: SSH-2.0-OpenSSH_9.2p1\\r\\n)"),
        (b"HTTP/3.7 200 OK\r\n\r\n", "invalid response (UnknownProtocol: HTTP/3.7)"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200, "invalid response (HTTPException: got more than 100 headers)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n[]", "the response has no length, so it may be incomplete"),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", "the response has no length, so it may be incomplete"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]", "invalid response (IncompleteRead: "),
        (response(b"[]", length=9), "the response is incomplete: 7 bytes are missing"),
        (response(b"", "301 Moved\r\nLocation: http://127.0.0.1/"), "HTTP 301"),
        (response(b"", "404 Not Found"), "HTTP 404 (no endpoint of PyBal 2; --compat reads that of PyBal 1.15)"),
        (
            response(b"", "421 Misdirected Request"),
            "HTTP 421 (the address accepts only host names of its own machine; ",
        ),
        (response(b"", "503 Busy"), "HTTP 503"),
        (response(b"It works!"), "invalid response (JSONDecodeError: "),
        (response(b"[" * 100_000), "invalid response (RecursionError: "),
        (response(b'["\xff"]'), "invalid response (UnicodeDecodeError: "),
        (document({}), "unexpected document: dict in place of list"),
        (document([1]), "unexpected document: int in place of dict"),
        (document([{"level": "warning"}]), "unexpected document: kind is missing"),
        (
            document([{"level": "fatal", "kind": "k", "text": "t", "service": "", "data": {}}]),
            "unexpected document: level fatal",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "reply",
)
def test_response_that_allows_no_conclusion_is_unknown(reply: bytes, reason: str) -> None:
    with server(reply) as url:
        found = check_pybal("--url", url)
    place = f"127.0.0.1 port {url.rpartition(':')[2]}, /v1/alerts/groups"
    assert (found.code, found.lines) == (UNKNOWN, [])
    assert found.text.startswith(f"PYBAL UNKNOWN - {place}: {reason}"), found.text


@pytest.mark.parametrize(
    ("mode", "reply", "reason"),
    [
        ("--compat", response(b"<html>"), "unexpected document: <html>"),
        ("--compat", response(b"OKAY"), "unexpected document: OKAY"),
        ("--config", document({}), "unexpected document: file is missing"),
        ("--config", document([]), "unexpected document: list in place of dict"),
        ("--bgp", document({"enabled": "yes", "peers": [], "vips": []}), "unexpected document: str in place of bool"),
        ("--sources", document({"web": {}}), "unexpected document: age is missing"),
        ("--sources", document([]), "unexpected document: list in place of dict"),
        ("--ipvs-diff", document({"audit": OVERDUE, "services": {}, "foreign": []}), "IPVS was last read 46 s ago"),
        (
            "--ipvs-diff",
            document({"audit": UNREADABLE, "services": {}, "foreign": []}),
            "IPVS cannot be read: Operation not permitted",
        ),
    ],
)
def test_mode_without_a_conclusion_is_unknown(mode: str, reply: bytes, reason: str) -> None:
    with server(reply) as url:
        found = check_pybal(mode, "--url", url)
    assert found.code == UNKNOWN
    assert found.text.endswith(f": {reason}"), found.text


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\n",), (response(b"[", length=2),)])
def test_server_that_stops_in_the_middle_is_unknown(pieces: Sequence[bytes]) -> None:
    with server(*pieces, hold=True) as url:
        found = check_pybal("--url", url, "--timeout", "0.5")
    assert (found.code, found.text) == (UNKNOWN, "PYBAL UNKNOWN - no complete response within 0.5 s")


def test_response_that_grows_for_longer_than_the_timeout_is_unknown() -> None:
    def drip() -> Iterator[bytes]:
        pause = threading.Event()
        for byte in repeat(b" "):
            yield byte
            pause.wait(0.05)

    with server(response(b"", length=1000), more=drip()) as url:
        found = check_pybal("--url", url, "--timeout", "0.5")
    assert (found.code, found.text) == (UNKNOWN, "PYBAL UNKNOWN - no complete response within 0.5 s")


def test_response_larger_than_32_mib_is_unknown() -> None:
    with server(response(b"", length=1 << 40), more=repeat(b" " * (1 << 20))) as url:
        found = check_pybal("--url", url)
    assert (found.code, found.text.partition(": ")[2]) == (UNKNOWN, "the response is larger than 32 MiB")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to replace resolv.conf")
def test_lookup_that_hangs_is_unknown_after_the_timeout(tmp_path: Path) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.53\noptions timeout:60\n")
    own = ("unshare", "--mount", "sh", "-c", f'mount --bind {resolver} /etc/resolv.conf && exec "$@"', "sh")
    with namespace.fresh(), socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.53", 53))
        found = check_pybal("--host", "lvs1.example", "--timeout", "0.5", prefix=own)
        assert silent.recv(512)
    assert (found.code, found.text) == (UNKNOWN, "PYBAL UNKNOWN - no complete response within 0.5 s")


def test_closed_port_is_unknown() -> None:
    port = free_port("127.0.0.1")
    found = check_pybal("--port", str(port))
    refused = f"PYBAL UNKNOWN - 127.0.0.1 port {port}, /v1/alerts/groups: Connection refused"
    assert (found.code, found.text) == (UNKNOWN, refused)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--alert"], "unrecognized arguments: --alert"),
        (["--alerts", "--bgp"], "argument --bgp: not allowed with argument --alerts"),
        (["--timeout", "0"], "argument -t/--timeout: invalid seconds value: '0'"),
        (["--timeout", "nan"], "argument -t/--timeout: invalid seconds value: 'nan'"),
        (["--port", "65536"], "argument -p/--port: invalid port value: '65536'"),
        (["--warning", "9:3"], "argument -w/--warning: invalid Range value: '9:3'"),
        (["--warning", "@"], "argument -w/--warning: invalid Range value: '@'"),
        (["--url", "lvs1:9090"], "invalid --url lvs1:9090 (use http://HOST:9090)"),
        (["--url", "http://[::1:9090"], "invalid --url http://[::1:9090: Invalid IPv6 URL"),
        (["--config", "--critical", "1"], "--config has no limits (omit --warning and --critical)"),
    ],
)
def test_invalid_command_line_is_unknown(arguments: list[str], reason: str) -> None:
    found = check_pybal(*arguments)
    assert found.code == UNKNOWN
    assert found.text.startswith(f"PYBAL UNKNOWN - {reason}")


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ([], CRITICAL),
        (["-c", "2"], WARNING),
        (["-c", "2", "-w", "7"], OK),
        (["-c", "2:2", "-w", "~:7"], OK),
        (["-c", "2", "-w", "8:"], WARNING),
        (["-c", "@2:3", "-w", "7"], CRITICAL),
        (["-c", "", "-w", ""], OK),
    ],
)
def test_limits_count_each_alert_of_a_group(limits: list[str], code: int) -> None:
    alert = {"service": "web", "text": "6 alerts", "age": 7200.5, "data": {}}
    found = [
        alert | {"level": "warning", "kind": "unknown", "data": {"alerts": 6}},
        alert | {"level": "critical", "kind": "no-servers"},
        alert | {"level": "critical", "kind": "pooled-down"},
        alert | {"level": "warning", "kind": "bgp", "service": "", "age": None},
    ]
    with server(document(found)) as url:
        output = check_pybal("--url", url, *limits)
    assert output.code == code
    assert output.text.endswith(" - web no-servers, web pooled-down, web unknown and 1 more (2 critical, 7 warnings)")
    assert output.lines[1] == "CRITICAL web no-servers: 6 alerts [2 h]"
    assert output.lines[3] == "WARNING pybal bgp: 6 alerts"


def test_output_is_one_short_line_per_alert_without_control_characters() -> None:
    alert = {"service": "a|b\n", "level": "warning", "kind": "down", "text": "\x1b[2J" + "x" * 999, "data": {}}
    with server(document([alert] * 60)) as url:
        output = check_pybal("--url", url)
    assert output.text == "PYBAL WARNING - a/b\\n down, a/b\\n down, a/b\\n down and 57 more (0 critical, 60 warnings)"
    assert len(output.lines) == 41
    assert output.lines[0].startswith("WARNING a/b\\n down: \\x1b[2Jxxx")
    assert len(output.lines[0]) < 320
    assert output.lines[-1] == "and 20 more"


def test_ipvs_diff_names_changes_and_services_of_other_programs() -> None:
    service = {"key": "tcp 192.0.2.1:80", "verified": True, "audit_age": 3.2, "drift": []}
    changed = service | {"verified": False, "drift": ["ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 1"]}
    found = {"audit": READ, "services": {"web": changed, "api": service}, "foreign": ["tcp 192.0.2.9:80"]}
    with server(document(found)) as url:
        output = check_pybal("--ipvs-diff", "--url", url)
    text = "1 service differs in IPVS: web; 1 service of other programs: tcp 192.0.2.9:80"
    assert (output.code, output.text) == (CRITICAL, f"PYBAL CRITICAL - {text}")
    assert output.lines == [
        "web (tcp 192.0.2.1:80, last read 3 s ago): changed by another program; to undo it:",
        "  ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 1",
    ]
    with server(document(found)) as url:
        assert check_pybal("--ipvs-diff", "--url", url, "-c", "1").code == WARNING
