"""What is known of the host, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

Prefix = IPv4Network | IPv6Network


class Module(StrEnum):
    """What is known of a module of the kernel."""

    LOADED = "loaded"
    """Or built in."""
    LOADABLE = "not loaded"
    ABSENT = "not installed"
    UNKNOWN = "not loaded, and perhaps not installed"
    """Those that are installed cannot be seen from here."""


@dataclass(frozen=True, slots=True)
class Local:
    """Addresses that the kernel takes for its own: those of a device, or a route of type ``local`` to one."""

    prefix: Prefix
    device: str


@dataclass(frozen=True, slots=True)
class Process:
    """The daemon, or who asks in its place. ``None`` stands for what cannot be seen from here.

    ``capabilities`` are the effective ones, a bit for each (linux/capability.h), ``descriptors`` is the hard limit, and
    ``contained`` tells of a user namespace that is not the first one, in which no capability is worth anything to IPVS.
    """

    number: int
    capabilities: int | None = None
    descriptors: int | None = None
    contained: bool | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """The host as it was found.

    ``modules`` are those that were asked for. ``sysctls`` are the numbers among those that were asked for and are there.
    ``lasting`` are the devices that are there whatever becomes of a link: loopback and dummies. ``local`` is ``None`` where the
    kernel did not tell. ``versions`` are those of packages, by name.
    """

    release: str
    modules: Mapping[str, Module]
    sysctls: Mapping[str, int]
    lasting: frozenset[str]
    local: tuple[Local, ...] | None
    process: Process
    versions: Mapping[str, str]
