"""TLS contexts and streams of checks."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from pybal.checks import tls


def test_context_offers_the_usual_ciphers_without_finite_fields() -> None:
    offered = {cipher["name"] for cipher in tls.context().get_ciphers()}
    usual = {cipher["name"] for cipher in ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).get_ciphers()}
    # Those with PSK stay: no client without a shared key offers them to a server.
    assert offered == {name for name in usual if name.startswith("DHE-PSK-") or not name.startswith("DHE-")}
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


def test_context_offers_tls_1_2_and_1_3_only() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        tls.context().wrap_bio(incoming, outgoing).do_handshake()
    # RFC 8446 §4.2.1: the extension supported_versions (43), 5 bytes, a list of 4 bytes, TLS 1.3 and 1.2.
    assert b"\x00\x2b\x00\x05\x04\x03\x04\x03\x03" in outgoing.read()
