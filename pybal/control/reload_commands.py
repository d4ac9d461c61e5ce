"""The commands ``plan`` and ``reload``: show the changes of another configuration, and apply them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from pybal.config.errors import ConfigError
from pybal.config.settings import Settings
from pybal.control.api import ControlAPI
from pybal.control.listener import Caller
from pybal.control.wire import DIFFERENT, DONE, FAILED, CommandReply, Request, RequestError
from pybal.ipvs.backend import BackendError
from pybal.reload.file import Loaded
from pybal.reload.plan import ReloadPlan
from pybal.reload.render import plan_text
from pybal.status.json_pieces import LargeJSON
from pybal.status.reload import plan_json


async def plan(api: ControlAPI, request: Request, _caller: Caller) -> CommandReply:
    """Return the changes of a reload with the configuration of the request, or with the daemon's own file.

    The files that a request names are not opened: the caller may not be allowed to read them.
    """
    given, path = request.text("configuration"), request.text("file") or api.file.path
    try:
        # PEP 383: restores the bytes that are not UTF-8.
        source = api.file.parse(given.encode(errors="surrogateescape"), path) if given else api.file.load()
        loaded = await source
        planned = await api.plan(_supported(loaded))
    except ConfigError as refused:
        return CommandReply(FAILED, str(refused))
    except (OSError, BackendError) as error:
        raise RequestError(f"{path}: {getattr(error, 'strerror', '') or error}") from error
    warnings = tuple(map(str, loaded.warnings))
    text = chain([f"{path}:\n"], _plan_text(planned, warnings))
    return CommandReply(DONE if planned.empty else DIFFERENT, text, _plan_document(planned, warnings))


async def reload(api: ControlAPI, request: Request, _caller: Caller) -> CommandReply:
    """Read the daemon's own file again and apply it; ``force`` allows any number of removals."""
    outcome = await api.reload(force=request.flag("force"))
    if not outcome.accepted or outcome.plan is None:
        return CommandReply(FAILED, "reload refused, nothing changed\n" + "\n".join(outcome.problems))
    text = chain([f"reloaded {api.file.path}\n"], _plan_text(outcome.plan, outcome.warnings))
    return CommandReply(DONE, text, _plan_document(outcome.plan, outcome.warnings))


def _supported(loaded: Loaded) -> Settings:
    if loaded.unsupported:
        raise ConfigError(loaded.unsupported, loaded.warnings)
    return loaded.settings


def _plan_text(planned: ReloadPlan, warnings: Sequence[str]) -> Iterator[str]:
    yield from (f"warning: {warning}\n" for warning in warnings)
    yield from plan_text(planned)


def _plan_document(planned: ReloadPlan, warnings: Sequence[str]) -> LargeJSON:
    return {"warnings": list(warnings), "plan": plan_json(planned)}
