"""The commands ``plan`` and ``reload``: what another configuration would change, and that it takes the place of this one."""

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
from pybal.status.compat115 import JSON
from pybal.status.reload import plan_json


async def plan(controls: ControlAPI, request: Request, _caller: Caller) -> CommandReply:
    """Return what a reload would do, with the configuration that is part of the request or else our own file."""
    text, path = request.text("configuration"), request.text("file") or controls.file.path
    try:
        # As PEP 383 has it: what is not UTF-8 is still the same bytes at this end.
        loaded = controls.file.parse(text.encode(errors="surrogateescape"), path) if text else controls.file.read()
        planned = controls.plan(_supported(loaded))
    except ConfigError as refused:
        return CommandReply(FAILED, str(refused))
    except (OSError, BackendError) as error:
        raise RequestError(f"{path}: {getattr(error, 'strerror', '') or error}") from error
    warnings = tuple(map(str, loaded.warnings))
    return CommandReply(
        DONE if planned.empty else DIFFERENT, f"{path}:\n{_text(planned, warnings)}", _document(planned, warnings)
    )


async def reload(controls: ControlAPI, request: Request, _caller: Caller) -> CommandReply:
    """Have our file read anew and what it says done; ``force`` lets any number of services and servers go."""
    outcome = await controls.reload(force=request.flag("force"))
    if not outcome.accepted or outcome.plan is None:
        return CommandReply(FAILED, "reload refused, nothing changed\n" + "\n".join(outcome.problems))
    text = _text(outcome.plan, outcome.warnings)
    return CommandReply(DONE, f"reloaded {controls.file.path}\n{text}", _document(outcome.plan, outcome.warnings))


def _supported(loaded: Loaded) -> Settings:
    if loaded.unsupported:
        raise ConfigError(loaded.unsupported, loaded.warnings)
    return loaded.settings


def _text(planned: ReloadPlan, warnings: Sequence[str]) -> str:
    return "".join(f"warning: {warning}\n" for warning in warnings) + plan_text(planned)


def _document(planned: ReloadPlan, warnings: Sequence[str]) -> JSON:
    return {"warnings": list(warnings), "plan": plan_json(planned)}
