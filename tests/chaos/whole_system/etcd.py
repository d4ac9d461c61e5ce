"""A cluster of three etcd, each on its host."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.harness.daemon_process import wait_for
from tests.harness.guest.network import Host
from tests.harness.guest.program import HostProgram
from tests.harness.servers.etcd import Etcd, debian
from tests.harness.servers.process import accepts

_CLIENT, _PEER = 2379, 2380


@dataclass(frozen=True, slots=True)
class Member:
    """One etcd, its host and the directory of its data."""

    host: Host
    program: HostProgram
    etcd: Etcd
    data: Path

    def healthy(self) -> bool:
        """Return whether it responds and has a leader."""
        with self.host.entered():
            return self.etcd.healthy()

    def put(self, key: str, value: str) -> None:
        """Write a key by version 2 of the API, and by version 3."""
        with self.host.entered():
            self.etcd.put(key, value)
            self.etcd.v3("kv/put", key=key.encode(), value=value.encode())


class EtcdCluster:
    """Three running members."""

    def __init__(self, hosts: Sequence[Host], directory: Path) -> None:
        self.authority = ",".join(f"{host.address}:{_CLIENT}" for host in hosts)
        whole = ",".join(f"{host.name}=http://{host.address}:{_PEER}" for host in hosts)
        self.members = [_member(host, directory / host.name, whole) for host in hosts]
        self._start()

    def put(self, key: str, value: str) -> None:
        """Write a key by both versions of the API; all members must run."""
        self.members[0].put(key, value)

    def wipe(self) -> None:
        """Replace the cluster by an empty one with the same members."""
        for member in self.members:
            member.program.kill()
            shutil.rmtree(member.data)
        self._start()

    def wait(self) -> None:
        """Wait until every member has a leader."""
        wait_for(lambda: all(member.healthy() for member in self.members), lambda: "etcd has no leader")

    def _start(self) -> None:
        for member in self.members:
            member.program.start()
        self.wait()


def _member(host: Host, place: Path, whole: str) -> Member:
    place.mkdir()
    data = place / "data"
    command = (
        debian(),
        "--enable-v2",
        f"--name={host.name}",
        f"--data-dir={data}",
        f"--listen-peer-urls=http://{host.address}:{_PEER}",
        f"--initial-advertise-peer-urls=http://{host.address}:{_PEER}",
        f"--initial-cluster={whole}",
        f"--listen-client-urls=http://0.0.0.0:{_CLIENT}",
        f"--advertise-client-urls=http://{host.address}:{_CLIENT}",
        # Longer than the defaults: the guest is slow.
        "--heartbeat-interval=500",
        "--election-timeout=5000",
    )
    program = HostProgram(host, command, place, partial(accepts, _CLIENT))
    return Member(host, program, Etcd(program, _CLIENT, host.name), data)
