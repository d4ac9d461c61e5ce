"""The group that may use the control socket, by number or by name."""

from __future__ import annotations

from grp import getgrnam


class UnknownGroupError(Exception):
    """The name service does not know the group yet, or never will."""


def group_number(group: str) -> int:
    """Return the number of a group. May wait for the name service, unless ``group`` is a number.

    Raises UnknownGroupError.
    """
    if group.isdecimal() and group.isascii():
        return int(group)
    try:
        return getgrnam(group).gr_gid
    except KeyError:
        raise UnknownGroupError("unknown group (create it, or correct control-group)") from None
    except OSError as error:
        raise UnknownGroupError(f"the name service failed ({error.strerror})") from None
