"""The options of the section [global]."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from pybal.config.bgp_options import local_addresses
from pybal.config.convert import (
    address,
    boolean,
    choice,
    each,
    listen_address,
    optional_text,
    pause,
    port,
    seconds,
    share,
    unsigned,
)
from pybal.config.errors import Unwanted, shown
from pybal.config.options import Options, asked_by
from pybal.config.peers import read_peers
from pybal.config.settings import (
    BGPSettings,
    DrainSettings,
    DriftPolicy,
    InstrumentationSettings,
    IPVSBackend,
    IPVSSettings,
    Settings,
    VIPPolicy,
)
from pybal.core.model import Address, SuspectSelf

_LONGEST_SOCKET_PATH = 107  # unix(7): sun_path, with the NUL at its end
_LOOPBACK: tuple[Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_backend = choice(*IPVSBackend)
_drift = choice(*DriftPolicy)
vip_policy = choice(*VIPPolicy)
_suspect_self = choice(*SuspectSelf)
_addresses = each(address)
_listen_addresses = each(listen_address)


def read_global(options: Options, peers: Sequence[Options] = ()) -> Settings:
    """Return the settings without any service; ``peers`` are the sections about one peer each.

    What is there for a part that is switched off is not looked at.
    """
    return Settings(
        services=(),
        bgp=_bgp(options, peers) if options.get("bgp", boolean, False) else None,
        instrumentation=_instrumentation(options) if options.get("instrumentation", boolean, False) else None,
        ipvs_backend=IPVSBackend(options.get("ipvs-backend", _backend, IPVSBackend.NETLINK)),
        ipvs=_ipvs(options),
        dry_run=options.get("dry-run", boolean, False),
        suspect_self=SuspectSelf(options.get("suspect-self", _suspect_self, SuspectSelf.HOLD)),
        control_socket=read_control_socket(options),
        control_group=options.get("control-group", optional_text, ""),
        max_blast_radius=options.get("max-blast-radius", share, 0.5),
    )


def read_control_socket(options: Options) -> str:
    """Return the path of the socket for commands, an empty text for that of the service manager."""
    return options.get("control-socket", _socket_path, "")


def _socket_path(text: str) -> str:
    """Return the absolute path of a unix socket, or the empty text, bare or in quotes."""
    bare = optional_text(text)
    if bare and not (bare.startswith("/") and len(bare.encode()) <= _LONGEST_SOCKET_PATH):
        raise Unwanted(shown(text), f"an absolute path of at most {_LONGEST_SOCKET_PATH} bytes")
    return bare


def _bgp(options: Options, peers: Sequence[Options] = ()) -> BGPSettings:
    return BGPSettings(
        peers=read_peers(options, peers),
        med=options.get("bgp-med", unsigned, 0),
        local_ips=options.get("bgp-local-ips", local_addresses, ()),
        local_port=options.get("bgp-local-port", port, 179),
        gate=options.get("bgp-announce-gate", boolean, True),
        wait=options.get("bgp-announce-wait", pause, 30.0),
        vip_policy=VIPPolicy(options.get("bgp-vip-policy", vip_policy, VIPPolicy.ANY)),
        drain=DrainSettings(
            med=options.get("bgp-drain-med", unsigned, 2**32 - 2),
            graceful_shutdown=options.get("bgp-drain-community", boolean, False),
            wait=options.get("bgp-drain-wait", pause, 30.0),
        ),
    )


def _ipvs(options: Options) -> IPVSSettings:
    return IPVSSettings(
        audit_interval=options.get("ipvs-audit-interval", seconds, 15.0),
        drift=DriftPolicy(options.get("ipvs-drift", _drift, DriftPolicy.REPAIR)),
        remove_grace=options.get("ipvs-remove-grace", pause, 30.0),
        exclusive=options.get("ipvs-exclusive", boolean, False),
    )


def _instrumentation(options: Options) -> InstrumentationSettings:
    return InstrumentationSettings(
        ips=options.get("instrumentation_ips", _listen_addresses, _LOOPBACK),
        port=options.get("instrumentation_port", port, 9090),
        advertised_ips=options.get("advertised_instrumentation_ips", _addresses, ()),
    )


GLOBAL_OPTIONS = asked_by(read_global) | asked_by(_bgp) | asked_by(_instrumentation)
"""The names of all options of [global]."""
