"""The bytes of an HTTP/2 server that responds to a gRPC health check."""

from __future__ import annotations

from collections.abc import Sequence

from hpack import Encoder


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


SETTINGS = frame(4, 0, 0, b"")
OK = [(":status", "200"), ("content-type", "application/grpc")]
SERVING = b"\0\0\0\0\x02\x08\x01"
DONE = [("grpc-status", "0")]
END_STREAM, END_HEADERS = 1, 4


def serving(
    head: Sequence[tuple[str, str]] = OK, message: bytes = SERVING, trailers: Sequence[tuple[str, str]] = DONE
) -> bytes:
    """Return the bytes of an HTTP/2 server."""
    encoder = Encoder()
    return b"".join(
        (
            SETTINGS,
            frame(1, END_HEADERS, 1, encoder.encode(head)),
            frame(0, 0, 1, message),
            frame(1, END_HEADERS | END_STREAM, 1, encoder.encode(trailers)),
        )
    )
