"""The commands ``depool`` and ``repool``: an operator's override of one server, on this balancer."""

from __future__ import annotations

from dataclasses import replace

from pybal.control.api import ControlAPI
from pybal.control.durations import DEPOOL_DEFAULT, DEPOOL_LONGEST
from pybal.control.listener import Caller
from pybal.control.overrides import REMINDER, Override
from pybal.control.wire import DONE, FAILED, CommandReply, Request, RequestError
from pybal.core import events, policy
from pybal.core.model import Pool
from pybal.core.text import numbered
from pybal.core.why import why
from pybal.runtime.turns import Turns


async def depool(api: ControlAPI, request: Request, caller: Caller) -> CommandReply:
    """Take a server out of its pool for a limited time. Raises RequestError."""
    seconds = request.seconds("duration", DEPOOL_DEFAULT, DEPOOL_LONGEST)
    service, host, force = request.text("service"), request.text("host"), request.flag("force")
    if host not in _pool(api, service).servers:
        raise RequestError(f"{service} has no server {host!r:.80} (use a host that `pybal pools {service}` shows)")
    if not force:
        await _refuse_below_floor(api, service, host)
    now = api.clock.seconds()
    before = api.overrides.get(service, host)
    since = now if before is None else before.since
    problem = await api.overrides.depool(Override(service, host, caller.name, request.reason, since, now + seconds))
    if not problem and not api.overrides.kept:
        problem = "a restart ends it (set StateDirectory= in the systemd unit)"
    return await _reply(api, service, host, problem)


async def repool(api: ControlAPI, request: Request, _caller: Caller) -> CommandReply:
    """End an override; the pool source decides again. Raises RequestError."""
    service, host = request.text("service"), request.text("host")
    if api.overrides.get(service, host) is None:
        server = api.snapshot().pools[service].servers.get(host) if service in api.snapshot().pools else None
        state = "" if server is None else f"; it is {server.placement.value}: {why(server)}"
        text = f"{service}: {host} is not depooled on this balancer{state} (repool only ends `pybal depool`)"
        return CommandReply(FAILED, text)
    problem = await api.overrides.repool(service, host)
    return await _reply(api, service, host, problem)


def _pool(api: ControlAPI, service: str) -> Pool:
    pool = api.snapshot().pools.get(service)
    if pool is None:
        raise RequestError(f"unknown service {service!r:.80} (use a name that `pybal pools` shows)")
    return pool


async def _refuse_below_floor(api: ControlAPI, service: str, host: str) -> None:
    """Raise RequestError if fewer servers than the floor would serve without a server.

    Overrides count from their command on, although they reach the pool later. After this call the caller sets its own in the same turn.
    """
    await api.settled()
    checked = frozenset[str]()
    while (hosts := api.overrides.hosts(service) | {host}) != checked:
        pool, checked = _pool(api, service), hosts
        members = tuple(server.member for server in pool.servers.values())
        without = tuple(replace(each, enabled=False) if each.host in hosts else each for each in members)
        after = await Turns(api.clock).run(policy.in_steps(pool, events.Listed(without)))
    serving, floor = policy.serving(after), policy.floor(after)
    if serving < floor:
        raise RequestError(
            f"refused to depool {host}: {serving} of {numbered(len(pool.servers), 'server')} of {service} would serve,"
            f" the floor is {floor} (repair another server first, or use --force)"
        )


async def _reply(api: ControlAPI, service: str, host: str, problem: str) -> CommandReply:
    """Return the state of the server after the change."""
    await api.settled()
    clocks, override = api.overrides.clocks(), api.overrides.get(service, host)
    pool = api.snapshot().pools.get(service)
    server = None if pool is None else pool.servers.get(host)
    lines = [f"{service}: {override.text(clocks)}" if override else f"{service}: {host} repooled; {REMINDER}"]
    if pool is not None and server is not None:
        lines.append(f"{host} is {server.placement.value}: {why(server)}")
        lines.append(f"{service}: {policy.arithmetic(pool)}")
    if api.frozen():
        lines.append(f"{api.frozen()}; IPVS changes when that ends")
    if problem:
        lines.append(f"warning: {problem}")
    document = {
        "service": service,
        "host": host,
        "depooled": override is not None,
        "left": None if override is None else round(override.until - clocks.monotonic, 3),
        "reason": None if override is None else override.reason,
        "kept": api.overrides.kept and not problem,
        "placement": None if server is None else server.placement.value,
        "note": REMINDER,
    }
    return CommandReply(DONE, "".join(f"{line}\n" for line in lines), document)
