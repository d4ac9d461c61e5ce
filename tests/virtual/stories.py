"""Short stories in virtual time, one for each kind of fault: ``python -m tests.virtual.stories NAME``.

They hold in the program as it is; :mod:`tests.virtual.defects` shows that each invariant can be broken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from pybal.ipvs.model import TCP, Command, Key, Op, VirtualService
from tests.harness.simulated.network import Mode
from tests.virtual.invariants import Invariants
from tests.virtual.site import Site, site

SEED, SERVICES, SERVERS = 1, 3, 16
KILLS, LOSSES = 16, 5
_FETCHED, _HELD = ("['ProxyFetch']",), ("['IdleConnection']",)


def all_servers_fail(site: Site) -> None:
    for server in site.balancer.network.servers.values():
        server.change(Mode.STOPPED)


def servers_return_errors(site: Site) -> None:
    for host in site.hosts[:3]:
        site.balancer.network.servers[site.balancer.names.addresses[host]].change(Mode.FAILING)


def router_is_lost(site: Site) -> None:
    site.balancer.bgp.lose(next(iter(site.balancer.bgp.routers)))
    site.routed = site.balancer.now


def table_is_cleared(site: Site) -> None:
    site.balancer.ipvs.clear()


def table_is_cleared_and_full(site: Site) -> None:
    site.balancer.ipvs.refuses = "write"
    site.balancer.ipvs.clear()


def other_program_adds_a_service(site: Site) -> None:
    site.balancer.ipvs.change([Op(Command.ADD_SERVICE, VirtualService(Key(TCP, site.foreign_vips[0], 80), "wrr"))])
    site.foreign_since = site.balancer.now


def hosts_leave_all_lists(site: Site) -> None:
    for service in site.services.values():
        for host in site.hosts[:-4]:
            if len(service.lines) > 1:
                service.lines.pop(host, None)
        site.write_list(service.name)


def disk_of_the_journal_is_full(site: Site) -> None:
    site.fill_disk()
    servers_return_errors(site)


def daemon_is_killed(site: Site) -> None:
    """Kill each daemon while it starts."""
    for moment in range(1, KILLS + 1):
        site.kill()
        site.start()
        site.balancer.run(moment * 0.001)


def machine_loses_power(site: Site) -> None:
    """Lose the power again and again soon after a segment began, which is with the state of all pools."""
    servers_return_errors(site)
    for _ in range(LOSSES):
        site.fill_disk()
        site.balancer.run(60.0)
        site.balancer.threads.full = False
        site.balancer.run(12.0)
        site.kill(power=True)
        site.start()
        site.balancer.run(30.0)


STORIES: Mapping[str, tuple[Callable[[Site], None], tuple[str, ...]]] = {
    each.__name__: (each, kinds)
    for each, kinds in (
        (all_servers_fail, _FETCHED),
        (servers_return_errors, _FETCHED),
        (router_is_lost, _HELD),
        (table_is_cleared, _HELD),
        (table_is_cleared_and_full, _HELD),
        (other_program_adds_a_service, _HELD),
        (hosts_leave_all_lists, _HELD),
        (disk_of_the_journal_is_full, _FETCHED),
        (daemon_is_killed, _FETCHED),
        (machine_loses_power, _FETCHED),
    )
}


def tell(name: str) -> None:
    """Make the change of a story, let it last for two minutes, and repair it. Raises AssertionError."""
    change, kinds = STORIES[name]
    with site(SEED, SERVICES, SERVERS, kinds) as scene:
        laws = Invariants(scene)
        laws.check_healed()
        scene.balancer.run(100.0)  # from now on what the lists and servers do is old enough to count
        change(scene)
        for _ in range(2):
            scene.balancer.run(60.0)
            laws.check()
        scene.heal()
        laws.check_healed()
        laws.check_replay()


if __name__ == "__main__":
    tell(sys.argv[1])
