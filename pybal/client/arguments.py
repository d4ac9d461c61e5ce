"""The command line: the flags of the daemon, as in PyBal 1.15, and the commands."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from typing_extensions import override

from pybal import __version__
from pybal.control.durations import DEPOOL_DEFAULT, DEPOOL_LONGEST, FREEZE_DEFAULT, FREEZE_LONGEST
from pybal.control.wire import FAILED

DEFAULT_FILE = "/etc/pybal/pybal.conf"
DEFAULT_JOURNAL = "/var/lib/pybal/journal"
UNKNOWN = 3
"""The exit status of ``status --check`` if the state cannot be determined, as Icinga wants it."""

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s|min|m|h)?")
_SHORTEST, _LONGEST = 0.2, 3600
"""Seconds between two readings of ``watch``."""
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument or option of a command, as ``add_argument`` takes it."""

    names: tuple[str, ...]
    given: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the command line; ``examples`` are shown by its ``--help`` and in the manual page.

    A command that ``reads`` also accepts ``--url``.
    """

    name: str
    help: str
    arguments: tuple[Argument, ...] = ()
    examples: tuple[str, ...] = ()
    reads: bool = False


def _argument(*names: str, **given: Any) -> Argument:  # noqa: ANN401  # as in argparse
    return Argument(names, given)


def _duration(longest: float) -> Callable[[str], float]:
    """Return a converter to a duration in seconds."""

    def convert(text: str) -> float:
        match = _DURATION.fullmatch(text)
        if match and 0 < (seconds := float(match[1]) * _UNITS[match[2] or "s"]) <= longest:
            return seconds
        raise argparse.ArgumentTypeError(
            f"invalid duration {text!r} (use 90, 10m or 1h, at most {longest / 3600:.0f}h)"
        )

    return convert


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not _SHORTEST <= seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"invalid interval {text!r} (use seconds from {_SHORTEST} to {_LONGEST})")
    return seconds


def _for(default: float, default_text: str, longest: float) -> Argument:
    return _argument(
        "--for",
        dest="duration",
        metavar="DURATION",
        type=_duration(longest),
        default=default,
        help=f"duration such as 90, 90s, 10m or 1h; default {default_text}, at most {longest / 3600:.0f}h",
    )


class _Once(argparse.Action):
    """An option that is refused when it is given again."""

    @override
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        if getattr(namespace, self.dest):
            parser.error(f"{option} is given twice")
        setattr(namespace, self.dest, values)


_REASON = _argument("--reason", metavar="TEXT", default="", help="reason, for the log")
_NEEDED_REASON = _argument("--reason", metavar="TEXT", required=True, help="reason, for the log and the alert")
_SERVICE = _argument("service", metavar="SERVICE", help="name of the service: its section in pybal.conf")
_HOST = _argument("host", metavar="HOST", help="host of the server, as in the pool file")

_OPTIONAL_SERVICE = _argument("service", metavar="SERVICE", nargs="?", default="", help=_SERVICE.given["help"])
_OPTIONAL_HOST = _argument("host", metavar="HOST", nargs="?", default="", help=_HOST.given["help"])

DAEMON_OPTIONS = (
    _argument("-n", "--dryrun", action="store_true", help="check servers and log the changes, but change nothing"),
    _argument("-d", "--debug", action="store_true", help="log debug messages"),
    _argument("--check-config", action="store_true", help="check the configuration file, print a summary and exit"),
)
"""The options of the daemon, apart from ``-c``."""

COMMANDS: tuple[Command, ...] = (
    Command(
        "status",
        "show services, forced servers, announcements, drains and alerts",
        (
            _argument(
                "--check",
                action="store_true",
                help="print one line and exit with 0, 1, 2 or 3 (OK, WARNING, CRITICAL, UNKNOWN), for Icinga",
            ),
        ),
        ("pybal status", "pybal status --check", "pybal status --url http://127.0.0.1:9090"),
        reads=True,
    ),
    Command(
        "pools",
        "show all pools, or the servers of one",
        (_OPTIONAL_SERVICE,),
        ("pybal pools", "pybal pools text_443"),
        reads=True,
    ),
    Command(
        "explain",
        "explain why a server is in or out of its pool, and what would change it",
        (_SERVICE, _OPTIONAL_HOST),
        ("pybal explain text_443", "pybal explain text_443 cp1001.example.org"),
        reads=True,
    ),
    Command("alerts", "show all alerts", (), ("pybal alerts", "pybal alerts --json"), reads=True),
    Command(
        "history",
        "show the last decisions of a pool, or the transitions and last results of a server",
        (_SERVICE, _OPTIONAL_HOST),
        ("pybal history text_443", "pybal history text_443 cp1001.example.org"),
        reads=True,
    ),
    Command(
        "watch",
        "show pools and alerts until Ctrl-C",
        (
            _argument(
                "--interval",
                metavar="SECONDS",
                type=_interval,
                default=1.0,
                help="seconds between two readings, from 0.2 to 3600; default 1",
            ),
        ),
        ("pybal watch", "pybal watch --url http://lvs2:9090"),
        reads=True,
    ),
    Command(
        "preflight",
        "show whether this balancer may take the traffic now: exit status 0 yes, 2 no, 1 cannot be determined",
        (),
        ("pybal preflight", "pybal preflight --url http://lvs2:9090 && pybal drain all --reason 'new kernel'"),
        reads=True,
    ),
    Command(
        "freeze",
        "suspend changes of IPVS and announcements for a limited time; checks and alerts continue",
        (_for(FREEZE_DEFAULT, "10m", FREEZE_LONGEST), _NEEDED_REASON),
        ("pybal freeze --for 10m --reason 'new switch'",),
    ),
    Command("thaw", "end a freeze and apply the suspended changes", (_REASON,), ("pybal thaw",)),
    Command(
        "drain",
        "raise the MED of a VIP, then withdraw it after bgp-drain-wait",
        (
            _argument("vip", metavar="VIP", help="address of the VIP, name of one of its services, or all"),
            _argument("--keep", action="store_true", help="keep the drain across restarts of the daemon"),
            _NEEDED_REASON,
        ),
        ("pybal drain all --keep --reason 'new kernel'",),
    ),
    Command(
        "undrain",
        "cancel the drain that was started with the same argument",
        (_argument("vip", metavar="VIP", help="argument of the drain; all cancels `drain all` only"), _REASON),
        ("pybal undrain all",),
    ),
    Command(
        "depool",
        "take a server out of its pool for a limited time, on this balancer only",
        (
            _SERVICE,
            _HOST,
            _for(DEPOOL_DEFAULT, "1h", DEPOOL_LONGEST),
            _argument("--force", action="store_true", help="even if fewer servers than the floor would then serve"),
            _NEEDED_REASON,
        ),
        ("pybal depool text_443 cp1001.example.org --for 30m --reason 'new disk'",),
    ),
    Command(
        "repool",
        "end the override of depool; the pool source decides again",
        (_SERVICE, _HOST, _REASON),
        ("pybal repool text_443 cp1001.example.org --reason 'disk replaced'",),
    ),
    Command(
        "accept",
        "take the refused server list of a service, once",
        (_SERVICE, _argument("--reason", metavar="TEXT", required=True, help="reason, for the log")),
        ("pybal accept text_443 --reason 'half of the servers moved to another cluster'",),
    ),
    Command(
        "reload",
        "read the configuration file again and apply only the differences",
        (_argument("--force", action="store_true", help="allow more removals than max-blast-radius"), _REASON),
        ("pybal reload --reason 'ticket 7'",),
    ),
    Command(
        "plan",
        "show the changes of a reload, with the daemon's own configuration file or with FILE",
        (),
        ("pybal plan", "pybal plan -c draft.conf"),
    ),
    Command("diff", "compare the IPVS table with the wanted state", (), ("pybal diff",)),
    Command(
        "check-config",
        "check the configuration file and its pool files, and warn of probable mistakes; needs no daemon",
        (),
        ("pybal check-config", "pybal check-config -c draft.conf"),
    ),
    Command(
        "convert",
        "print a pybal.conf for a keepalived.conf; parts without an equivalent become comments and remarks: exit status"
        " 0 without remarks, 1 with remarks, 2 if the file cannot be read",
        (
            _argument("file", metavar="KEEPALIVED_CONF", help="configuration file of keepalived"),
            _argument("--pools", metavar="DIRECTORY", default="", help="write the pool files into this directory"),
            _argument("--force", action="store_true", help="replace existing pool files"),
        ),
        (
            "pybal convert /etc/keepalived/keepalived.conf > draft.conf",
            "pybal convert keepalived.conf --pools /etc/pybal/pools > draft.conf && pybal check-config -c draft.conf",
        ),
    ),
    Command(
        "replay",
        "make every decision of a journal again: exit status 2 if one differs from the record, 1 failed; needs no daemon",
        (
            _argument(
                "journal",
                metavar="JOURNAL",
                nargs="?",
                default=DEFAULT_JOURNAL,
                help=f"directory of the journal, or one segment of it (default {DEFAULT_JOURNAL})",
            ),
            _argument(
                "--at",
                action=_Once,
                nargs=2,
                metavar=("TIME", "SERVICE"),
                help="explain the pool of a service at this time, with its alerts and the last events before it; a time of day such as 03:00:00Z"
                " will do if the journal has it on one day",
            ),
            _argument(
                "--events",
                action="append",
                metavar="SERVICE",
                default=[],
                help="list all events and alerts of a service with their decisions; may be repeated; with --json one object in each line",
            ),
            _argument(
                "--set",
                action="append",
                metavar="SERVICE.OPTION=VALUE",
                default=[],
                help="compare with the decisions of another value of an option; may be repeated; global.OPTION for [global]",
            ),
            _argument(
                "--conf",
                action=_Once,
                metavar="FILE",
                default="",
                help="compare with the decisions of another configuration file; options of --set take precedence",
            ),
            _argument(
                "--mask",
                action=_Once,
                metavar="FILE",
                default="",
                help="write a copy of the journal in which all names, addresses and texts of operators are replaced",
            ),
        ),
        (
            "pybal replay",
            "pybal replay --events text_443",
            "pybal replay --at 2026-11-30T03:00:00Z text_443",
            "pybal replay --at 03:00:00Z text_443",
            "pybal replay --set text_443.depool-threshold=0.7 --set text_443.suspect-check=hold",
            "pybal replay --mask journal.jsonl",
        ),
    ),
    Command(
        "doctor",
        "check the host against the configuration, and show how to fix each problem",
        (),
        ("pybal doctor",),
    ),
)


USAGE_STATUS = 2
"""The exit status of the daemon after a usage error, which a restart does not cure."""
_FILE_HELP = f"configuration file (default {DEFAULT_FILE})"


class _Parser(argparse.ArgumentParser):
    """A parser that exits with ``status`` after a usage error."""

    def __init__(self, *, status: int, **given: Any) -> None:  # noqa: ANN401
        self._status = status
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **given)

    @override
    def error(self, message: str) -> NoReturn:
        if self._status == UNKNOWN:
            print(f"UNKNOWN - invalid command line: {message} (see pybal status --help)")
        else:
            self.print_usage(sys.stderr)
            print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        self.exit(self._status)


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line; ``command`` is empty for the daemon. Exits after a usage error.

    ``named`` is true if the command line names a configuration file; otherwise ``config`` is the default file.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(_usage_status(given)).parse_args(given)
    options.named = bool(options.config)
    options.config = options.config or DEFAULT_FILE
    return options


def _usage_status(arguments: Sequence[str]) -> int:
    """Return the exit status after a usage error; exit status 2 of a command means a difference."""
    if "--check" in arguments:
        return UNKNOWN
    if "convert" in arguments:
        return USAGE_STATUS
    return FAILED if any(command.name in arguments for command in COMMANDS) else USAGE_STATUS


def _parser(status: int) -> argparse.ArgumentParser:
    parser = _Parser(
        status=status,
        prog="pybal",
        description="Health checks and pooling for Linux Virtual Server.",
        epilog="`pybal COMMAND --help` describes a command, with examples. Manual pages: pybal(8), pybal.conf(5).",
    )
    parser.add_argument("-c", dest="config", metavar="FILE", default="", help=_FILE_HELP)
    for each in DAEMON_OPTIONS:
        parser.add_argument(*each.names, **each.given)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    added = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        title="commands; without a command pybal runs as the daemon",
        parser_class=partial(_Parser, status=status),  # type: ignore[call-overload]  # any callable will do
    )
    for command in COMMANDS:
        _add(added, command)
    parser.set_defaults(command="")
    return parser


def _add(added: Any, command: Command) -> None:  # noqa: ANN401  # a private class of argparse
    examples = "\n".join(f"  {example}" for example in command.examples)
    parser = added.add_parser(
        command.name,
        help=command.help,
        description=f"{command.help[0].upper()}{command.help[1:]}.",
        epilog=f"examples:\n{examples}",
    )
    for each in (*command.arguments, *common(command)):
        parser.add_argument(*each.names, **each.given)


def reads(name: str) -> bool:
    """Return whether a command only reads the state of the daemon."""
    return any(command.name == name and command.reads for command in COMMANDS)


def common(command: Command) -> Iterator[Argument]:
    """Yield the options that a command shares with others."""
    yield _argument("-c", dest="config", metavar="FILE", default=argparse.SUPPRESS, help=_FILE_HELP)
    yield _argument("--socket", metavar="PATH", default="", help="control socket of the daemon")
    if command.reads:
        yield _argument("--url", metavar="URL", default="", help="read over HTTP instead: http://HOST:9090")
    yield _argument("--json", action="store_true", help="print JSON")


class _Version(argparse.Action):
    """Prints the version."""

    @override
    def __call__(self, parser: argparse.ArgumentParser, *_arguments: object) -> NoReturn:
        print(f"pybal {__version__}")
        parser.exit()
