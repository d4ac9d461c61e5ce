"""Connections of the HTTP client leave no cycles of objects, which are collected once in hours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.certificates import self_signed
from tests.harness.daemon_process import PATIENCE

CONNECTIONS = 50
SCRIPT = f"""
import gc, http.server, ssl, sys, threading
from collections import Counter
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from pybal.runtime.loop import install
loop = install()
from pybal.config.settings import AccessSettings
from pybal.http.client import HTTPClient, HTTPRequest
from pybal.http.trust import Trust
from pybal.runtime.file_values import inline

version, certificate = sys.argv[1:]

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = version

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments):
        pass

async def request(port):
    client = HTTPClient("127.0.0.1", port, trust=trust, reactor=loop, lookup=None)
    await client.request(HTTPRequest("/"))
    client.close()

async def main(port):
    await request(port)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    for _ in range({CONNECTIONS}):
        await request(port)
    await deferLater(loop, 0.2)
    gc.collect()
    types = Counter(type(each).__name__ for each in gc.garbage)
    print(*(f"{{number}} {{name}}" for name, number in types.items() if number >= {CONNECTIONS}), sep=", ")
    loop.stop()

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
trust = None
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    trust = Trust(AccessSettings(verify=False), inline(loop))
threading.Thread(target=server.serve_forever, daemon=True).start()
loop.callWhenRunning(
    lambda: Deferred.fromCoroutine(main(server.server_port)).addErrback(lambda failure: (print(failure), loop.stop()))
)
loop.run()
"""


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"], ids=["closed by the server", "closed by the client"])
@pytest.mark.parametrize("secure", [False, True], ids=["TCP", "TLS"])
def test_connections_leave_no_garbage(version: str, tmp_path: Path, *, secure: bool) -> None:
    certificate = str(self_signed(tmp_path)) if secure else ""
    command = [sys.executable, "-c", SCRIPT, version, certificate]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "\n"  # standard error has the client's resets, as the server met them
