"""The commands. Each command that changes something is logged with its caller and reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel

from pybal.control.accept_command import accept
from pybal.control.api import ControlAPI
from pybal.control.depool_commands import depool, repool
from pybal.control.diff import ServiceDiff, TableDiff
from pybal.control.drain_commands import drain, undrain
from pybal.control.durations import FREEZE_DEFAULT, FREEZE_LONGEST
from pybal.control.listener import Caller
from pybal.control.reload_commands import plan, reload
from pybal.control.wire import DIFFERENT, DONE, CommandReply, Request, RequestError
from pybal.core.model import Alert, Snapshot
from pybal.ipvs.backend import BackendError
from pybal.runtime.turns import Turns
from pybal.status.overview import frozen_document

_LONGEST_SHOWN = 80
_FOUND = 200


@dataclass(frozen=True, slots=True)
class _Command:
    """A command and its accepted ``arguments``; one that ``acts`` is logged at level info."""

    run: Callable[[ControlAPI, Request, Caller], Awaitable[CommandReply]]
    arguments: frozenset[str] = frozenset()
    acts: bool = True
    needs_reason: bool = False


_log = Logger()


async def run(api: ControlAPI, request: Request, caller: Caller) -> CommandReply:
    """Run a command and return its reply. Raises RequestError."""
    command = _COMMANDS.get(request.command)
    if command is None:
        raise RequestError(f"unknown command {request.command!r:.80} (use one of {', '.join(_COMMANDS)})")
    if unknown := request.arguments.keys() - command.arguments:
        raise RequestError(f"{request.command}: unknown argument {min(unknown)!r:.80}")
    if command.needs_reason and not request.reason:
        raise RequestError(f"{request.command} requires a reason (set --reason)")
    _log.emit(
        LogLevel.info if command.acts else LogLevel.debug,
        "{command} by {caller}{reason}",
        command=" ".join((request.command, *_shown(request.arguments))),
        caller=caller,
        reason=f": {request.reason}" if request.reason else "",
        system="control",
    )
    return await command.run(api, request, caller)


async def _get(api: ControlAPI, request: Request, _caller: Caller) -> CommandReply:
    """Return what HTTP returns for a path below ``/v1/``, as JSON or as text. Raises RequestError."""
    path = request.text("path")
    if not path.startswith("/v1/"):
        raise RequestError(f"invalid path {path!r:.80} (use one below /v1/)")
    response = api.read(path.encode(errors="surrogateescape"), as_json=request.flag("json"))
    if response.code != _FOUND:
        raise RequestError(f"{path!r:.200} not found (use names that `pybal pools` shows)")
    body = [response.body] if isinstance(response.body, bytes) else response.body
    return CommandReply(DONE, (piece.decode("utf-8", "backslashreplace") for piece in body))


async def _status(api: ControlAPI, _request: Request, _caller: Caller) -> CommandReply:
    overview = api.overview()
    shown = await Turns(api.clock).run(_gathered(overview.snapshot))
    overview = replace(overview, snapshot=shown)
    return CommandReply(DONE, overview.text(), overview.document())


def _gathered(shown: Snapshot) -> Generator[None, None, Snapshot]:
    """Return a snapshot whose alerts can be read twice."""
    alerts = list[Alert]()
    for alert in shown.alerts:
        if alert is not None:
            alerts.append(alert)
        yield
    return replace(shown, alerts=alerts)


async def _freeze(api: ControlAPI, request: Request, caller: Caller) -> CommandReply:
    duration = request.seconds("duration", FREEZE_DEFAULT, FREEZE_LONGEST)
    frozen = api.freezer.freeze(caller.name, request.reason, duration)
    now = api.clock.seconds()
    return CommandReply(DONE, f"{frozen.text(now)}\n", {"frozen": frozen_document(frozen, now)})


async def _thaw(api: ControlAPI, _request: Request, _caller: Caller) -> CommandReply:
    text = "thawed\n" if api.freezer.frozen else "not frozen\n"
    api.freezer.thaw()
    return CommandReply(DONE, text, {"frozen": None})


async def _diff(api: ControlAPI, _request: Request, _caller: Caller) -> CommandReply:
    reconciler = api.reconciler
    reasons = {alert.service: alert.text for alert in reconciler.alerts()}
    default = "frozen" if reconciler.frozen else ""
    compared = []
    try:
        foreign = [service.key for service in await reconciler.services() if not reconciler.owns(service.key)]
        for key in reconciler.intents():
            # Read one service per turn of the event loop, because a whole table would block it.
            await deferLater(api.clock, 0)
            if intent := reconciler.intent(key):
                name, held = intent.service.name, await reconciler.read(key)
                compared.append(ServiceDiff(name, intent.entry, held, reasons.get(name, default)))
    except BackendError as error:
        raise RequestError(f"cannot read IPVS: {error}") from error
    names = {service.name for service in compared}
    waiting = [name for name in api.snapshot().pools if name not in names]
    difference = TableDiff(compared, waiting, reconciler.retired(), foreign)
    return CommandReply(DIFFERENT if difference else DONE, difference.text(), difference.document())


_COMMANDS: Mapping[str, _Command] = {
    "status": _Command(_status, acts=False),
    "get": _Command(_get, frozenset(("path", "json")), acts=False),
    "freeze": _Command(_freeze, frozenset(("duration",)), needs_reason=True),
    "thaw": _Command(_thaw),
    "drain": _Command(drain, frozenset(("vip", "keep")), needs_reason=True),
    "undrain": _Command(undrain, frozenset(("vip",))),
    "depool": _Command(depool, frozenset(("duration", "service", "host", "force")), needs_reason=True),
    "repool": _Command(repool, frozenset(("service", "host"))),
    "accept": _Command(accept, frozenset(("service",)), needs_reason=True),
    "reload": _Command(reload, frozenset(("force",))),
    "plan": _Command(plan, frozenset(("configuration", "file")), acts=False),
    "diff": _Command(_diff, acts=False),
}


def _shown(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yield the arguments for the log, without values that are too long, such as a configuration."""
    for name, value in arguments.items():
        text = str(value)
        yield f"{name}={text if len(text) <= _LONGEST_SHOWN else '...'}"
