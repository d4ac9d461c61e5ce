"""The command line: the flags of the daemon, as in PyBal 1.15, and the commands."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

from typing_extensions import override

from pybal.control.freeze import DEFAULT, LONGEST
from pybal.control.wire import FAILED
from pybal.runtime.version import pybal_version

DEFAULT_FILE = "/etc/pybal/pybal.conf"

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s|min|m|h)?")
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}


class _CommandParser(argparse.ArgumentParser):
    """A parser that exits with 1 after a usage error; exit status 2 of a command means a difference."""

    @override
    def error(self, message: str) -> NoReturn:
        self.print_usage()
        self.exit(FAILED, f"{self.prog}: {message}\n")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line; ``command`` is empty for the daemon. Exits after a usage error.

    ``named`` is true if the command line names a configuration file; otherwise ``config`` is the default file.
    """
    parser = argparse.ArgumentParser(prog="pybal", description="Health checks and pooling for Linux Virtual Server.")
    _add_file(parser, "")
    parser.add_argument(
        "-n", "--dryrun", action="store_true", help="check servers and log the changes, but change nothing"
    )
    parser.add_argument("-d", "--debug", action="store_true", help="log debug messages")
    parser.add_argument(
        "--check-config", action="store_true", help="check the configuration file, print a summary and exit"
    )
    parser.add_argument("--version", action="version", version=f"pybal {pybal_version()}")
    _add_commands(parser)
    parser.set_defaults(command="")
    options = parser.parse_args(arguments)
    options.named = bool(options.config)
    options.config = options.config or DEFAULT_FILE
    return options


def _add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        title="commands to a running daemon; without a command pybal runs as the daemon",
        parser_class=_CommandParser,
    )

    def add(name: str, help_: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
        _add_file(command, argparse.SUPPRESS)
        command.add_argument("--socket", metavar="PATH", default="", help="control socket of the daemon")
        command.add_argument("--json", action="store_true", help="print JSON")
        return command

    add("status", "show services, forced servers, announcements, drains and alerts")
    _add_freeze(add)
    drain = add("drain", "raise the MED of a VIP, then withdraw it after bgp-drain-wait")
    drain.add_argument("vip", metavar="VIP", help="address of the VIP, name of one of its services, or all")
    drain.add_argument("--keep", action="store_true", help="keep the drain across restarts of the daemon")
    drain.add_argument("--reason", metavar="TEXT", required=True, help="reason, for the log and the alert")
    undrain = add("undrain", "cancel the drain that was started with the same argument")
    undrain.add_argument("vip", metavar="VIP", help="argument of the drain; all cancels `drain all` only")
    undrain.add_argument("--reason", metavar="TEXT", default="", help="reason, for the log")
    accept = add("accept", "take the refused server list of a service, once")
    accept.add_argument("service", metavar="SERVICE", help="name of the service")
    accept.add_argument("--reason", metavar="TEXT", required=True, help="reason, for the log")
    reload = add("reload", "read the configuration file again and apply only the differences")
    reload.add_argument("--force", action="store_true", help="allow more removals than max-blast-radius")
    reload.add_argument("--reason", metavar="TEXT", default="", help="reason, for the log")
    add("plan", "show the changes of a reload, with the daemon's own configuration file or with FILE")
    add("diff", "compare the IPVS table with the wanted state")
    add("doctor", "check the host against the configuration, and show how to fix each problem")


def _add_freeze(add: Callable[[str, str], argparse.ArgumentParser]) -> None:
    freeze = add("freeze", "suspend changes of IPVS and announcements for a limited time; checks and alerts continue")
    freeze.add_argument(
        "--for",
        dest="duration",
        metavar="DURATION",
        type=_duration,
        default=DEFAULT,
        help=f"duration such as 90, 90s, 10m or 1h; default 10m, at most {LONGEST / 3600:.0f}h",
    )
    freeze.add_argument("--reason", metavar="TEXT", required=True, help="reason, for the log and the alert")
    thaw = add("thaw", "end a freeze and apply the suspended changes")
    thaw.add_argument("--reason", metavar="TEXT", default="", help="reason, for the log")


def _add_file(parser: argparse.ArgumentParser, default: str) -> None:
    help_ = f"configuration file (default {DEFAULT_FILE})"
    parser.add_argument("-c", dest="config", metavar="FILE", default=default, help=help_)


def _duration(text: str) -> float:
    """Return a duration in seconds."""
    match = _DURATION.fullmatch(text)
    if match and 0 < (seconds := float(match[1]) * _UNITS[match[2] or "s"]) <= LONGEST:
        return seconds
    raise argparse.ArgumentTypeError(f"invalid duration {text!r} (use 90, 10m or 1h, at most {LONGEST / 3600:.0f}h)")
