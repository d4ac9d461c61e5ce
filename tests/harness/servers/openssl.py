"""``openssl s_server``: a TLS server that serves nothing."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.servers.process import PATIENCE, free_ports


@contextmanager
def openssl_server(file: Path, *options: str) -> Iterator[int]:
    """Run a server with a certificate and its key until the end of the block; yield its port on 127.0.0.1."""
    (port,) = free_ports(1)
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(file), "-key", str(file), "-quiet"]
    process = subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_listening(port)
        yield port
    finally:
        process.terminate()
        process.communicate()


def _wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
