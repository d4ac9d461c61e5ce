"""The speaker with the real ExaBGP, without a router: its processes, its version, its end."""

from __future__ import annotations

import os
import socket
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

import pytest
from twisted.internet.task import deferLater

from pybal.bgp.exabgp.link import parent
from pybal.bgp.speaker import Speaker, SpeakerError
from pybal.config.settings import BGPSettings, PeerSettings
from pybal.runtime.loop import Loop
from tests.harness.bgp.balancer import children
from tests.harness.stepped_reactor import run

# No router listens on this address.
PEER = PeerSettings(IPv4Address("127.9.9.9"), 64600, 64601, nexthop_ipv4=IPv4Address("127.9.9.8"))


def arguments(process: int) -> list[str]:
    return Path(f"/proc/{process}/cmdline").read_text().split("\0")


async def wait_for_version(reactor: Loop, speaker: Speaker, directory: Path) -> int:
    """Return the process ID of ExaBGP, which has its configuration file in ``directory``."""
    while not speaker.version:
        await deferLater(reactor, 0.01, lambda: None)
    (exabgp,) = (child for child in children(os.getpid()) if str(directory / "exabgp.conf") in arguments(child))
    return exabgp


def test_exabgp_answers_and_stop_leaves_no_process(tmp_path: Path) -> None:
    # In /tmp: the path of a UNIX socket is limited to 108 bytes.
    async def main(reactor: Loop) -> tuple[list[str], list[str], str, list[int]]:
        speaker = Speaker(
            BGPSettings((PEER,)), reactor=reactor, directory=tmp_path / "run", random=Random(1), changed=lambda: None
        )
        speaker.start()
        process = await wait_for_version(reactor, speaker, tmp_path / "run")
        (relay,) = children(process)
        started = arguments(process), arguments(relay), speaker.version
        await speaker.stop()
        while parent(relay):
            await deferLater(reactor, 0.01, lambda: None)
        return *started, [parent(process), parent(relay)]

    exabgp, relay, version, left = run(main)
    assert exabgp[1:3] == ["-I", "-u"]
    assert exabgp[3].endswith("/pybal/bgp/exabgp/steady.py")
    assert exabgp[4:-1] == [str(tmp_path / "run" / "exabgp.conf")]
    assert relay[3].endswith("/pybal/bgp/exabgp/relay.py")
    assert "/usr/sbin/pybal" not in " ".join(exabgp + relay)
    assert version[0] in "45"
    assert left == [0, 0]
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root holds capabilities here")
@pytest.mark.parametrize(("local_ips", "kept"), [((), 0), ((IPv4Address("127.9.9.7"),), 1 << 10)])
def test_exabgp_and_its_relay_inherit_few_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ips: tuple[IPv4Address, ...], kept: int
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/nowhere")
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    settings = BGPSettings((PEER,), local_ips=local_ips, local_port=179)

    async def main(reactor: Loop) -> list[tuple[int, str, set[str]]]:
        speaker = Speaker(settings, reactor=reactor, directory=tmp_path / "run", random=Random(1), changed=lambda: None)
        speaker.start()
        process = await wait_for_version(reactor, speaker, tmp_path / "run")
        found = [inherited(each) for each in (process, *children(process))]
        await speaker.stop()
        return found

    for capabilities, limit, variables in run(main):
        assert capabilities == kept
        assert limit == "1024"
        # ExaBGP sets TERM for its processes.
        names = {name.partition(".")[0] for name in variables} - {"TERM"}
        assert names == {"PATH", "LANG", "EXABGP_ENVFILE", "exabgp"}


def inherited(process: int) -> tuple[int, str, set[str]]:
    """Return a process's permitted capabilities, soft limit of descriptors, and names of variables."""
    proc = Path(f"/proc/{process}")
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
    limit = next(line for line in (proc / "limits").read_text().splitlines() if line.startswith("Max open files"))
    variables = {each.partition("=")[0] for each in (proc / "environ").read_text().split("\0") if each}
    return int(status["CapPrm"], 16), limit.split()[3], variables


def test_port_in_use_prevents_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.9.9.7", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = BGPSettings((PEER,), local_ips=(IPv4Address("127.9.9.7"),), local_port=port)

        async def main(reactor: Loop) -> None:
            Speaker(
                settings, reactor=reactor, directory=tmp_path / "run", random=Random(1), changed=lambda: None
            ).start()

        with pytest.raises(SpeakerError, match=rf"cannot listen for BGP on 127.9.9.7 port {port}: .*\(EADDRINUSE\)"):
            run(main)
