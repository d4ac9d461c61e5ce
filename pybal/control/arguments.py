"""The words of the command line: the daemon's own flags, as PyBal 1.15 had them, and the commands."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from pybal.control.freeze import DEFAULT, LONGEST
from pybal.control.wire import FAILED

DEFAULT_FILE = "/etc/pybal/pybal.conf"

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s|min|m|h)?")
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}


class _Commands(argparse.ArgumentParser):
    """A parser of a command, whose exit status 2 says that there is a difference, never that it was misspelt."""

    def error(self, message: str) -> NoReturn:
        self.print_usage()
        self.exit(FAILED, f"{self.prog}: {message}\n")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line says; ``command`` is empty for the daemon itself. Exits where it is refused.

    ``named`` tells whether it names a configuration file; ``config`` is then that, else the usual one.
    """
    parser = argparse.ArgumentParser(prog="pybal", description="Health checks and pooling for Linux Virtual Server.")
    _add_file(parser, "")
    parser.add_argument(
        "-n", "--dryrun", action="store_true", help="check servers, print what would be done, do nothing"
    )
    parser.add_argument("-d", "--debug", action="store_true", help="log everything")
    parser.add_argument(
        "--check-config", action="store_true", help="read the configuration, say what it says, and exit"
    )
    parser.add_argument("--version", action="version", version=f"pybal {version('pybal')}")
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
        title="commands to a daemon that runs; without one this is the daemon",
        parser_class=_Commands,
    )

    def add(name: str, does: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
        _add_file(command, argparse.SUPPRESS)
        command.add_argument("--socket", metavar="PATH", default="", help="the daemon's control socket")
        command.add_argument("--json", action="store_true", help="print JSON")
        return command

    add("status", "show services, what is forced and announced, and alerts")
    freeze = add("freeze", "keep IPVS and announcements as they are, for a time; checks and alerts go on")
    freeze.add_argument(
        "--for",
        dest="duration",
        metavar="DURATION",
        type=_duration,
        default=DEFAULT,
        help=f"as 90, 90s, 10m or 1h; 10m by default, at most {LONGEST / 3600:.0f}h",
    )
    freeze.add_argument("--reason", metavar="TEXT", required=True, help="why, for the log and the alert")
    thaw = add("thaw", "end a freeze, and do at once what is wanted")
    thaw.add_argument("--reason", metavar="TEXT", default="", help="why, for the log")
    drain = add("drain", "announce a VIP less, and after bgp-drain-wait no more")
    drain.add_argument("vip", metavar="VIP", help="its address, the name of one of its services, or all")
    drain.add_argument("--keep", action="store_true", help="also over a restart of the daemon")
    drain.add_argument("--reason", metavar="TEXT", required=True, help="why, for the log and the alert")
    undrain = add("undrain", "announce a VIP as before")
    undrain.add_argument("vip", metavar="VIP", help="what was given to drain: an address, a service, or all")
    undrain.add_argument("--reason", metavar="TEXT", default="", help="why, for the log")
    reload = add("reload", "read the configuration anew and change what differs, and nothing else")
    reload.add_argument("--force", action="store_true", help="let more go than max-blast-radius")
    reload.add_argument("--reason", metavar="TEXT", default="", help="why, for the log")
    add("plan", "show what a reload would do, with the daemon's own file or with FILE")
    add("diff", "compare what IPVS holds with what is wanted of it now")
    add("doctor", "look at the host: what is not as the configuration needs it, and how to mend it")


def _add_file(parser: argparse.ArgumentParser, default: str) -> None:
    help_ = f"configuration ({DEFAULT_FILE})"
    parser.add_argument("-c", dest="config", metavar="FILE", default=default, help=help_)


def _duration(text: str) -> float:
    """Return a duration in seconds."""
    match = _DURATION.fullmatch(text)
    if match and 0 < (seconds := float(match[1]) * _UNITS[match[2] or "s"]) <= LONGEST:
        return seconds
    raise argparse.ArgumentTypeError(
        f"{text!r}, wanted a duration such as 90, 10m or 1h, at most {LONGEST / 3600:.0f}h"
    )
