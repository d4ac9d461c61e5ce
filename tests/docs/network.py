"""Machines on one switch, as network namespaces of this host. Needs root.

    ======== ============= ===========================================
    lvs1     10.0.0.1      a balancer, the default host
    lvs2     10.0.0.2      its backup
    web1 …   10.0.0.11 …   web servers with a running nginx
    router   10.0.0.254    with a running bird, a BGP neighbour of both balancers
    router2  10.0.0.253    without a running router
    client   10.0.0.100
    ======== ============= ===========================================

A machine exists from its first mention on. It has its own processes, its own /etc, /run and /var, and cannot write the other files of
this host, whose kernel has no IPVS: the first blank line of each ``pybal.conf``, after ``[global]``, becomes the option
``ipvs-backend = memory``.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.docs.place import Result, execute
from tests.harness.daemon_process import wait_for

ADDRESSES = {
    "lvs1": 1,
    "lvs2": 2,
    "web1": 11,
    "web2": 12,
    "web3": 13,
    "web4": 14,
    "client": 100,
    "router": 254,
    "router2": 253,
}
DEFAULT = "lvs1"

_HOSTS = "127.0.0.1 localhost\n" + "".join(f"10.0.0.{n} {name}.example.org {name}\n" for name, n in ADDRESSES.items())
_UNSHARE = ("unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
#: It reaps the processes whose parents have ended.
_FIRST_PROCESS = "sleep inf & while :; do wait; done"
_SETUP = """
set -e
mount --make-rprivate /
mount --bind {directory}/etc /etc
for each in /run /var/lib /var/log; do mount -t tmpfs tmpfs $each; done
mkdir -p /run/tmp /run/home /var/lib/nginx /var/log/nginx
mount -o remount,bind,ro / || true
hostname {name}
ip link set lo up
"""
_PLUG = """
link add to-{name} type veth peer name eth0 netns {process}
link set to-{name} master br0
link set to-{name} up
"""
_NGINX = """
pid /run/nginx.pid;
events {}
http {
    access_log off;
    server {
        listen 80;
        location / { default_type text/plain; return 200 "$hostname\\n"; }
    }
}
"""
_BIRD = """
router id 10.0.0.254;
protocol device {}
protocol kernel { ipv4 { export all; }; }
""" + "".join(
    f"""
protocol bgp {name} {{
    local as 64601;
    neighbor 10.0.0.{ADDRESSES[name]} as 64600;
    error wait time 1, 2;
    connect delay time 1;
    ipv4 {{ import all; export none; }};
}}
"""
    for name in ("lvs1", "lvs2")
)


class Machine:
    """A host of the network: a process in its own namespaces, whose end ends all others in them."""

    def __init__(self, stack: ExitStack, name: str, directory: Path) -> None:
        self._directory = directory
        shutil.copytree("/etc", directory / "etc", symlinks=True, ignore_dangling_symlinks=True)
        self.write("/etc/hosts", _HOSTS)
        outer = stack.enter_context(subprocess.Popen([*_UNSHARE, "bash", "-c", _FIRST_PROCESS]))
        stack.callback(outer.kill)
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        wait_for(children.read_text, lambda: f"{name}: no process")
        self.process = children.read_text().strip()
        wait_for(lambda: Path(f"/proc/{self.process}/comm").read_text() == "bash\n", lambda: f"{name}: not ready")
        self.shell(_SETUP.format(directory=directory, name=name))

    def write(self, path: str, text: str) -> None:
        assert path.startswith("/etc/"), f"{path}: a machine of this place has /etc only"
        target = self._directory / path.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def run(self, command: str) -> Result:
        return self._inside(f"cd || exit\n{command}")

    def _inside(self, command: str) -> Result:
        return execute(
            ["nsenter", "--target", self.process, "--mount", "--net", "--uts", "--pid", "bash", "-c", command]
        )

    def shell(self, command: str) -> None:
        """Run a command of the set-up. Raises AssertionError if it fails."""
        done = self._inside(command)
        assert done.status == 0, f"{command}: {done.output}"


class Network:
    """The place ``network``."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack = stack
        self._directory = directory
        self._machines: dict[str, Machine] = {}
        self._switch = Machine(stack, "switch", self._folder("switch"))
        self._switch.shell("ip link add br0 type bridge && ip link set br0 up")

    def run(self, host: str, command: str) -> Result:
        return self._machine(host or DEFAULT).run(command)

    def write(self, host: str, path: str, text: str) -> None:
        """Write a file below /etc of a machine."""
        if path.endswith("/pybal.conf"):
            text = text.replace("\n\n", "\nipvs-backend = memory\n", 1)  # numbers of lines stay
        self._machine(host or DEFAULT).write(path, text)

    def _folder(self, name: str) -> Path:
        folder = self._directory / name
        folder.mkdir()
        return folder

    def _machine(self, name: str) -> Machine:
        if name not in self._machines:
            self._machines[name] = self._plug_in(name)
            for server in ("web1", "web2", "web3"):
                self._machine(server)
        return self._machines[name]

    def _plug_in(self, name: str) -> Machine:
        machine = Machine(self._stack, name, self._folder(name))
        plug = _PLUG.format(name=name, process=machine.process)
        done = execute(["nsenter", "--target", self._switch.process, "--net", "ip", "-batch", "-"], plug)
        assert done.status == 0, done.output
        machine.shell(f"ip link set eth0 up && ip addr add 10.0.0.{ADDRESSES[name]}/24 dev eth0")
        if name.startswith("web"):
            machine.write("/etc/nginx/nginx.conf", _NGINX)
            machine.shell("systemctl start nginx")
        elif name == "router":
            machine.write("/etc/bird/bird.conf", _BIRD)
            machine.shell("systemctl start bird")
        return machine


@contextmanager
def network(directory: Path) -> Iterator[Network]:
    """Make the network, with its files in an empty directory; end all its processes afterwards."""
    with ExitStack() as stack:
        yield Network(stack, directory)
