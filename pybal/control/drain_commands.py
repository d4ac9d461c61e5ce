"""The commands ``drain`` and ``undrain``: withdraw a VIP in two steps, and announce it again."""

from __future__ import annotations

from ipaddress import ip_address

from pybal.bgp.drains import DrainError
from pybal.bgp.service import BGPService
from pybal.control.api import ControlAPI
from pybal.control.listener import Caller
from pybal.control.wire import DONE, FAILED, CommandReply, Request, RequestError
from pybal.core.model import Address
from pybal.status.bgp import vip_json, vip_line
from pybal.status.overview import drain_document, prefix

ALL = "all"


async def drain(api: ControlAPI, request: Request, caller: Caller) -> CommandReply:
    """Drain a VIP, the VIP of a service, or all VIPs. Raises RequestError."""
    announcing, vip, keep = _announcing(api), _vip(api, request.text("vip")), request.flag("keep")
    if vip is not None and vip not in (vips := [verdict.vip for verdict in announcing.verdicts]):
        raise RequestError(f"{vip} is not an announced VIP (use {', '.join([*map(str, vips), ALL])})")
    if keep and not announcing.keeps:
        raise RequestError("--keep requires a state directory (set StateDirectory= in the systemd unit)")
    try:
        await announcing.drain(vip, caller.name, request.reason, kept=keep)
    except DrainError as error:
        return CommandReply(FAILED, f"drained, but a restart may lose the drain: {error}")
    return await _reply(api, announcing, vip)


async def undrain(api: ControlAPI, request: Request, _caller: Caller) -> CommandReply:
    """Cancel one drain, of a VIP or of all VIPs. Raises RequestError."""
    announcing, vip = _announcing(api), _vip(api, request.text("vip"))
    drained = any(drain.vip == vip for drain in announcing.drains())
    try:
        await announcing.undrain(vip)
    except DrainError as error:
        return CommandReply(FAILED, f"undrained, but a restart may drain again: {error}")
    return await _reply(api, announcing, vip, "" if drained else f"{prefix(vip)}: not drained\n")


def _announcing(api: ControlAPI) -> BGPService:
    if api.announcing is None:
        raise RequestError("BGP is off (set bgp = yes to announce services)")
    return api.announcing


def _vip(api: ControlAPI, argument: str) -> Address | None:
    """Return the VIP of an address or service name; ``None`` for all. Raises RequestError."""
    if argument == ALL:
        return None
    pools = api.snapshot().pools
    if argument in pools:
        return pools[argument].service.vip
    try:
        return ip_address(argument)
    except ValueError:
        raise RequestError(
            f"unknown VIP {argument!r:.80} (use the address of a VIP, the name of a service, or {ALL})"
        ) from None


async def _reply(api: ControlAPI, announcing: BGPService, vip: Address | None, note: str = "") -> CommandReply:
    """Return the state of the VIPs after the next decision on them."""
    await api.settled()
    now = api.clock.seconds()
    delivered = [each for each in announcing.deliveries() if vip in (None, each.verdict.vip)]
    return CommandReply(
        DONE,
        note + "".join(f"{vip_line(each, now)}\n" for each in delivered),
        {
            "vips": [vip_json(each, now) for each in delivered],
            "drains": [drain_document(drain, now) for drain in announcing.drains()],
        },
    )
