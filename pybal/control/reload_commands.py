"""The commands ``plan`` and ``reload``: show the changes of another configuration, and apply them."""

from __future__ import annotations

from collections.abc import Sequence

from pybal.config.errors import ConfigError
from pybal.config.settings import Settings
from pybal.control.api import ControlAPI
from pybal.control.listener import Caller
from pybal.control.wire import DIFFERENT, DONE, FAILED, CommandReply, Request, RequestError
from pybal.ipvs.backend import BackendError
from pybal.reload.file import Loaded
from pybal.reload.plan import ReloadPlan
from pybal.reload.render import plan_text
from pybal.status.json_pieces import JSON
from pybal.status.reload import plan_json


async def plan(api: ControlAPI, request: Request, _caller: Caller) -> CommandReply:
    """Return the changes of a reload with the configuration of the request, or with the daemon's own file."""
    text, path = request.text("configuration"), request.text("file") or api.file.path
    try:
        # PEP 383: restores the bytes that are not UTF-8.
        loaded = api.file.parse(text.encode(errors="surrogateescape"), path) if text else api.file.read()
        planned = await api.plan(_supported(loaded))
    except ConfigError as refused:
        return CommandReply(FAILED, str(refused))
    except (OSError, BackendError) as error:
        raise RequestError(f"{path}: {getattr(error, 'strerror', '') or error}") from error
    warnings = tuple(map(str, loaded.warnings))
    return CommandReply(
        DONE if planned.empty else DIFFERENT,
        f"{path}:\n{_plan_text(planned, warnings)}",
        _plan_document(planned, warnings),
    )


async def reload(api: ControlAPI, request: Request, _caller: Caller) -> CommandReply:
    """Read the daemon's own file again and apply it; ``force`` allows any number of removals."""
    outcome = await api.reload(force=request.flag("force"))
    if not outcome.accepted or outcome.plan is None:
        return CommandReply(FAILED, "reload refused, nothing changed\n" + "\n".join(outcome.problems))
    text = _plan_text(outcome.plan, outcome.warnings)
    return CommandReply(DONE, f"reloaded {api.file.path}\n{text}", _plan_document(outcome.plan, outcome.warnings))


def _supported(loaded: Loaded) -> Settings:
    if loaded.unsupported:
        raise ConfigError(loaded.unsupported, loaded.warnings)
    return loaded.settings


def _plan_text(planned: ReloadPlan, warnings: Sequence[str]) -> str:
    return "".join(f"warning: {warning}\n" for warning in warnings) + plan_text(planned)


def _plan_document(planned: ReloadPlan, warnings: Sequence[str]) -> JSON:
    return {"warnings": list(warnings), "plan": plan_json(planned)}
