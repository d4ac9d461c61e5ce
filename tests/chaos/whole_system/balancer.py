"""A balancer: a host with ip_vs and the daemon, which it runs as systemd would."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.daemon_process import Daemon
from tests.harness.guest.network import Host

_GROUPS = Path("/sys/fs/cgroup")
ENDPOINT = "http://127.0.0.1:9090"
_DESTINATION = re.compile(r"^-a -t (\S+):\d+ -r (\S+):\d+ -g -w (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """File descriptors, child processes, and resident memory in bytes."""

    descriptors: int
    processes: int
    memory: int


class Balancer:
    """One balancer; its state directory is its own file system.

    ``variable`` is a further variable of its environment, as ``NAME=VALUE``.
    """

    def __init__(self, name: str, host: Host, directory: Path, conf: str, variable: str) -> None:
        self.name = name
        self._variable = variable
        self.host = host
        self.directory = directory
        self.conf = directory / "pybal.conf"
        self.state = directory / "state"
        self.run = directory / "run"
        for each in (self.state, self.run):
            each.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(self.state)], check=True)
        # After a failure a mount that hangs may be above it.
        host.stack.callback(subprocess.run, ["umount", "--lazy", "--no-canonicalize", str(self.state)], check=False)
        self.text = conf
        self.conf.write_text(conf)
        host.sysctl("net.ipv4.ip_forward", 1)
        host.sysctl("net.ipv4.vs.sloppy_tcp", 1)
        host.sysctl("net.ipv4.vs.expire_nodest_conn", 1)
        self._daemon: Daemon | None = None
        if not (_GROUPS / "cgroup.controllers").exists():
            subprocess.run(["mount", "-t", "cgroup2", "none", str(_GROUPS)], check=True)
        (_GROUPS / "cgroup.subtree_control").write_text("+cpu")
        self._group = _GROUPS / name
        self._group.mkdir()

    @property
    def daemon(self) -> Daemon:
        assert self._daemon is not None, f"{self.name} was not started"
        return self._daemon

    def start(self) -> None:
        environment = ("env", f"STATE_DIRECTORY={self.state}", f"RUNTIME_DIRECTORY={self.run}", self._variable)
        prefix = ("sh", "-c", f'echo $$ >{self._group}/cgroup.procs && exec "$@"', "sh", *environment)
        with self.host.entered():
            self._daemon = Daemon(self.directory, prefix=prefix, endpoint=ENDPOINT)

    def limit_cpu(self, share: float) -> None:
        """Limit the daemon and its children to a share of one CPU."""
        (self._group / "cpu.max").write_text(f"{int(share * 100_000)} 100000")

    def end(self) -> None:
        """Kill the daemon with all its processes."""
        if self._daemon is not None:
            for process in (*self.processes(), self._daemon.process.pid):
                send_signal(process, signal.SIGKILL)
            self._daemon.process.wait()

    def get(self, path: str, accept: str = "") -> str:
        """Return the body at ``path``; an empty text if the daemon does not respond."""
        with self.host.entered():
            return self.daemon.get(path, accept)

    def document(self, path: str) -> Any:
        """Return the JSON document at ``path``, ``None`` if the daemon does not respond."""
        with self.host.entered():
            return self.daemon.get_json(path)

    def call(self, user: int) -> None:
        """Call the control socket as a user, and do not wait for the reply."""
        for directory in (self.run, *self.run.parents[:3]):
            directory.chmod(directory.stat().st_mode | 0o011)
        identity = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
        call = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{self.run}/control.sock'); s.recv(4096)"
        self.host.popen([*identity, "/usr/bin/python3", "-c", call])

    def table(self) -> Mapping[str, Mapping[str, int]]:
        """Return the weights in the kernel by VIP and address."""
        found: dict[str, dict[str, int]] = {}
        for vip, address, weight in _DESTINATION.findall(self.host.run("ipvsadm", "-Sn")):
            found.setdefault(vip, {})[address] = int(weight)
        return found

    def usage(self) -> Usage:
        """Return what the daemon uses."""
        own = Path(f"/proc/{self.daemon.process.pid}")
        pages = int((own / "statm").read_text().split()[1])
        return Usage(len(list((own / "fd").iterdir())), len(self.processes()), pages * resource.getpagesize())

    def child(self, word: str) -> int:
        """Return the process ID of the child whose command line contains ``word``, such as ``exabgp.conf``."""
        (found,) = (process for process, command in self.processes().items() if word in command)
        return found

    def processes(self) -> Mapping[int, str]:
        """Return the command lines of the processes that the daemon has started, by process ID."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended
                continue
            children.setdefault(parent, []).append(int(entry.name))
        return {process: _command(process) for process in _descendants(children, self.daemon.process.pid)}


def _descendants(children: Mapping[int, list[int]], process: int) -> Iterator[int]:
    for child in children.get(process, ()):
        yield child
        yield from _descendants(children, child)


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def send_signal(process: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(process, number)
