"""The cause of a TLS error, from Python's ssl module or from pyOpenSSL."""

from __future__ import annotations

import ssl

from OpenSSL import SSL
from service_identity import VerificationError

_UNVERIFIED = "certificate verify failed"


def tls_reason(error: BaseException) -> str:
    """Return the cause of a TLS error in lower case (``wrong version number``); an empty text for any other error."""
    if isinstance(error, ssl.SSLError):
        return _ssl_reason(error)
    if isinstance(error, VerificationError):
        return "the server's certificate is of another name"
    if isinstance(error, SSL.Error):
        said = [entry[-1] for entry in error.args[0]] if error.args and isinstance(error.args[0], list) else []
        if _UNVERIFIED in said:
            return "the server's certificate has expired, or is up to no authority that we trust"
        return f"TLS: {said[-1] if said else 'connection closed'}"
    return ""


def _ssl_reason(error: ssl.SSLError) -> str:
    said = getattr(error, "verify_message", "")
    if said:
        abbreviated = said[:2].isupper()
        return (said if abbreviated else f"{said[:1].lower()}{said[1:]}").removesuffix(".")
    return (error.reason or str(error)).replace("_", " ").lower()
