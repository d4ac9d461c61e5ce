"""A real nginx, started by a test and ended by it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin") or ""

wanted = pytest.mark.skipif(not NGINX, reason="nginx is not installed: apt-get install nginx-light")


@contextlib.contextmanager
def running(config: Path, port: int) -> Iterator[None]:
    """Run nginx with a configuration, in its folder, from when ``port`` on loopback answers."""
    process = subprocess.Popen([NGINX, "-p", str(config.parent), "-c", str(config), "-g", "user root;"])
    try:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait()
