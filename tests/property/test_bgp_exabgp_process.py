"""ExaBGP's states for any sequence of starts, answers, failures and restarts."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import Deferred

from pybal.config.settings import BGPSettings, PeerSettings
from tests.harness.fake_exabgp import SpeakerHarness

NEXT_HOP = IPv4Address("192.0.2.2")


def peers(*addresses: str) -> BGPSettings:
    return BGPSettings(
        tuple(PeerSettings(IPv4Address(each), 64600, 64601, nexthop_ipv4=NEXT_HOP) for each in addresses)
    )


class ProcessMachine(RuleBasedStateMachine):
    """A speaker whose ExaBGP connects, answers, ends or hangs at any time, also after a kill."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(mkdtemp())
        self.harness = SpeakerHarness(peers("192.0.2.1"), self.directory / "run")
        self.harness.speaker.start()

    @property
    def alive(self) -> bool:
        return self.harness.exabgp.alive

    @precondition(lambda self: self.alive and self.harness.exabgp.relay is None)
    @rule()
    def connect(self) -> None:
        self.harness.exabgp.connect_relay()

    @precondition(lambda self: self.alive and self.harness.exabgp.relay is not None)
    @rule()
    def lose_relay(self) -> None:
        relay = self.harness.exabgp.relay
        assert relay is not None
        relay.connectionLost()

    @precondition(lambda self: self.alive)
    @rule(reason=st.sampled_from(("exit status 1", "killed by SIGKILL")))
    def end(self, reason: str) -> None:
        self.harness.exabgp.end(reason)

    @rule(seconds=st.sampled_from((0.5, 3.0, 40.0)), answering=st.booleans())
    def wait(self, seconds: float, *, answering: bool) -> None:
        self.harness.run(seconds, answering=answering)

    @rule(settings=st.sampled_from((peers("192.0.2.1"), peers("192.0.2.3"), peers("192.0.2.1", "192.0.2.3"))))
    def reconfigure(self, settings: BGPSettings) -> None:
        self.harness.speaker.reconfigure(settings)

    @invariant()
    def one_exabgp_is_alive_at_most(self) -> None:
        assert not any(child.alive for child in self.harness.children[:-1])

    def teardown(self) -> None:
        """Stop ExaBGP from any state: no timer is left."""
        stopped = Deferred.fromCoroutine(self.harness.speaker.stop())
        if self.alive:
            self.harness.run(3.0)
            assert self.harness.exabgp.killed or self.harness.exabgp.relay is not None
            self.harness.exabgp.end("exit status 0")
        assert stopped.called
        assert stopped.result is None
        assert self.harness.reactor.getDelayedCalls() == []
        rmtree(self.directory)


TestProcess = ProcessMachine.TestCase
TestProcess.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=30, deadline=None)
