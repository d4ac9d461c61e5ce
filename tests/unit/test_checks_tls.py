"""TLS contexts and streams of checks."""

from __future__ import annotations

import ssl

from pybal.checks import tls


def test_context_offers_the_usual_ciphers_without_finite_fields() -> None:
    offered = {cipher["name"] for cipher in tls.context().get_ciphers()}
    usual = {cipher["name"] for cipher in ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).get_ciphers()}
    assert offered == {name for name in usual if not name.startswith("DHE-")}
    assert any(name.startswith("ECDHE-") for name in offered)
