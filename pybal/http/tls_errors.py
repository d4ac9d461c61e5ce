"""The cause of a TLS error, from Python's ssl module or from pyOpenSSL."""

from __future__ import annotations

import ssl

from OpenSSL import SSL
from service_identity import VerificationError

_UNVERIFIED = "certificate verify failed"
_EXPLAINED = {"wrong version number": "wrong version number (no TLS on this port)"}
"""OpenSSL's reasons that mislead, with their meaning."""


def tls_reason(error: BaseException) -> str:
    """Return the cause of a TLS error (``self-signed certificate``); an empty text for any other error."""
    if isinstance(error, ssl.SSLError):
        return _ssl_reason(error)
    if isinstance(error, VerificationError):
        return f"certificate does not match {_expected_name(error)}"
    if isinstance(error, SSL.Error):
        reasons = [entry[-1] for entry in error.args[0]] if error.args and isinstance(error.args[0], list) else []
        if _UNVERIFIED in reasons:
            # pyOpenSSL does not report which of the two it is.
            return "certificate expired or not signed by a trusted CA"
        return _explained(reasons[-1]) if reasons else "connection closed"
    return ""


def _expected_name(error: VerificationError) -> str:
    expected = error.errors[0].mismatched_id
    address = getattr(expected, "ip", None)
    return f"address {address}" if address else f"host name {getattr(expected, 'hostname', b'').decode('ascii')}"


def _ssl_reason(error: ssl.SSLError) -> str:
    message = getattr(error, "verify_message", "")
    if message:
        abbreviated = message[:2].isupper()
        return (message if abbreviated else f"{message[:1].lower()}{message[1:]}").removesuffix(".")
    return _explained((error.reason or str(error)).replace("_", " ").lower())


def _explained(reason: str) -> str:
    return _EXPLAINED.get(reason, reason)
