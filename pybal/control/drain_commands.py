"""The commands ``drain`` and ``undrain``: a VIP is announced less and then no more, or as before."""

from __future__ import annotations

from ipaddress import ip_address

from twisted.internet.task import deferLater

from pybal.bgp.drains import DrainError
from pybal.bgp.service import BGPService
from pybal.control.api import ControlAPI
from pybal.control.listener import Caller
from pybal.control.overview import drain_document, prefix
from pybal.control.wire import DONE, FAILED, CommandReply, Request, RequestError
from pybal.core.model import Address
from pybal.status.bgp import vip_json, vip_line

ALL = "all"


async def drain(controls: ControlAPI, request: Request, caller: Caller) -> CommandReply:
    """Drain a VIP, that of a service, or all. Raises RequestError."""
    announcing, vip, keep = _announcing(controls), _vip(controls, request.text("vip")), request.flag("keep")
    if vip is not None and vip not in (known := [verdict.vip for verdict in announcing.verdicts]):
        wanted = ", ".join(map(str, known)) or "none yet"
        raise RequestError(f"{vip} is not announced by this configuration, wanted {ALL} or one of: {wanted}")
    if keep and not announcing.keeps:
        raise RequestError("no state directory to keep a drain in: StateDirectory= of systemd gives one")
    try:
        announcing.drain(vip, caller.name, request.reason, kept=keep)
    except DrainError as error:
        return CommandReply(FAILED, f"drained, but a restart may not know of it: {error}")
    return await _now(controls, announcing, vip)


async def undrain(controls: ControlAPI, request: Request, _caller: Caller) -> CommandReply:
    """Undo one drain, whether of a VIP or of all. Raises RequestError."""
    announcing, vip = _announcing(controls), _vip(controls, request.text("vip"))
    there = any(drain.vip == vip for drain in announcing.drains())
    try:
        announcing.undrain(vip)
    except DrainError as error:
        return CommandReply(FAILED, f"undrained, but a restart may drain again: {error}")
    return await _now(controls, announcing, vip, "" if there else f"there was no drain of {prefix(vip)}\n")


def _announcing(controls: ControlAPI) -> BGPService:
    if controls.announcing is None:
        raise RequestError("nothing is announced: bgp is off in the configuration")
    return controls.announcing


def _vip(controls: ControlAPI, said: str) -> Address | None:
    """Return the VIP that is meant, ``None`` for all. A name of a service stands for its VIP. Raises RequestError."""
    if said == ALL:
        return None
    pools = controls.snapshot().pools
    if said in pools:
        return pools[said].service.vip
    try:
        return ip_address(said)
    except ValueError:
        raise RequestError(f"{said!r:.80}, wanted the address of a VIP, the name of a service, or {ALL}") from None


async def _now(controls: ControlAPI, announcing: BGPService, vip: Address | None, note: str = "") -> CommandReply:
    """Return how it stands with the VIPs that are meant, once that has been decided anew."""
    for _ in range(2):  # calls of one turn of the loop come in no particular order
        await deferLater(controls.clock, 0)
    now = controls.clock.seconds()
    verdicts = [verdict for verdict in announcing.verdicts if vip in (None, verdict.vip)]
    return CommandReply(
        DONE,
        note + "".join(f"{vip_line(verdict, now)}\n" for verdict in verdicts),
        {
            "vips": [vip_json(verdict, now) for verdict in verdicts],
            "drains": [drain_document(drain, now) for drain in announcing.drains()],
        },
    )
