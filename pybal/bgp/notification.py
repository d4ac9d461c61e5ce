"""The RFCs' names for the error codes of a NOTIFICATION. Pure."""

from __future__ import annotations

from pybal.core.text import printable

_CODES = {
    1: "message header error",
    2: "OPEN message error",
    3: "UPDATE message error",
    4: "hold timer expired",
    5: "finite state machine error",
    6: "cease",
    7: "ROUTE-REFRESH message error",
}
"""RFC 4271 §4.5, RFC 7313 §5."""

_SUBCODES = {
    (1, 1): "connection not synchronized",
    (1, 2): "bad message length",
    (1, 3): "bad message type",
    (2, 1): "unsupported version number",
    (2, 2): "bad peer AS",
    (2, 3): "bad BGP identifier",
    (2, 4): "unsupported optional parameter",
    (2, 6): "unacceptable hold time",
    (2, 7): "unsupported capability",
    (2, 11): "role mismatch",
    (3, 1): "malformed attribute list",
    (3, 2): "unrecognized well-known attribute",
    (3, 3): "missing well-known attribute",
    (3, 4): "attribute flags error",
    (3, 5): "attribute length error",
    (3, 6): "invalid ORIGIN attribute",
    (3, 8): "invalid NEXT_HOP attribute",
    (3, 9): "optional attribute error",
    (3, 10): "invalid network field",
    (3, 11): "malformed AS_PATH",
    (5, 1): "unexpected message in OpenSent",
    (5, 2): "unexpected message in OpenConfirm",
    (5, 3): "unexpected message in Established",
    (6, 1): "maximum number of prefixes reached",
    (6, 2): "administrative shutdown",
    (6, 3): "peer de-configured",
    (6, 4): "administrative reset",
    (6, 5): "connection rejected",
    (6, 6): "other configuration change",
    (6, 7): "connection collision resolution",
    (6, 8): "out of resources",
    (6, 9): "hard reset",
    (6, 10): "BFD down",
    (7, 1): "invalid message length",
}
"""RFC 4271 §4.5, RFC 4486, RFC 5492, RFC 6608, RFC 7313, RFC 8538, RFC 9234, RFC 9384."""


_WITH_COMMUNICATION = {(6, 2), (6, 4)}
"""The errors with a text for the other operator (RFC 9003)."""
_COMMUNICATION = b"Shutdown Communication: "
"""ExaBGP's words before that text."""


def describe(code: int, subcode: int, data: bytes = b"") -> str:
    """Return e.g. ``notification 2/2, OPEN message error: bad peer AS``.

    ``data`` is the data as ExaBGP shows it; a shutdown communication (RFC 9003) is added, escaped.
    """
    text = f"notification {code}/{subcode}, {_CODES.get(code, 'unknown error')}"
    if (code, subcode) in _SUBCODES:
        text += f": {_SUBCODES[code, subcode]}"
    if (code, subcode) in _WITH_COMMUNICATION and data.startswith(_COMMUNICATION):
        text += f" ({printable(data.removeprefix(_COMMUNICATION).decode(errors='replace'))})"
    return text
