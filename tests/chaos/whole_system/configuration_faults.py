"""Changes of the configuration: valid and invalid reloads, another password, other lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from typing_extensions import override

from tests.chaos.whole_system.balancer import Balancer
from tests.chaos.whole_system.fault import BALANCERS, BalancerFault, Consequences, Fault, alerts
from tests.chaos.whole_system.site import PASSWORD, VIPS
from tests.harness.list_line import Line

_VALID = {
    "scheduler = mh": "scheduler = wrr",
    "proxyfetch.interval = 4": "proxyfetch.interval = 2",
    "monitors = ['ProxyFetch', 'IdleConnection']": "monitors = ['ProxyFetch', 'TCPConnect']",
    "scheduler-flag = mh-port": "scheduler-flag = mh-port\ndepool-threshold = 0.75",
    "ipvs-audit-interval = 5": "ipvs-audit-interval = 10",
}
"""Replacements in the configuration that a reload applies."""
_INVALID = ("[web]\nport = 99999\n", "[s0\n", "[a]\nip = 192.0.2.9\nno-such-option = 1\n", "\0\n")


def reload(balancer: Balancer) -> Mapping[str, object]:
    with balancer.host.entered():
        return balancer.daemon.reload()


class ValidReload(BalancerFault):
    """a valid reload."""

    @override
    def choose(self, random: Random) -> str:
        self.old, self.new = random.choice(list(_VALID.items()))
        return f"{super().choose(random)}: {self.new!r}"

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(possible=alerts({name}, "config"))

    @override
    def cause(self) -> None:
        text = self.balancer.conf.read_text().replace(self.old, self.new)
        if "= wrr" in text:
            text = text.replace("scheduler-flag = mh-port\n", "")
        self._apply(text)

    @override
    def repair(self) -> None:
        self._apply(self.balancer.text)

    def _apply(self, text: str) -> None:
        self.balancer.conf.write_text(text)
        outcome = reload(self.balancer)
        assert outcome["accepted"], outcome


class InvalidReload(BalancerFault):
    """a reload of an invalid file."""

    @override
    def choose(self, random: Random) -> str:
        self.more = random.choice(_INVALID)
        return f"{super().choose(random)}: {self.more!r}"

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(raised=alerts({name}, "config"))

    @override
    def cause(self) -> None:
        self.balancer.conf.write_text(self.balancer.text + self.more)
        outcome = reload(self.balancer)
        assert not outcome["accepted"], outcome

    @override
    def repair(self) -> None:
        self.balancer.conf.write_text(self.balancer.text)
        outcome = reload(self.balancer)
        assert outcome["accepted"], outcome


class PasswordChanged(Fault):
    """another MD5 password in a router."""

    touches = frozenset({"bird"})

    @override
    def choose(self, random: Random) -> str:
        self.router = self.site.routers["bird"]
        self.consequences = Consequences(
            raised=alerts(BALANCERS, "bgp"), withdrawn=frozenset((name, "bird") for name in BALANCERS)
        )
        return "bird"

    @override
    def cause(self) -> None:
        self._restart("second-Secret")

    @override
    def repair(self) -> None:
        self._restart(PASSWORD)

    def _restart(self, password: str) -> None:
        self.router.program.stop()
        self.router.configure(password)
        self.router.program.start()


class ListChanged(Fault):
    """another weight in a list, or a server disabled."""

    touches = frozenset({"etcd", "lists"})

    @override
    def choose(self, random: Random) -> str:
        self.service, self.host = random.choice(list(VIPS)), random.choice(list(self.site.servers))
        self.line = random.choice([Line(enabled=False), Line(weight=20), Line(weight=1)])
        return f"{self.service} {self.host} {self.line}"

    @override
    def cause(self) -> None:
        self._write(self.line)

    @override
    def repair(self) -> None:
        self._write(Line())

    def _write(self, line: Line) -> None:
        self.site.lists[self.service][self.host] = line
        self.site.write_line(self.service, self.host)


KINDS: Sequence[type[Fault]] = (ValidReload, InvalidReload, PasswordChanged, ListChanged)
