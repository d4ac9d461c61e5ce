"""The path of the control socket, for the daemon and its client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_OPTION = "control-socket"
_SOCKET = "control.sock"


def socket_of_daemon(option: str, environ: Mapping[str, str]) -> Path | None:
    """Return the control socket of the configuration, or the one in the runtime directory, if any."""
    directory = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if option:
        return Path(option)
    return Path(directory) / _SOCKET if directory else None


def socket_of_file(path: str, environ: Mapping[str, str]) -> Path:
    """Return the control socket that a configuration file names, else the default.

    An unreadable or invalid file must not prevent a command.
    """
    try:
        text = Path(path).read_bytes()
        # Most files have no such option: the parser takes a third of the time of a command.
        option = control_socket(text, path) if _OPTION.encode() in text.lower() else ""
    except OSError:
        option = ""
    return socket_of_daemon(option, environ) or Path("/run/pybal") / _SOCKET


def control_socket(text: str | bytes, path: str) -> str:
    """Return the option ``control-socket`` of a file that may have problems; empty if absent."""
    from pybal.config import ini  # noqa: PLC0415
    from pybal.config.convert import socket_path  # noqa: PLC0415
    from pybal.config.options import Options  # noqa: PLC0415

    document = ini.read(text, path)
    section = document.sections.get("global", ini.Section("global", 1))
    return Options(path, section, document.defaults).get(_OPTION, socket_path, "")
