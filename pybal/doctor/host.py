"""Facts of the host, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Prefix = IPv4Network | IPv6Network


class Module(StrEnum):
    """The state of a kernel module."""

    LOADED = "loaded"
    """Loaded or built in."""
    LOADABLE = "not loaded"
    ABSENT = "not installed"
    UNKNOWN = "not loaded; may be missing"
    """The module is not loaded, and the list of installed modules cannot be read."""


@dataclass(frozen=True, slots=True)
class Local:
    """A prefix local to this host: an address of a device, or a route of type ``local``."""

    prefix: Prefix
    device: str


@dataclass(frozen=True, slots=True)
class Process:
    """The process of the daemon, or of the doctor if no daemon runs. ``None`` is an unreadable value.

    ``capabilities`` is the bit mask of effective capabilities (linux/capability.h), ``descriptors`` the hard limit of open
    files. ``contained`` is true in a user namespace other than the initial one, in which IPVS accepts no capability.
    """

    number: int
    capabilities: int | None = None
    descriptors: int | None = None
    contained: bool | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """The facts of the host.

    ``modules`` has the requested modules, ``sysctls`` the requested sysctls that exist and are numbers. ``permanent`` has
    the devices that do not depend on a link: loopback and dummy devices. ``local`` is ``None`` if the routes cannot be
    read. ``versions`` has the versions of packages by name.
    """

    release: str
    modules: Mapping[str, Module]
    sysctls: Mapping[str, int]
    permanent: frozenset[str]
    local: tuple[Local, ...] | None
    process: Process
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FileAccess:
    """The mode and group of a file.

    ``reached`` is true if all users may search its directories, ``reached_by_group`` if the members of its group may.
    """

    mode: int
    group: int
    reached: bool = True
    reached_by_group: bool = True


@dataclass(frozen=True, slots=True)
class Access:
    """The access to the files of a configuration and to the control socket.

    ``files`` has the files that can be examined, by name; ``groups`` are those of the daemon; ``members`` are the users of
    ``control-group``. ``addresses`` are those of this host, ``None`` if they cannot be read.
    """

    files: Mapping[str, FileAccess]
    groups: frozenset[int]
    members: frozenset[str] = frozenset()
    addresses: frozenset[IPv4Address | IPv6Address] | None = None
