"""The speaker with the real ExaBGP, and no router at all: what is begun, what it says, what is left."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import deferLater

from pybal.bgp.exabgp.link import parent
from pybal.bgp.exabgp.process import ExaBGP
from pybal.bgp.speaker import Speaker, SpeakerError
from pybal.config.settings import BGPSettings, PeerSettings
from tests.harness.stepped_reactor import run

# Nobody listens there.
PEER = PeerSettings(IPv4Address("127.9.9.9"), 64600, 64601, nexthop_ipv4=IPv4Address("127.9.9.8"))


def arguments(process: int) -> list[str]:
    return Path(f"/proc/{process}/cmdline").read_text().split("\0")


def children(process: int) -> list[int]:
    found = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return [one for one in found if parent(one) == process]


async def until_it_speaks(reactor: EPollReactor, speaker: Speaker) -> int:
    """Return the number of ExaBGP's process."""
    while not speaker.version:
        await deferLater(reactor, 0.01, lambda: None)
    exabgp: ExaBGP = speaker._exabgp
    assert exabgp._child is not None
    return exabgp._child.pid


def test_exabgp_takes_what_we_write_answers_and_is_gone_with_everything_when_stopped(tmp_path: Path) -> None:
    # Within /tmp: the path of a UNIX socket has 108 bytes at most.
    async def main(reactor: EPollReactor) -> tuple[list[str], list[str], str, list[int]]:
        speaker = Speaker(
            BGPSettings((PEER,)), reactor=reactor, directory=tmp_path / "run", random=Random(1), changed=lambda: None
        )
        speaker.start()
        process = await until_it_speaks(reactor, speaker)
        (relay,) = children(process)
        said = arguments(process), arguments(relay), speaker.version
        await speaker.stop()
        while parent(relay):
            await deferLater(reactor, 0.01, lambda: None)
        return *said, [parent(process), parent(relay)]

    exabgp, relay, version, left = run(main)
    assert exabgp[1:-1] == ["-I", "-u", "-m", "exabgp", str(tmp_path / "run" / "exabgp.conf")]
    assert relay[3].endswith("/pybal/bgp/exabgp/relay.py")
    assert "/usr/sbin/pybal" not in " ".join(exabgp + relay)
    assert version[0] in "45"
    assert left == [0, 0]
    assert not (tmp_path / "run").exists()


def test_a_port_that_is_taken_keeps_it_from_starting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.9.9.7", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = BGPSettings((PEER,), local_ips=(IPv4Address("127.9.9.7"),), local_port=port)

        async def main(reactor: EPollReactor) -> None:
            Speaker(
                settings, reactor=reactor, directory=tmp_path / "run", random=Random(1), changed=lambda: None
            ).start()

        with pytest.raises(SpeakerError, match=rf"cannot listen for BGP on 127.9.9.7 port {port}: .*\(EADDRINUSE\)"):
            run(main)
