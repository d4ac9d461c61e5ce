"""What each command does. Every one that changes something is logged, with who gave it and why."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel

from pybal.control.api import ControlAPI
from pybal.control.diff import Compared, Difference
from pybal.control.drain_commands import drain, undrain
from pybal.control.freeze import DEFAULT, LONGEST
from pybal.control.listener import Caller
from pybal.control.overview import Overview, frozen_document
from pybal.control.reload_commands import plan, reload
from pybal.control.wire import DIFFERENT, DONE, CommandReply, Request, RequestError
from pybal.ipvs.backend import BackendError

_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class _Command:
    """``arguments`` are those it takes. One that ``acts`` changes something, and is logged for everybody to see."""

    run: Callable[[ControlAPI, Request, Caller], Awaitable[CommandReply]]
    arguments: frozenset[str] = frozenset()
    acts: bool = True
    wants_reason: bool = False


_log = Logger()


async def run(controls: ControlAPI, request: Request, caller: Caller) -> CommandReply:
    """Return what a command came to. Raises RequestError."""
    command = _COMMANDS.get(request.command)
    if command is None:
        raise RequestError(f"command {request.command!r:.80}, wanted one of {', '.join(_COMMANDS)}")
    if unknown := request.arguments.keys() - command.arguments:
        raise RequestError(f"{request.command} takes no argument {min(unknown)!r:.80}")
    if command.wants_reason and not request.reason:
        raise RequestError(f"{request.command} wants a reason")
    _log.emit(
        LogLevel.info if command.acts else LogLevel.debug,
        "{command} by {caller}{reason}",
        command=" ".join((request.command, *_shown(request.arguments))),
        caller=caller,
        reason=f": {request.reason}" if request.reason else "",
        system="control",
    )
    return await command.run(controls, request, caller)


async def _status(controls: ControlAPI, _request: Request, _caller: Caller) -> CommandReply:
    overview = Overview(
        version=version("pybal"),
        process=os.getpid(),
        started=controls.started,
        now=controls.clock.seconds(),
        dry_run=controls.dry_run,
        frozen=controls.freezer.frozen,
        drains=tuple(controls.announcing.drains()) if controls.announcing else (),
        monitors=sum(1 for _ in controls.monitors()),
        snapshot=controls.snapshot(),
        bgp=controls.bgp(),
    )
    # The alerts of a snapshot can be gone through once only.
    overview = replace(overview, snapshot=replace(overview.snapshot, alerts=tuple(overview.snapshot.alerts)))
    return CommandReply(DONE, overview.text(), overview.document())


async def _freeze(controls: ControlAPI, request: Request, caller: Caller) -> CommandReply:
    duration = request.seconds("duration", DEFAULT, LONGEST)
    frozen = controls.freezer.freeze(caller.name, request.reason, duration)
    now = controls.clock.seconds()
    return CommandReply(DONE, f"{frozen.text(now)}\n", {"frozen": frozen_document(frozen, now)})


async def _thaw(controls: ControlAPI, _request: Request, _caller: Caller) -> CommandReply:
    text = "thawed\n" if controls.freezer.frozen else "was not frozen\n"
    controls.freezer.thaw()
    return CommandReply(DONE, text, {"frozen": None})


async def _diff(controls: ControlAPI, _request: Request, _caller: Caller) -> CommandReply:
    reconciler = controls.reconciler
    troubles = {alert.service: alert.text for alert in reconciler.alerts()}
    unknown = "frozen" if reconciler.frozen else ""
    compared = []
    try:
        foreign = [service.key for service in controls.ipvs.services() if not reconciler.owns(service.key)]
        for key in reconciler.intents():
            # One in a turn of the loop, which a whole table would hold up.
            await deferLater(controls.clock, 0)
            if intent := reconciler.intent(key):
                name, held = intent.service.name, controls.ipvs.read(key)
                compared.append(Compared(name, intent.entry, held, troubles.get(name, unknown)))
    except BackendError as error:
        raise RequestError(f"IPVS cannot be read: {error}") from error
    known = {service.name for service in compared}
    waiting = [name for name in controls.snapshot().pools if name not in known]
    difference = Difference(compared, waiting, reconciler.retired(), foreign)
    return CommandReply(DIFFERENT if difference else DONE, difference.text(), difference.document())


_COMMANDS: Mapping[str, _Command] = {
    "status": _Command(_status, acts=False),
    "freeze": _Command(_freeze, frozenset(("duration",)), wants_reason=True),
    "thaw": _Command(_thaw),
    "drain": _Command(drain, frozenset(("vip", "keep")), wants_reason=True),
    "undrain": _Command(undrain, frozenset(("vip",))),
    "reload": _Command(reload, frozenset(("force",))),
    "plan": _Command(plan, frozenset(("configuration", "file")), acts=False),
    "diff": _Command(_diff, acts=False),
}


def _shown(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the log says of the arguments; a whole configuration is too long for it."""
    for name, value in arguments.items():
        text = str(value)
        yield f"{name}={text if len(text) <= _LONGEST_SHOWN else '...'}"
