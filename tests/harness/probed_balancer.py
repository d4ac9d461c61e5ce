"""A daemon with a probe of its loop, a router (BIRD) and servers (nginx), in a network namespace.

No test disturbs the servers of the service `unrelated`: BIRD must keep its route. Its log goes through a pipe that
a test may stop reading.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

from tests.harness.bird_session import GLOBAL, Bird, bird
from tests.harness.daemon_process import Daemon, daemon, wait_for
from tests.harness.guest import namespace
from tests.harness.loop_probe import LoopProbe
from tests.harness.servers.nginx import nginx

FIRST = ("setsid", "sh", "-c", 'echo -20 >/proc/self/autogroup; exec "$@"', "sh")
"""A prefix that gives a command priority over the other programs on this machine."""

UNRELATED = "192.0.2.250"
_SECTIONS = """\
control-socket = {directory}/control.sock

[DEFAULT]
protocol = tcp
port = 8080
scheduler = {scheduler}
monitors = ['ProxyFetch', 'IdleConnection']
proxyfetch.timeout = {timeout}
proxyfetch.url = ['http://www.example.org/']

[unrelated]
ip = {unrelated}
port = 8081
config = file://{directory}/unrelated.pool
"""
_SERVER = "access_log off; server {{ listen {port} backlog=8192; location / {{ return 200 ok; }} }}"


class ProbedBalancer:
    """The running parts. ``probe`` has the holds of the loop; ``services`` and ``servers`` are the scale.

    ``prefix`` is the command that runs the daemon, ``general`` are lines of the section [global], ``hold_time`` is that of
    BIRD in seconds.
    """

    def __init__(self, directory: Path, services: int, servers: int) -> None:
        self.directory = directory
        self.services = services
        self.servers = servers
        self.probe = LoopProbe(directory / "holds")
        self.prefix: tuple[str, ...] = FIRST
        self.hold_time = 9
        self.general = ""
        self.log_is_read = threading.Event()
        self.log_is_read.set()
        self.process: Daemon
        self._bird: Bird
        self._web: ExitStack | None = None
        self._more = ""
        self._ended = False

    def configure(self, scheduler: str, timeout: int, more: str = "") -> None:
        """Write pybal.conf; ``more`` are further sections, kept by later calls."""
        self._more = more or self._more
        text = (
            GLOBAL
            + self.general
            + _SECTIONS.format(directory=self.directory, scheduler=scheduler, timeout=timeout, unrelated=UNRELATED)
        )
        sections = (
            f"[s{n}]\nip = 192.0.2.{1 + n}\nconfig = file://{self.directory}/pools/{n}.pool\n"
            for n in range(self.services)
        )
        (self.directory / "pybal.conf").write_text(text + "".join(sections) + self._more)

    def write_pools(self, change: int) -> None:
        """Write all lists; each change replaces a third of the servers and all weights."""
        (self.directory / "pools").mkdir(exist_ok=True)
        for service in range(self.services):
            lines = (
                f"{{'host': '127.{1 + service}.{change if server % 3 == 0 else 0}.{1 + server}', 'weight': {10 + change}}}\n"
                for server in range(self.servers)
            )
            (self.directory / "pools" / f"{service}.pool").write_text("".join(lines))

    def start_servers(self) -> None:
        self._web = ExitStack()
        directory = self.directory / "web"
        directory.mkdir(exist_ok=True)
        self._web.enter_context(nginx(directory, _SERVER.format(port=8080), 8080, connections=16384))

    def stop_servers(self) -> None:
        if self._web is not None:
            self._web.close()
            self._web = None

    def wait_for_servers(self, state: str, least: int) -> None:
        """Wait until at least ``least`` servers of each service are in a state, such as ``up/pooled``."""
        for service in range(self.services):
            self.process.wait(
                lambda service=service: self.process.get(f"/pools/s{service}").count(f"/{state}") >= least,  # type: ignore[misc]
                f"{state} of s{service}",
            )

    def route(self) -> str:
        """Return BIRD's line of the unrelated VIP, with the second of its last change; empty without a route."""
        # BIRD computes the time again for each output, and its milliseconds vary.
        lines = re.sub(r"(:\d\d)\.\d+", r"\1", self._bird.show("route")).splitlines()
        return next((line for line in lines if line.startswith(UNRELATED)), "")

    @property
    def proc(self) -> Path:
        """The directory of the daemon in proc(5)."""
        return Path("/proc") / str(self.process.process.pid)

    @contextmanager
    def running(self, beside: Callable[[], AbstractContextManager[object]] = nullcontext) -> Iterator[None]:
        """Run all parts; returns when the router has the route of the unrelated service.

        ``beside`` runs in the same namespace, from before the daemon until after its end.
        """
        directory = self.directory
        with ExitStack() as stack:
            stack.enter_context(namespace.fresh())
            stack.enter_context(beside())
            self._bird = stack.enter_context(bird(directory, f"hold time {self.hold_time}; strict bind yes;"))
            (directory / "quiet").mkdir()
            stack.enter_context(nginx(directory / "quiet", _SERVER.format(port=8081), 8081, connections=512))
            (directory / "unrelated.pool").write_text("{'host': '127.250.0.1'}\n{'host': '127.250.0.2'}\n")
            self.start_servers()
            stack.callback(self.stop_servers)
            pipe = directory / "stderr"
            os.mkfifo(pipe)
            reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            thread = threading.Thread(target=self._read_log, args=(reader,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(self._end)
            prefix = (*self.prefix, "env", f"RUNTIME_DIRECTORY={directory}", "sh", "-c", f'exec "$@" 2>{pipe}', "sh")
            self.process = stack.enter_context(
                daemon(directory, prefix=prefix, endpoint="http://127.0.0.1:9090", program=self.probe.program)
            )
            wait_for(self.route, lambda: self.process.log[-3000:])
            yield

    def _read_log(self, reader: int) -> None:
        with (self.directory / "log").open("ab", buffering=0) as log:
            while not self._ended:
                if self.log_is_read.wait(0.1) and select.select([reader], [], [], 0.1)[0]:
                    log.write(os.read(reader, 65536))
        os.close(reader)

    def _end(self) -> None:
        self._ended = True


def pybal(arguments: Sequence[str], *, user: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command of ``pybal`` as a user."""
    command = [sys.executable, "-m", "pybal.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, user=user, timeout=120, check=False)
