"""Run the daemon without privileges on three local web servers, and stop and start some of them.

``make demo`` runs it. On a terminal the daemon keeps running until Ctrl-C, to try commands and the status page.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
PYBAL = next(path for path in (Path(sys.executable).with_name("pybal"), Path("/usr/sbin/pybal")) if path.exists())
HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
FIRST, SECOND, THIRD = HOSTS
COMMANDS = (
    ("status", "services and alerts"),
    ("pools web", "the servers of the service web"),
    (f"explain web {THIRD}", "why a server is pooled or not"),
    ("history web", "the last changes of the pool"),
    (f"depool web {FIRST} --for 1m --reason demo", "take a server out of the pool for a minute"),
    (f"repool web {FIRST}", "put it back immediately"),
    ("watch", "a live view, until Ctrl-C"),
)
TIMEOUT = 60.0
"""Seconds for one step, which takes less than ten even on a slow machine."""
HELD = 4.0
"""Seconds after which a held connection counts as stable, so that its loss is reported immediately."""
TRIES = 20
"""Attempts to find a free port."""


class Failure(Exception):  # noqa: N818  # its text is the last line of the demo
    """The demo cannot go on."""


def main() -> int:
    """Return 0 if everything went as announced, also if Ctrl-C ended it, otherwise 1."""
    interrupts = Interrupts()
    try:
        with contextlib.ExitStack() as stack:
            Demo(stack, interrupts).run()
    except KeyboardInterrupt:
        say("Stopped. PyBal and the web servers have ended.")
    except Failure as failure:
        say(f"The demo failed: {failure}")
        return 1
    return 0


class Interrupts:
    """Ctrl-C and SIGTERM, raised once, for an undisturbed clean-up, and not while a process starts."""

    def __init__(self) -> None:
        self._held = self._raised = False
        self._received = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._receive)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold them back: a process that has started but is not known yet would be left behind."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self._raise()

    def _receive(self, number: int, _frame: object) -> None:
        self._received = number
        if not self._held:
            self._raise()

    def _raise(self) -> None:
        if self._received and not self._raised:
            self._raised = True
            raise KeyboardInterrupt if self._received == signal.SIGINT else SystemExit(1)


class Demo:
    """A daemon, three web servers and a temporary directory; the end of ``stack`` ends and removes them."""

    def __init__(self, stack: contextlib.ExitStack, interrupts: Interrupts) -> None:
        self._stack, self._interrupts = stack, interrupts
        self._directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pybal-demo-")))
        self._conf, self._log = self._directory / "pybal.conf", self._directory / "log"
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._port, self._url = 0, ""

    def run(self) -> None:
        say(
            "PyBal demo: a service, web, with three web servers on this machine. It needs no privileges and changes",
            "nothing: the IPVS table is kept in memory, so that no traffic is balanced.",
        )
        self._start_servers()
        daemon = self._start_daemon()
        self._explain_commands()
        time.sleep(HELD)
        self._one_server_fails()
        time.sleep(HELD)
        self._two_servers_fail()
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            say("End of the demo. On a terminal it keeps running until Ctrl-C.")
            return
        say(f"The demo keeps running. Try the commands above in another terminal, or open {self._url}/")
        say("Press Ctrl-C to stop.")
        daemon.wait()
        raise Failure(self._ended(daemon))

    def _start_servers(self) -> None:
        listeners = listen_on_all()
        self._port = listeners[0].getsockname()[1]
        say(f"1. Starting three web servers on port {self._port} of {FIRST}, {SECOND} and {THIRD}.")
        (self._directory / "index.html").write_text("hello\n")
        for listener in listeners:
            self._serve(listener)

    def _start_daemon(self) -> subprocess.Popen[bytes]:
        say(f"2. Starting PyBal with the configuration {self._conf} and the log {self._log}.")
        began = time.monotonic()
        for _ in range(TRIES):
            self._configure()
            with self._log.open("wb") as log:
                daemon = self._spawn([str(PYBAL), "-c", str(self._conf)], stdout=log, stderr=log)
            self._wait(daemon, "a response of PyBal", lambda: self._get("/v1/config"))
            if str(self._conf) in self._get("/v1/config"):
                break
            stop(daemon)  # The response came from another program, which took the port in between.
        self._daemon = daemon
        self._wait_for_all()
        say(f"   After {since(began)} all three have passed their checks and are pooled: they would receive traffic.")
        self._show("pools web")
        return daemon

    def _explain_commands(self) -> None:
        say("While the demo runs, these commands work in another terminal:")
        for command, purpose in COMMANDS:
            print(f"   {purpose}:\n      {self._command(command)}", flush=True)
        say(f"Status page: {self._url}/ (also: {self._url}/alerts and {self._url}/metrics)")

    def _one_server_fails(self) -> None:
        say(f"3. Stopping the web server {SECOND}.")
        began = time.monotonic()
        stop(self._servers[SECOND])
        self._wait_for("depooled", SECOND, "/not pooled")
        say(f"   After {since(began)} PyBal has depooled it: new connections go to the other two.")
        self._show("pools web")
        say(f"4. Starting {SECOND} again.")
        self._serve(listen_on(SECOND, self._port))
        began = time.monotonic()
        self._wait_for_all()
        say(f"   After {since(began)} it has passed its checks and is pooled again.")

    def _two_servers_fail(self) -> None:
        say(f"5. Stopping two of three web servers: {SECOND}, then {THIRD}.")
        stop(self._servers[SECOND])
        self._wait_for("depooled", SECOND, "/not pooled")
        stop(self._servers[THIRD])
        self._wait_for("down", THIRD, "down/pooled", "partially up/pooled")
        say(
            f"   {SECOND} is depooled. {THIRD} is down too but stays pooled, it is forced: the option",
            "   depool-threshold = .5 sets a floor of 2 of 3 servers. Below it PyBal removes no server, because those that",
            "   remain could be overloaded, and because the checks may be wrong. A critical alert reports it.",
        )
        self._show("pools web")
        self._show("alerts")
        say(f"6. Starting {SECOND} and {THIRD} again.")
        for host in (SECOND, THIRD):
            self._serve(listen_on(host, self._port))
        began = time.monotonic()
        self._wait_for_all()
        say(f"   After {since(began)} all three are up and pooled, no server is forced, and the alert has ended.")

    def _configure(self) -> None:
        """Write the files of this folder with a free port for the status page, and with our other names."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            page = free.getsockname()[1]
        self._url = f"http://127.0.0.1:{page}"
        for name in ("pybal.conf", "web.pool"):
            text = (HERE / name).read_text().replace("/etc/pybal/demo", str(self._directory))
            text = text.replace("= 9090", f"= {page}").replace("= 8080", f"= {self._port}")
            (self._directory / name).write_text(text)

    def _serve(self, listener: socket.socket) -> None:
        """Start a web server on a listening socket, which it gets."""
        command = [sys.executable, __file__, "serve", str(listener.fileno()), str(self._directory)]
        with listener:
            host = listener.getsockname()[0]
            self._servers[host] = self._spawn(
                command, pass_fds=(listener.fileno(),), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

    def _spawn(self, command: list[str], **options: object) -> subprocess.Popen[bytes]:
        """Start a process that the end of the demo ends; Ctrl-C does not reach it."""
        with self._interrupts.held():
            return self._stack.enter_context(running(command, options))

    def _command(self, command: str) -> str:
        return shlex.join([str(PYBAL), *command.split(), "-c", str(self._conf)])

    def _show(self, command: str) -> None:
        """Print a short form of a command, and its output."""
        done = subprocess.run(shlex.split(self._command(command)), capture_output=True, text=True, check=False)
        say(f"   $ pybal {command}")
        print("".join(f"   {line}\n" for line in (done.stdout + done.stderr).splitlines()), end="", flush=True)

    def _get(self, path: str) -> str:
        """Return the response of the daemon, empty if it sends none."""
        try:
            with urllib.request.urlopen(self._url + path, timeout=5) as response:
                return str(response.read(), "utf-8", "replace")
        except OSError:
            return ""

    def _wait_for_all(self) -> None:
        self._wait(
            self._daemon, "three pooled servers", lambda: self._get("/pools/web").count("/up/pooled") == len(HOSTS)
        )

    def _wait_for(self, state: str, host: str, *ends: str) -> None:
        def reached() -> bool:
            lines = self._get("/pools/web").splitlines()
            return any(line.startswith(f"{host}:") and line.endswith(ends) for line in lines)

        self._wait(self._daemon, f"{host} to be {state}", reached)

    def _wait(self, daemon: subprocess.Popen[bytes], goal: str, reached: Callable[[], object]) -> None:
        began = time.monotonic()
        while not reached():
            if daemon.poll() is not None:
                raise Failure(self._ended(daemon))
            if time.monotonic() - began > TIMEOUT:
                raise Failure(f"waited {TIMEOUT:g} s for {goal}; the log of PyBal:\n{self._log.read_text()}")
            time.sleep(0.02)

    def _ended(self, daemon: subprocess.Popen[bytes]) -> str:
        return f"PyBal ended with status {daemon.returncode}; its log:\n{self._log.read_text()}"


def say(*lines: str) -> None:
    print("", *lines, sep="\n", flush=True)


def since(began: float) -> str:
    return f"{time.monotonic() - began:.2f} s"


def listen_on(host: str, port: int) -> socket.socket:
    return socket.create_server((host, port))


def listen_on_all() -> Sequence[socket.socket]:
    """Return a listening socket of each host, on one port: all servers of a service have the same."""
    for _ in range(TRIES):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            listeners = [stack.enter_context(listen_on(FIRST, 0))]
            port = listeners[0].getsockname()[1]
            listeners += [stack.enter_context(listen_on(host, port)) for host in HOSTS[1:]]
            stack.pop_all()
            return listeners
    raise Failure(f"no port is free on all of {', '.join(HOSTS)}")


def serve(descriptor: int, directory: str) -> None:
    """Serve the files of a directory on a listening socket until the process is ended."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
    with socket.socket(fileno=descriptor) as listener:
        server = http.server.ThreadingHTTPServer(listener.getsockname(), handler, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        server.serve_forever()


@contextlib.contextmanager
def running(command: list[str], options: dict[str, object]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)  # type: ignore[call-overload]  # any options
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        sys.exit(serve(int(sys.argv[2]), sys.argv[3]))
    sys.exit(main())
