"""Machines on one switch, as network namespaces of this host. Needs root.

    ======== ============= =========================================================
    lvs1     10.0.0.1      a balancer, the default host
    lvs2     10.0.0.2      its backup
    web1 …   10.0.0.11 …   web servers with a running nginx
    conf1    10.0.0.20     a web server of the files below /etc/nginx/html
    etcd1    10.0.0.21     with a running etcd, both versions of its API
    dns1     10.0.0.22     with unbound, which serves the data in /etc/unbound/local.d
    k8s1     10.0.0.23     the Kubernetes API server of the tests
    monitor1 10.0.0.30
    router   10.0.0.254    with a running bird, a BGP neighbour of both balancers
    router2  10.0.0.253    without a running router
    client   10.0.0.100
    ======== ============= =========================================================

A page has the machines lvs1, web1 to web3, and those that it names. Each has its own processes, its own /etc, /run and /var, and cannot
write the other files of this host, whose kernel has no IPVS: the first blank line of each ``pybal.conf``, after ``[global]``, becomes the
option ``ipvs-backend = memory``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from posixpath import dirname
from shlex import quote

from tests.docs.place import Result, execute
from tests.docs.servers import ADDRESSES, DOMAIN, served
from tests.harness.daemon_process import wait_for

DEFAULT = "lvs1"
_ALWAYS = ("lvs1", "web1", "web2", "web3")

_HOSTS = "127.0.0.1 localhost\n" + "".join(f"10.0.0.{n} {name}.{DOMAIN} {name}\n" for name, n in ADDRESSES.items())
#: A machine ends with the process of the test, also if that is killed.
_UNSHARE = (
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--uts",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)
#: It reaps the processes whose parents have ended.
_FIRST_PROCESS = "sleep inf & wait $!"
_SETUP = """
set -e
mount --make-rprivate /
for each in /run /var/lib /var/log; do mount -t tmpfs tmpfs $each; done
mkdir -p /run/etc /run/work /run/tmp /run/home /var/lib/nginx /var/log/nginx
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
mount -o remount,bind,ro / || true
hostname {name}
ip link set lo up
"""
_PLUG = """
link add to-{name} type veth peer name eth0 netns {process}
link set to-{name} master br0
link set to-{name} up
"""


class Machine:
    """A host of the network: a process in its own namespaces, whose end ends all others in them.

    ``hosts`` is its /etc/hosts. Without ``net`` it is in the present network namespace.
    """

    def __init__(self, stack: ExitStack, name: str, hosts: str = _HOSTS, *, net: bool = True) -> None:
        unshare = [*_UNSHARE, *(["--net"] if net else [])]
        outer = stack.enter_context(subprocess.Popen([*unshare, "bash", "-c", _FIRST_PROCESS]))
        stack.callback(outer.kill)
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        wait_for(children.read_text, lambda: f"{name}: no process")
        self.process = children.read_text().strip()
        wait_for(lambda: Path(f"/proc/{self.process}/comm").read_text() == "bash\n", lambda: f"{name}: not ready")
        self.shell(_SETUP.format(name=name) + writing("/etc/hosts", hosts))

    def run(self, command: str) -> Result:
        return self._inside(f"cd || exit\n{command}")

    def shell(self, command: str) -> None:
        """Run a command of the set-up. Raises AssertionError if it fails."""
        done = self._inside(command)
        assert done.status == 0, f"{command}: {done.output}"

    def _inside(self, command: str) -> Result:
        return execute(
            ["nsenter", "--target", self.process, "--mount", "--net", "--uts", "--pid", "bash", "-c", command]
        )


def writing(path: str, text: str) -> str:
    """Return the command that writes a file below /etc."""
    assert path.startswith("/etc/"), f"{path}: a machine of this place has /etc only"
    # A link may lead to a file of this host.
    return f"mkdir -p {dirname(path)} && rm -f {path} && printf %s {quote(text)} >{path} || exit\n"


class Network:
    """The place ``network``."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._machines: dict[str, Machine] = {}
        self._switch = Machine(stack, "switch")
        self._switch.shell("ip link add br0 type bridge && ip link set br0 up")

    def begin(self, hosts: Collection[str]) -> None:
        for name in {*_ALWAYS, *hosts} - {""}:
            self._machines[name] = self._plug_in(name)

    def run(self, host: str, command: str) -> Result:
        return self._machines[host or DEFAULT].run(command)

    def write(self, host: str, path: str, text: str) -> None:
        """Write a file below /etc of a machine."""
        if path.endswith("/pybal.conf"):
            text = text.replace("\n\n", "\nipvs-backend = memory\n", 1)  # numbers of lines stay
        self._machines[host or DEFAULT].shell(writing(path, text))

    def _plug_in(self, name: str) -> Machine:
        machine = Machine(self._stack, name)
        plug = _PLUG.format(name=name, process=machine.process)
        done = execute(["nsenter", "--target", self._switch.process, "--net", "ip", "-batch", "-"], plug)
        assert done.status == 0, done.output
        files, unit = served(name)
        machine.shell(
            f"ip link set eth0 up && ip addr add 10.0.0.{ADDRESSES[name]}/24 dev eth0 || exit\n"
            + "".join(writing(path, text) for path, text in files.items())
            + (f"systemctl start {unit}" if unit else "")
        )
        return machine


@contextmanager
def network() -> Iterator[Network]:
    """Make the network; end all its processes afterwards."""
    with ExitStack() as stack:
        yield Network(stack)
