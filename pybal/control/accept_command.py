"""The command ``accept``: take the refused server list of a service once."""

from __future__ import annotations

from pybal.control.api import ControlAPI
from pybal.control.listener import Caller
from pybal.control.wire import DONE, FAILED, CommandReply, Request, RequestError
from pybal.core.text import first_of, numbered

_MOST_SHOWN = 10


async def accept(api: ControlAPI, request: Request, _caller: Caller) -> CommandReply:
    """Accept the refused list of a service. Raises RequestError."""
    name = request.text("service")
    source = dict(api.sources()).get(name)
    if source is None:
        raise RequestError(f"unknown service {name!r:.80} (use a name that `pybal status` shows)")
    before = api.snapshot().pools[name].servers
    accepted = source.accept()
    if accepted is None:
        return CommandReply(FAILED, f"{name}: no refused list to accept")
    hosts = {member.host for member in accepted}
    removed = [host for host in before if host not in hosts]
    added = [member.host for member in accepted if member.host not in before]
    text = f"{name}: accepted a list of {numbered(len(accepted), 'server')}; removed {_shown(removed)}; added {_shown(added)}\n"
    return CommandReply(
        DONE, text, {"service": name, "servers": len(accepted), "removed": list(removed), "added": list(added)}
    )


def _shown(hosts: list[str]) -> str:
    """Return the number of hosts, and the names of the first ones."""
    return f"{len(hosts)} ({first_of(hosts, _MOST_SHOWN)})" if hosts else "0"
