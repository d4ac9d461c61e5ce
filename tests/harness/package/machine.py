"""A disposable machine: a root of Debian in private namespaces, with a writable layer in memory.

Processes, mounts and network are private, so a test may start the daemon on port 9090 and leave files and processes: all
end with the machine. Its first process only reaps; init and systemd do not run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = {"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
_PREPARE = """
set -eu
lower=$1 written=$2 place=$3
mount -t tmpfs -o size=2g,mode=755 machine "$place"
mkdir "$place/root" "$place/upper" "$place/work"
if [ "$lower" = "$written" ]; then
    mount --bind "$lower" "$place/root"
elif [ -n "$written" ]; then
    mkdir "$written.work"
    mount -t overlay -o "lowerdir=$lower,upperdir=$written,workdir=$written.work,volatile" machine "$place/root"
    mount --bind "$place/root" "$place/root"
else
    mount -t overlay -o "lowerdir=$lower,upperdir=$place/upper,workdir=$place/work" machine "$place/root"
fi
cd "$place/root"
mount -t proc proc proc
mount -t devpts -o newinstance devpts dev/pts
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 run run
mkdir -p run/lock
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=1777 shm dev/shm
mount --bind /etc/resolv.conf etc/resolv.conf
ip link set lo up
exec chroot . /bin/sh -c 'echo ready; sleep infinity & wait'
"""


class Machine:
    """A context manager; ``layers`` as from :func:`tests.harness.package.roots.root`.

    Without ``written``, a directory that receives the changes, they are lost with the machine. With ``network`` it shares
    the network of this process; otherwise it has a loopback device only.
    """

    def __init__(self, layers: Sequence[Path], *, written: Path | None = None, network: bool = False) -> None:
        self._layers = layers
        self._written = written
        self._network = network

    def __enter__(self) -> Self:
        self._place = tempfile.TemporaryDirectory(prefix="machine-")
        lower = ":".join(map(str, self._layers))
        namespaces = ["--mount", "--pid", "--uts", "--ipc", *([] if self._network else ["--net"])]
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "--fork", "--kill-child=KILL"),
                *("sh", "-c", _PREPARE, "machine", lower, str(self._written or ""), self._place.name),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            _, why = self._process.communicate()
            self._place.cleanup()
            raise OSError(f"the machine did not start: {why}")
        (self._first,) = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            os.kill(int(self._first), signal.SIGKILL)
        self._process.communicate()
        if self._written is not None:
            work = Path(f"{self._written}.work")
            subprocess.run(["rm", "-rf", work], check=True)
        self._place.cleanup()

    @property
    def mounted(self) -> Path:
        """The path of the root in the machine's mount namespace, for programs run by :meth:`outside`."""
        return Path(self._place.name) / "root"

    def path(self, name: str) -> Path:
        """Return a path for this process to a file of the machine; absolute links on the way are not followed."""
        return Path(f"/proc/{self._first}/root") / name.lstrip("/")

    def command(self, *command: str, env: Mapping[str, str] | None = None) -> list[str]:
        """Return the command that runs ``command`` in the machine, as root with a minimal environment."""
        variables = {**_ENVIRONMENT, **(env or {})}
        inside = ["env", "-i", *(f"{name}={value}" for name, value in variables.items()), *command]
        return [*self._enter(), "--root", "--wd", *inside]

    def outside(self, *command: str) -> list[str]:
        """Return the command that runs a program of the host in the machine's namespaces, outside its root."""
        return [*self._enter(), *command]

    def attempt(
        self, *command: str, env: Mapping[str, str] | None = None, timeout: float = 600.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine; its output, with the errors in it, is ``stdout``."""
        return subprocess.run(
            self.command(*command, env=env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout,
        )

    def run(self, *command: str, env: Mapping[str, str] | None = None, timeout: float = 600.0) -> str:
        """Return the output of a command that succeeds in the machine, with its errors in it."""
        result = self.attempt(*command, env=env, timeout=timeout)
        assert result.returncode == 0, f"{command} ended with {result.returncode}:\n{result.stdout[-6000:]}"
        return result.stdout

    def _enter(self) -> list[str]:
        spaces = ["--mount", "--pid", "--uts", "--ipc", *([] if self._network else ["--net"])]
        return ["nsenter", "--target", self._first, *spaces]
