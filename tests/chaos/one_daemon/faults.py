"""The faults and changes of a random run, each with its weight."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from random import Random

from twisted.names import dns

from tests.chaos.faulty_servers import Mode
from tests.chaos.one_daemon.site import Site, random_options
from tests.harness.daemon_process import Daemon
from tests.harness.list_line import Line

Fault = Callable[[Site, Daemon, Random], str]
"""Makes a change and describes it in a line."""

_SERVER_MODES = [Mode.SERVING, Mode.SERVING, *Mode]
_SOURCE_MODES = [Mode.SERVING] * 4 + list(Mode)
_BAD_LISTS = (
    "",
    "{ 'host': 'w1.test', 'weight'",
    "no list\n",
    "{ 'host': 'w1.test', 'weight': 10, 'enabled': True }\n",
)
_BAD_SECTIONS = ("[web]\nport = 99999\n", "[s0\n", "[a]\nip = 192.0.2.9\nno-such-option = 1\n", "\0\n")


def change_server(site: Site, _running: Daemon, random: Random) -> str:
    server = random.choice(list(site.servers.values()))
    server.change(random.choice(_SERVER_MODES))
    return f"{server.host} {server.mode}"


def change_all_servers(site: Site, _running: Daemon, random: Random) -> str:
    mode = random.choice(_SERVER_MODES)
    for server in site.servers.values():
        server.change(mode)
    return f"all servers {mode}"


def change_list(site: Site, _running: Daemon, random: Random) -> str:
    service = random.choice(list(site.services.values()))
    hosts = random.sample(site.hosts, random.randint(1, 3))
    for host in hosts:
        match random.randrange(3):
            case 0 if len(service.lines) > 1:
                service.lines.pop(host, None)
            case 1:
                service.lines[host] = Line(random.choice([0, 1, 10, 20]))
            case _:
                service.lines[host] = Line(10, enabled=random.random() < 0.7)
    site.write_list(service.vip)
    return f"{service.name} has {service.lines}"


def break_list(site: Site, _running: Daemon, random: Random) -> str:
    vip, text = random.choice(list(site.services)), random.choice(_BAD_LISTS)
    if random.random() < 0.2:
        (site.directory / f"{vip}.pool").unlink(missing_ok=True)
        return f"{vip}.pool removed"
    site.write_list(vip, text)
    return f"{vip}.pool is {text!r}"


def change_source(site: Site, _running: Daemon, random: Random) -> str:
    server = random.choice(list(site.web.values()))
    server.change(random.choice(_SOURCE_MODES))
    return f"source {server.host} {server.mode}"


def move_name(site: Site, _running: Daemon, random: Random) -> str:
    count = random.choice([1, 1, 2, len(site.names)])
    moved = {name: random.choice(site.names[name]) for name in random.sample(list(site.names), count)}
    site.dns.addresses.update(moved)
    return f"addresses {moved}"


def break_names(site: Site, _running: Daemon, random: Random) -> str:
    site.dns.code = random.choice([dns.OK, dns.OK, dns.ESERVER, dns.ENAME, None])
    return f"DNS returns {site.dns.code}"


def reload(site: Site, running: Daemon, random: Random) -> str:
    service = random.choice(list(site.services.values()))
    match random.randrange(4):
        case 0:
            service.kind = random.choice(["file", "http"])
        case 1:
            site.present = random.sample(list(site.services), random.randint(1, len(site.services)))
        case _:
            service.options = random_options(random)
    site.configure()
    outcome = running.reload()
    assert outcome["accepted"], outcome["problems"]
    return f"reload of {service.name}: {service.kind} {service.options}, services {site.present}"


def reload_invalid(site: Site, running: Daemon, random: Random) -> str:
    more = random.choice(_BAD_SECTIONS)
    site.configure(more)
    outcome = running.reload()
    assert not outcome["accepted"], outcome
    site.configure()
    return f"reload with {more!r}"


def pause_daemon(_site: Site, running: Daemon, random: Random) -> str:
    seconds = random.uniform(0.1, 2.0)
    running.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    running.process.send_signal(signal.SIGCONT)
    return f"daemon stopped for {seconds:.1f} s"


FAULTS: dict[Fault, int] = {
    change_server: 12,
    change_all_servers: 1,
    change_list: 4,
    break_list: 2,
    change_source: 3,
    move_name: 3,
    break_names: 2,
    reload: 5,
    reload_invalid: 1,
    pause_daemon: 1,
}
