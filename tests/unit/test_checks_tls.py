"""TLS contexts and streams of checks."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from pybal.checks import tls


def test_context_offers_the_usual_ciphers_without_finite_fields() -> None:
    offered = {cipher["name"] for cipher in tls.context().get_ciphers()}
    usual = {cipher["name"] for cipher in ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).get_ciphers()}
    assert offered == {name for name in usual if not name.startswith("DHE-")}
    assert any(name.startswith("ECDHE-") for name in offered)


def test_server_name_is_sent_without_its_final_dot() -> None:
    names = list[str | None]()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        with suppress(BlockingIOError):
            tls.TLSStream(ours, tls.context(), "www.example.org.").handshake()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        incoming.write(theirs.recv(65536))
        with suppress(ssl.SSLError):
            server.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    assert names == ["www.example.org"]
