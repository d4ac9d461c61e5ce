"""The daemon as a process, its configuration and the web servers that it checks, for end-to-end tests."""

from __future__ import annotations

import contextlib
import http.server
import json
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

PATIENCE = 120.0
"""Seconds after which a test gives up waiting; long, because the machine is shared."""

PROGRAM = ("-m", "pybal.cli")
"""The arguments of the interpreter that run the daemon."""

GLOBAL = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
control-socket = {directory}/control.sock
ipvs-backend = memory
"""
"""The section [global] of a :class:`Deployment`, with the IPVS table in memory."""

WEB = """
[web]
protocol = tcp
ip = 192.0.2.1
port = {port}
scheduler = wrr
config = file://{directory}/web.pool
monitors = ['IdleConnection']
"""
"""A service whose servers are the web servers of a :class:`Deployment`."""


class Daemon:
    """A ``pybal`` process with ``directory/pybal.conf``; its log is ``directory/log``.

    It inherits ``descriptors``.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        prefix: Sequence[str] = (),
        endpoint: str = "",
        program: Sequence[str] = PROGRAM,
        descriptors: Sequence[int] = (),
    ) -> None:
        self.log_file = directory / "log"
        self.endpoint = endpoint
        with self.log_file.open("ab") as log:
            command = [*prefix, sys.executable, *program, "-c", str(directory / "pybal.conf"), *arguments]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=descriptors
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def get(self, path: str, accept: str = "") -> str:
        """Return the body at ``path``; an empty text if the daemon does not respond."""
        request = urllib.request.Request(self.endpoint + path, headers={"Accept": accept} if accept else {})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return str(answer.read(), "utf-8")
        except OSError:
            return ""

    def get_json(self, path: str) -> object:
        return json.loads(self.get(path, "application/json") or "null")

    def reload(self) -> dict[str, Any]:
        """Send SIGHUP, wait until the reload has ended and return its outcome."""
        before = outcome = self._last_reload()
        self.process.send_signal(signal.SIGHUP)

        def ended() -> bool:
            nonlocal outcome
            outcome = self._last_reload()
            return outcome != before

        self.wait(ended, "a reload")
        assert outcome is not None
        return outcome

    def _last_reload(self) -> dict[str, Any] | None:
        """Return the outcome of the last reload, ``None`` before the first; wait for a response."""
        configuration: dict[str, Any] = {}

        def responded() -> bool:
            configuration.update(cast("dict[str, Any] | None", self.get_json("/v1/config")) or {})
            return bool(configuration)

        self.wait(responded, "a response")
        return cast("dict[str, Any] | None", configuration["last_reload"])

    def wait(self, done: Callable[[], object], what: str) -> None:
        """Wait until ``done()`` is true; fail with the log after PATIENCE seconds or if the daemon ends."""
        wait_for(lambda: self.process.poll() is not None or done(), lambda: f"{what}\n{self.log}")
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode} before: {what}\n{self.log}")

    def wait_for_log(self, text: str) -> None:
        self.wait(lambda: text in self.log, f"log line {text!r}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end of the process and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextlib.contextmanager
def daemon(
    directory: Path,
    *arguments: str,
    prefix: Sequence[str] = (),
    endpoint: str = "",
    program: Sequence[str] = PROGRAM,
) -> Iterator[Daemon]:
    """Run the daemon with ``directory/pybal.conf``; kill it at the end of the block."""
    running = Daemon(directory, *arguments, prefix=prefix, endpoint=endpoint, program=program)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def wait_for(done: Callable[[], object], what: Callable[[], str], within: float = PATIENCE) -> None:
    """Wait until ``done()`` is true; raise TimeoutError with ``what()`` after ``within`` seconds.

    The pauses grow to 0.5 s, because ``done()`` may cost a request or a process; a wait becomes at most a tenth longer.
    """
    start = time.monotonic()
    while not done():
        waited = time.monotonic() - start
        if waited > within:
            raise TimeoutError(what())
        time.sleep(min(max(0.01, waited / 10), 0.5))


class WebServer:
    """An HTTP server in threads of this process, which can stop, start again and change its response.

    ``within`` is a context for the call that opens the listener, such as another network namespace.
    """

    def __init__(
        self,
        host: str,
        port: int,
        body: bytes = b"hello\n",
        within: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        self.host = host
        self.port = port
        self.body = body
        self.status = 200
        self.requests = 0
        self._within = within
        self._server: http.server.ThreadingHTTPServer | None = None
        self._open: set[socket.socket] = set()
        self._busy: set[socket.socket] = set()
        """The connections with a request that has begun."""
        self.start()

    def start(self) -> None:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def setup(self) -> None:
                outer._open.add(self.request)
                super().setup()

            def parse_request(self) -> bool:
                outer._busy.add(self.request)
                return super().parse_request()

            def finish(self) -> None:
                with contextlib.suppress(OSError):
                    super().finish()
                outer._open.discard(self.request)
                outer._busy.discard(self.request)

            def do_GET(self) -> None:
                outer.requests += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the overridden name
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in outer.host else socket.AF_INET
            daemon_threads = True
            block_on_close = False
            request_queue_size = 256

            def handle_error(self, request: object, client_address: object) -> None:
                pass

        with self._within():
            self._server = Server((self.host, self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def stopped(self) -> bool:
        return self._server is None

    def stop(self) -> None:
        """Close the listener, complete the requests that have begun, and close all connections.

        A check that is reset would fail for another reason than the next ones, which are refused.
        """
        if self._server is None:
            return
        self._server.shutdown()
        while select.select([self._server], [], [], 0)[0]:
            self._server.handle_request()
        self._server.server_close()
        self._server = None
        wait_for(lambda: not self._busy and not self._received(), lambda: f"requests to {self.host}")
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _received(self) -> bool:
        """Return whether a request has come that no thread has read."""
        with contextlib.suppress(ValueError, OSError):  # one was closed
            return bool(select.select(self._open - self._busy, [], [], 0)[0])
        return True


class Deployment:
    """A directory with pybal.conf and pool files, the web servers of the pools, and the command line."""

    def __init__(self, directory: Path, hosts: Sequence[str], conf: str) -> None:
        self.directory = directory
        self.conf = directory / "pybal.conf"
        self.port = free_port(*hosts)
        self.status_port = free_port("127.0.0.1")
        self.endpoint = f"http://127.0.0.1:{self.status_port}"
        self.servers = {host: WebServer(host, self.port) for host in hosts}
        self.configure(conf)
        self.pool(*hosts)

    def configure(self, text: str) -> None:
        """Write pybal.conf; fill in ``{directory}``, ``{port}`` and ``{status_port}``."""
        text = text.format(directory=self.directory, port=self.port, status_port=self.status_port)
        self.conf.write_text(text)

    def pool(self, *hosts: str, name: str = "web", **options: object) -> None:
        """Write a pool file; ``options`` apply to the first host."""
        lines = [{"host": host, **(options if host == hosts[0] else {})} for host in hosts]
        (self.directory / f"{name}.pool").write_text("".join(f"{line}\n" for line in lines))

    def pybal(self, command: str, *arguments: str, named: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; ``named`` selects the configuration file or the socket as its argument."""
        where = ["-c", str(self.conf)] if named else ["--socket", str(self.directory / "control.sock")]
        return run_pybal(command, *where, *arguments)

    def document(self, command: str, *arguments: str) -> Any:
        """Return the JSON output of a command."""
        return json.loads(self.pybal(command, "--json", *arguments).stdout)

    def stop(self) -> None:
        """Stop the web servers."""
        for server in self.servers.values():
            server.stop()


def run_pybal(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``pybal`` to its end."""
    command = [sys.executable, "-m", "pybal.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def free_port(*hosts: str) -> int:
    """Return a TCP port that is free on all of these addresses."""
    while True:
        with contextlib.ExitStack() as stack:
            port = 0
            try:
                for host in hosts:
                    family = socket.AF_INET6 if ":" in host else socket.AF_INET
                    probe = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                    probe.bind((host, port))
                    port = probe.getsockname()[1]
            except OSError:
                continue
            return port
