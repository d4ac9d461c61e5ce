"""When a certificate ends, read from its DER form (RFC 5280 §4.1).

Pure. Only the way to the date is understood::

    Certificate = SEQUENCE { TBSCertificate = SEQUENCE {
        [0] version (may be absent), serial number, signature algorithm, issuer,
        validity = SEQUENCE { not before, not after }, … }, … }
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18
_LONG = 0x80
_CENTURY_TURNS = "50"


def not_after(certificate: bytes) -> datetime:
    """Return when a certificate ends; raises ValueError if that cannot be read."""
    try:
        _, body = next(_elements(certificate))
        _, signed = next(_elements(body))
        fields = list(islice(_elements(signed), 5))
        _, validity = fields[4 if fields[0][0] == _VERSION else 3]
        _, (tag, text) = islice(_elements(validity), 2)
        return _date(tag, text.decode("ascii"))
    except (IndexError, StopIteration) as error:
        raise ValueError("not a certificate") from error


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element, as long as there are any."""
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & _LONG:
            size = length ^ _LONG
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        content = data[position : position + length]
        if len(content) < length:
            raise ValueError("not a certificate")
        yield tag, content
        position += length


def _date(tag: int, text: str) -> datetime:
    if tag == _UTC_TIME:
        text = ("20" if text[:2] < _CENTURY_TURNS else "19") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a date")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
