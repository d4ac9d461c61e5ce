"""Virtual days: hypothesis chooses faults, changes and pauses; the invariants must always hold."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from ipaddress import ip_address
from typing import Any, ClassVar, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pybal.ipvs.model import TCP, Command, Destination, Key, Op, VirtualService
from tests.harness.list_line import Line
from tests.harness.simulated.network import Mode, SimulatedServer
from tests.virtual.invariants import Invariants
from tests.virtual.site import KINDS, site

SHARE = 0
"""Server-seconds of a run at least; a quiet stretch at its end makes up for the rest."""

MOST_REFUSED = 60.0
"""Seconds for which a reload may be refused after all repairs: until the table is read."""

ADOPTED = 6.0
"""Seconds after a start for which reloads may be refused: until the overrides and the table are read."""

_MODES = st.sampled_from([Mode.SERVING, Mode.SERVING, *Mode])
_STRETCHES = st.sampled_from([0.0, 1.0, 10.0, 60.0, 90.0, 200.0, 900.0])
_MOMENTS = st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.1, 1.0])
_PAUSES = st.sampled_from([0.0, 0.0, 1.0, 60.0, 900.0])
_NUMBERS = st.integers(0, 1000)
_LINES = (None, Line(10, True), Line(0, True), Line(20, False))
_BAD_LISTS = st.sampled_from(["", "{ 'host': 'w1.test', 'weight'", "no list\n", "\0\n", "<html>\n"])
_BAD_SECTIONS = st.sampled_from(
    ["[s0]\nport = 99999\n", "[s0\n", "[a]\nip = 192.0.2.250\nno-such-option = 1\n", "\0\n"]
)
_THREADS = st.sampled_from(
    ["files", "doctor", "values", "state", "names", "exabgp", "configuration", "overrides", "journal", "journal-past"]
)
_OPTIONS = st.fixed_dictionaries(
    {
        "scheduler": st.sampled_from(["wrr", "rr", "sh"]),
        "depool-threshold": st.sampled_from(["0", ".3", ".5", ".75", "1"]),
        "monitors": st.sampled_from(KINDS),
        "share-checks": st.sampled_from(["yes", "no"]),
        "initial-state": st.sampled_from(["unknown", "up"]),
        "suspect-check": st.sampled_from(["alert", "off"]),
    }
)


Step = TypeVar("Step", bound=Callable[..., None])


def change(**strategies: st.SearchStrategy[Any]) -> Callable[[Step], Any]:
    """Make a rule of a change: after it a stretch of time passes, and the invariants are checked."""

    def decorate(function: Step) -> Any:
        @wraps(function)
        def step(self: VirtualDays, seconds: float, **chosen: Any) -> None:
            function(self, **chosen)
            if seconds:
                self.pass_time(seconds)

        return cast("Any", rule)(seconds=_STRETCHES, **strategies)(step)

    return decorate


class VirtualDays(RuleBasedStateMachine):
    """A site of random size; ``server_seconds`` counts the servers times the virtual seconds of all runs."""

    server_seconds: ClassVar[float] = 0.0
    virtual_seconds: ClassVar[float] = 0.0
    turns: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._counted = 0.0
        self._own = 0.0

    @initialize(seed=st.integers(0, 2**31), services=st.integers(3, 10), servers=st.integers(4, 30))
    def begin(self, seed: int, services: int, servers: int) -> None:
        """Start a daemon whose servers serve."""
        self.site = self._stack.enter_context(site(seed, services, servers))
        self.balancer = self.site.balancer
        self.laws = Invariants(self.site)
        self.laws.check_healed()

    # -- time

    def pass_time(self, seconds: float) -> None:
        """Pass time, and check the invariants."""
        self.balancer.run(seconds)
        self._count()
        self.laws.check()

    @change()
    def change_nothing(self) -> None:
        """Let time pass."""

    @change(lasts=st.sampled_from([0.3, 2.0, 20.0, 300.0]))
    def suspend(self, lasts: float) -> None:
        self.balancer.reactor.suspend(lasts)
        self.site.woken = self.balancer.now

    @change(hours=st.sampled_from([-24, -1, 1, 24]))
    def step_wall_clock(self, hours: int) -> None:
        self.site.step_wall_clock(hours)

    # -- servers, names and lists

    @change(number=_NUMBERS, mode=_MODES)
    def change_server(self, number: int, mode: Mode) -> None:
        self._server(number).change(mode)

    @change(first=_NUMBERS, count=st.integers(2, 40), mode=_MODES)
    def change_rack(self, first: int, count: int, mode: Mode) -> None:
        for number in range(first, first + count):
            self._server(number).change(mode)

    @change(
        number=_NUMBERS,
        host=_NUMBERS,
        weight=st.sampled_from([0, 1, 10, 20]),
        enabled=st.sampled_from([True, True, False]),
    )
    def edit_list(self, number: int, host: int, weight: int, enabled: bool) -> None:
        self._edit_list(number, host, Line(weight, enabled))

    @change(number=_NUMBERS, host=_NUMBERS)
    def shorten_list(self, number: int, host: int) -> None:
        service = self.site.services[self._service(number)]
        if len(service.lines) > 1:
            del service.lines[list(service.lines)[host % len(service.lines)]]
            self.site.write_list(service.name)

    @change(number=_NUMBERS, text=_BAD_LISTS)
    def break_list(self, number: int, text: str) -> None:
        self.site.write_list(self._service(number), text)

    @change(number=_NUMBERS)
    def remove_list(self, number: int) -> None:
        self.site.remove_list(self._service(number))

    @change(number=_NUMBERS)
    def restore_list(self, number: int) -> None:
        self.site.write_list(self._service(number))

    @change(number=_NUMBERS, mode=_MODES)
    def change_source(self, number: int, mode: Mode) -> None:
        service = self.site.services[self._service(number)]
        if service.source:
            self.balancer.network.servers[service.source].change(mode)
            self.site.changed[service.name] = self.balancer.now

    @change(number=_NUMBERS)
    def move_host(self, number: int) -> None:
        self.site.move(self._host(number))

    @change(failing=st.booleans(), definite=st.booleans())
    def change_names(self, failing: bool, definite: bool) -> None:
        if failing and not self.balancer.names.failing:
            self.site.nameless = self.balancer.now
        self.balancer.names.failing, self.balancer.names.definite = failing, definite
        self.site.named = self.balancer.now

    # -- the configuration and the operator

    @change(number=_NUMBERS, options=_OPTIONS)
    def reload(self, number: int, options: dict[str, str]) -> None:
        self.site.services[self._service(number)].options = options
        self._reload()

    @change(number=_NUMBERS)
    def remove_or_add_service(self, number: int) -> None:
        name = list(self.site.services)[number % len(self.site.services)]
        if name not in self.site.present:
            self.site.present.append(name)
        elif len(self.site.present) > 1:
            self.site.present.remove(name)
        self._reload()

    @change(more=_BAD_SECTIONS)
    def reload_invalid(self, more: str) -> None:
        assert self.site.reload(more), f"accepted {more!r}"

    @change()
    def restart(self) -> None:
        self._count()
        self.laws.check_replay()
        self.site.restart()

    @change(
        moment=_MOMENTS,
        power=st.sampled_from([False, False, False, True]),
        down=_PAUSES,
        number=_NUMBERS,
        mode=_MODES,
        host=_NUMBERS,
        lines=st.lists(st.sampled_from(_LINES), max_size=4),
    )
    def kill(
        self, *, moment: float, power: bool, down: float, number: int, mode: Mode, host: int, lines: list[Line | None]
    ) -> None:
        """Kill the daemon some time after the last change; a server and a list change while it is down."""
        self.balancer.run(moment)
        self.laws.check_errors()
        self.site.kill(power=power)
        self._server(number).change(mode)
        for place, line in enumerate(lines, host):
            self._edit_list(number, place, line)
        self.balancer.run(down)
        self.site.start()
        self._count()

    @change(lasts=st.sampled_from([5.0, 60.0, 3600.0]))
    def freeze(self, lasts: float) -> None:
        self._command("freeze", "a test", duration=lasts)

    @change()
    def thaw(self) -> None:
        self._command("thaw")

    @change(number=_NUMBERS, host=_NUMBERS, lasts=st.sampled_from([30.0, 3600.0]), force=st.booleans())
    def depool(self, number: int, host: int, lasts: float, force: bool) -> None:
        name = self._service(number)
        found = list(self.site.services[name].lines)[host % len(self.site.services[name].lines)]
        self._wait_for_names()
        self.site.command_override("depool", name, found, lasts, force=force)

    @precondition(lambda self: self.site.depooled)
    @change(number=_NUMBERS)
    def repool(self, number: int) -> None:
        name, host = list(self.site.depooled)[number % len(self.site.depooled)]
        self._wait_for_names()
        self.site.command_override("repool", name, host)

    # -- the kernel, the routers and the machine

    @change(what=st.sampled_from(["", "", "read", "write"]))
    def refuse(self, what: str) -> None:
        self.balancer.ipvs.refuses = what
        self.site.refusing = self.balancer.now if what else None
        if self.site.foreign_since is not None:
            self.site.foreign_since = self.balancer.now

    @change()
    def clear_table(self) -> None:
        self.balancer.ipvs.clear()
        self.site.foreign_since = None

    @change(number=st.integers(0, 2))
    def add_foreign_service(self, number: int) -> None:
        service = VirtualService(Key(TCP, self.site.foreign_vips[number], 80), "wrr")
        self.balancer.ipvs.change([Op(Command.ADD_SERVICE, service)])
        if self.site.foreign_since is None:
            self.site.foreign_since = self.balancer.now

    @change(number=_NUMBERS)
    def add_foreign_destination(self, number: int) -> None:
        vip = self.site.services[self._service(number)].vip
        for key, entry in self.balancer.ipvs.held.items():
            if isinstance(key, Key) and str(key.address) == vip:
                destination = Destination(ip_address("10.9.9.9"), key.port, weight=7)
                self.balancer.ipvs.change([Op(Command.ADD, entry.service, destination)])

    @change(number=st.integers(0, 1))
    def lose_router(self, number: int) -> None:
        self.balancer.bgp.lose(list(self.balancer.bgp.routers)[number])
        self.site.routed = self.balancer.now

    @change(number=st.integers(0, 1))
    def restore_router(self, number: int) -> None:
        self.balancer.bgp.restore(list(self.balancer.bgp.routers)[number])

    @change()
    def crash_exabgp(self) -> None:
        self.balancer.bgp.crash()
        self.site.routed = self.balancer.now

    @change()
    def hang_exabgp(self) -> None:
        if self.balancer.bgp.child is not None:
            self.balancer.bgp.child.hung = True
            self.site.routed = self.balancer.now

    @change(name=_THREADS)
    def hang_threads(self, name: str) -> None:
        self.balancer.threads.hung.add(name)

    @change()
    def fill_disk(self) -> None:
        self.site.fill_disk()

    @change()
    def make_room(self) -> None:
        self.balancer.threads.full = False

    @change()
    def release_threads(self) -> None:
        self.balancer.threads.release()
        self.site.woken = self.balancer.now

    @change()
    def heal(self) -> None:
        self._heal()

    # -- the end

    def teardown(self) -> None:
        """Heal, and let the rest of the run's share pass quietly."""
        with self._stack:
            if hasattr(self, "site") and not self.balancer.errors:
                self._heal()
                self._rest()
                self.laws.check_replay()

    def _rest(self) -> None:
        missing = SHARE - self._own
        if missing > 0:
            self.balancer.run(missing / self.site.members)
            self._count()
            self.laws.check_healed()

    def _heal(self) -> None:
        self._count()
        self.site.heal()
        self._command("thaw")
        for name, host in list(self.site.depooled):
            self.site.command_override("repool", name, host)
        refusal = self.balancer.wait(self.site.reload, MOST_REFUSED)
        assert not refusal, refusal
        self.laws.check_healed()

    def _reload(self) -> None:
        refusal = self.site.reload()
        assert not refusal or self._refuses(), refusal

    def _refuses(self) -> bool:
        """Return whether reloads may be refused at present."""
        kinds = {alert["kind"] for alert in self.balancer.alerts()}
        starting = self.balancer.now - self.site.started < ADOPTED
        refusing = self.site.refusing is not None
        return bool(starting or refusing or kinds & {"frozen", "ipvs"} or self.balancer.threads.hung)

    def _command(self, command: str, reason: str = "", **arguments: object) -> None:
        self._wait_for_names()
        self.balancer.command(command, reason, **arguments)

    def _wait_for_names(self) -> None:
        if "names" in self.balancer.threads.hung:
            self.balancer.run(1.0)

    def _edit_list(self, number: int, host: int, line: Line | None) -> None:
        """Replace or add the line of a host; without one remove it, unless it is the last."""
        service = self.site.services[self._service(number)]
        if line is not None:
            service.lines[self._host(host)] = line
        elif service.lines.keys() != {self._host(host)}:
            service.lines.pop(self._host(host), None)
        self.site.write_list(service.name)

    def _service(self, number: int) -> str:
        return self.site.present[number % len(self.site.present)]

    def _host(self, number: int) -> str:
        return self.site.hosts[number % len(self.site.hosts)]

    def _server(self, number: int) -> SimulatedServer:
        return self.balancer.network.servers[self.balancer.names.addresses[self._host(number)]]

    def _count(self) -> None:
        """Count the time since the last count."""
        now = self.balancer.now
        passed, self._counted = now - self._counted, now
        self._own += passed * self.site.members
        VirtualDays.server_seconds += passed * self.site.members
        VirtualDays.virtual_seconds += passed
