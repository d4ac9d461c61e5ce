"""The manual pages and the bash completion, rendered from the declarations of commands and options.

``make reference`` writes them with :mod:`tests.harness.reference`.
"""

from __future__ import annotations

import inspect
import re
import sys
from argparse import SUPPRESS
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from pybal.client.arguments import COMMANDS, DAEMON_OPTIONS, Argument, Command, common
from pybal.config.option import Option, options_of
from pybal.config.settings import ServiceSettings, Settings
from pybal.monitors.kinds import KINDS

ROOT = Path(__file__).parents[2]
PYBAL_8 = ROOT / "docs" / "man" / "pybal.8"
PYBAL_CONF_5 = ROOT / "docs" / "man" / "pybal.conf.5"
CHECK_PYBAL_8 = ROOT / "docs" / "man" / "check_pybal.8"
PLUGIN = ROOT / "etc" / "icinga" / "check_pybal"
COMPLETION = ROOT / "etc" / "bash-completion" / "pybal"

_NOTE = 'Rendered from the code by "make reference".'

_FILES = {
    "/etc/pybal/pybal.conf": "the configuration",
    "/run/pybal/control.sock": "the control socket of commands",
    "/var/lib/pybal": "last good server lists, drains and overrides that a restart keeps",
}
_SYNTAX = (
    (
        "The file has a section [global] and a section for each service. An option is written name = value, or name: value, from the first"
        " column; an indented line continues the value before it. A comment begins with # or ; in the first column, or with a blank and ;"
        " behind a value. A per cent sign is written %%. Lists are written as in Python: [ 'ProxyFetch', 'IdleConnection' ]."
    ),
    "pybal check-config checks a file, its pool files included.",
)
_PLUGIN = (
    (
        "The first line has the state and its reasons; up to 40 further lines have the details. Each mode reads one endpoint, so it also"
        " runs on another host if instrumentation_ips includes an address that this host can reach. No privilege is needed."
    ),
    (
        "The state is UNKNOWN if a conclusion is impossible: a refused connection, a hung daemon, an HTTP status other than 200, an incomplete,"
        " invalid or too large response, an audit of IPVS that is overdue."
    ),
)
_PLUGIN_EXAMPLES = (
    "check_pybal --alerts --host lvs1.example.org",
    "check_pybal --compat --url http://127.0.0.1:9090/alerts",
    "check_pybal --bgp --warning 2: --critical 1:",
    "check_pybal --sources --warning 300 --critical 3600",
)
_EXAMPLE = """\
[global]
instrumentation = yes

[text_80]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = mh
config = file:///etc/pybal/pools/text
monitors = [ 'ProxyFetch' ]
proxyfetch.url = http://www.example.org/health"""


def rendered() -> Mapping[Path, str]:
    """Return the text of each file."""
    return {
        PYBAL_8: "".join(f"{line}\n" for line in _pybal_8()),
        PYBAL_CONF_5: "".join(f"{line}\n" for line in _pybal_conf_5()),
        CHECK_PYBAL_8: "".join(f"{line}\n" for line in _check_pybal_8()),
        COMPLETION: completion(),
    }


def _pybal_8() -> Iterator[str]:
    yield from _title("PYBAL", 8)
    yield from _section("NAME", r"pybal \- health checks and pooling for Linux Virtual Server")
    yield from _section("SYNOPSIS", r"\fBpybal\fR [\fB\-c\fR \fIFILE\fR] [\fB\-n\fR] [\fB\-d\fR]", ".br")
    yield r"\fBpybal\fR \fICOMMAND\fR [\fIARGUMENT\fR ...]"
    yield from _section(
        "DESCRIPTION",
        _roff(
            "Without a command, pybal runs as the daemon: it checks the servers of each service, decides which of them take traffic,"
            " writes the IPVS table of the kernel, and announces the VIPs by BGP. With a command it reads or changes the state of the"
            " running daemon over its control socket; commands that only read also work over HTTP."
        ),
    )
    yield ".SH OPTIONS OF THE DAEMON"
    yield from _arguments(
        (
            Argument(("-c",), {"metavar": "FILE", "help": "configuration file (default /etc/pybal/pybal.conf)"}),
            *DAEMON_OPTIONS,
        )
    )
    yield ".SH COMMANDS"
    for command in COMMANDS:
        yield f".SS {_roff(_usage(command))}"
        yield _roff(f"{command.help[0].upper()}{command.help[1:]}.")
        yield from _arguments(command.arguments)
        yield ".PP"
        yield "Examples:"
        yield from _verbatim(command.examples)
    yield ".SH OPTIONS OF ALL COMMANDS"
    yield from _arguments(common(COMMANDS[0]))
    yield from _section(
        "EXIT STATUS",
        _roff(
            "The daemon: 0 after an orderly stop, 1 after a failure whose cause may pass, 2 for an invalid command line or"
            " configuration. Commands: 0 done, or no difference; 1 failed; 2 a difference, a finding or a no. status --check: 0 OK,"
            " 1 warning, 2 critical, 3 unknown. convert: 0 without remarks, 1 with remarks, 2 failed."
        ),
    )
    yield ".SH FILES"
    yield from _definitions((f"\\fI{_roff(path)}\\fR", meaning) for path, meaning in _FILES.items())
    yield from _section(
        "ENVIRONMENT",
        _roff("NO_COLOR: no colours on a terminal. STATE_DIRECTORY and RUNTIME_DIRECTORY are set by systemd."),
    )
    yield from _section("SEE ALSO", r"\fBpybal.conf\fR(5), \fBipvsadm\fR(8)")


def _pybal_conf_5() -> Iterator[str]:
    yield from _title("PYBAL.CONF", 5)
    yield from _section("NAME", r"pybal.conf \- configuration of pybal")
    yield ".SH DESCRIPTION"
    for paragraph in _SYNTAX:
        yield ".PP"
        yield _roff(paragraph)
    yield ".SH OPTIONS OF [global]"
    yield from _options(options_of(Settings))
    yield ".SH OPTIONS OF A SERVICE"
    yield from _options(options_of(ServiceSettings))
    for kind in KINDS.values():
        yield f".SH MONITOR {_roff(kind.name)}"
        yield _roff((inspect.getdoc(kind.settings) or "").partition("\n")[0])
        yield from _options(options_of(kind.settings, kind.prefix))
    yield ".SH EXAMPLE"
    yield from _verbatim(_EXAMPLE.split("\n"))
    yield from _section("SEE ALSO", r"\fBpybal\fR(8)")


def _check_pybal_8() -> Iterator[str]:
    parser = plugin().parser()
    yield from _title("CHECK_PYBAL", 8)
    yield from _section("NAME", r"check_pybal \- check of PyBal for Nagios and Icinga")
    yield from _section("SYNOPSIS", r"\fBcheck_pybal\fR [\fIMODE\fR] [\fIOPTION\fR ...]")
    yield from _section("DESCRIPTION", _roff(parser.description))
    yield from map(_roff, _PLUGIN)
    yield ".SH OPTIONS"
    yield from _arguments(
        Argument(tuple(action.option_strings), {"metavar": action.metavar or "", "help": action.help})
        for action in parser._actions  # noqa: SLF001  # argparse has no other list of them
        if action.help != SUPPRESS
    )
    yield ".SH LIMITS"
    yield from _verbatim(parser.epilog.splitlines())
    yield ".SH EXAMPLES"
    yield from _verbatim(_PLUGIN_EXAMPLES)
    yield from _section("SEE ALSO", r"\fBpybal\fR(8)")


def plugin() -> ModuleType:
    """Return the shipped plugin check_pybal as a module."""
    loader = SourceFileLoader("check_pybal", str(PLUGIN))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    # Its dataclasses look for their module there.
    sys.modules[loader.name] = module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def _title(name: str, section: int) -> Iterator[str]:
    yield f'.\\" {_NOTE}'
    yield f'.TH {name} {section} "" "PyBal" "PyBal"'


def _section(title: str, *lines: str) -> Iterator[str]:
    yield f".SH {title}"
    yield from lines


def _usage(command: Command) -> str:
    words = [command.name]
    for each in command.arguments:
        word = each.names[0] if each.names[0].startswith("-") else ""
        metavar = _metavar(each)
        text = f"{word} {metavar}".strip()
        optional = each.given.get("nargs") == "?" or (word and not each.given.get("required"))
        words.append(f"[{text}]" if optional else text)
    return " ".join(words)


def _arguments(arguments: Iterable[Argument]) -> Iterator[str]:
    def terms() -> Iterator[tuple[str, str]]:
        for each in arguments:
            metavar = _metavar(each)
            names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in each.names if name.startswith("-"))
            term = f"{names} \\fI{metavar}\\fR".strip() if metavar else names
            yield term, f"{each.given['help']}"

    yield from _definitions(terms())


def _metavar(argument: Argument) -> str:
    """Return the placeholders of the values of an argument."""
    metavar = argument.given.get("metavar", "")
    return metavar if isinstance(metavar, str) else " ".join(metavar)


def _options(options: Iterable[Option]) -> Iterator[str]:
    def terms() -> Iterator[tuple[str, str]]:
        for found in options:
            names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in (found.name, *found.aliases))
            restart = "; a change needs a restart" if found.restart else ""
            text = f"{found.help[0].upper()}{found.help[1:]}{restart}.".replace("%%", "%")
            yield names, f"{text} {_default(found)}"

    yield from _definitions(terms())


def _default(found: Option) -> str:
    if found.required:
        return "Required."
    if found.same_as:
        return f"Default: as {found.same_as.replace('_', '-')}."
    if found.default_text:
        return f"Default: {found.default_text}."
    from tests.harness.reference import default_text  # noqa: PLC0415  # it imports this module

    return f"Default: {default_text(found, {})}."


def _definitions(terms: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, meaning in terms:
        yield ".TP"
        yield term
        yield _roff(meaning)


def _verbatim(lines: Iterable[str]) -> Iterator[str]:
    yield from (".PP", ".nf", ".RS")
    yield from map(_roff, lines)
    yield from (".RE", ".fi")


def _roff(text: str) -> str:
    """Return a text for roff: no character of it is a command."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", text)


def completion() -> str:
    """Return the bash completion."""
    options = {command.name: " ".join(_names((*command.arguments, *common(command)))) for command in COMMANDS}
    # Without the extended patterns of bash, which a script must switch on.
    services, vips, hosts = (
        "|".join(f"{place}:{command.name}" for command in COMMANDS if _takes(command, name))
        for place, name in ((1, "service"), (1, "vip"), (2, "host"))
    )
    valued = "|".join(dict.fromkeys(_valued()))
    cases = "\n".join(f"        {name}) options='{names}' ;;" for name, names in options.items())
    return f"""\
# Completion of pybal in bash. {_NOTE}

_pybal() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} options='' names='' name i
    local -a words=() where=()
    COMPREPLY=()
    case $previous in
        -c|--socket) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        {valued}) return ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            -c|--socket|--url) where+=("${{COMP_WORDS[i]}}" "${{COMP_WORDS[i + 1]}}"); ((i++)) ;;
            {valued}) ((i++)) ;;
            -*) ;;
            *) words+=("${{COMP_WORDS[i]}}") ;;
        esac
    done
    case ${{words[0]-}} in
        '') options='{" ".join(options)} {" ".join(_names(DAEMON_OPTIONS))} -c --version --help' ;;
{cases}
    esac
    if [[ $current != -* ]]; then
        case ${{#words[@]}}:${{words[0]-}} in
            0:*) names=$options ;;
            {services}) names=$(pybal pools "${{where[@]}}" 2>/dev/null | awk 'NR > 1 {{ print $1 }}') ;;
            {vips}) names="all $(pybal pools "${{where[@]}}" 2>/dev/null | awk 'NR > 1 {{ print $1 }}')" ;;
            {hosts}) names=$(pybal pools "${{words[1]}}" "${{where[@]}}" 2>/dev/null | awk 'NR > 4 {{ print $1 }}') ;;
        esac
    else
        names=$options
    fi
    # Not by compgen -W, which executes what it finds in names: with --url they come from another host.
    while read -r name; do
        if [[ -n $name && $name == "$current"* ]]; then COMPREPLY+=("$(printf %q "$name")"); fi
    done <<< "${{names// /$'\\n'}}"
}}

complete -F _pybal pybal
"""


def _takes(command: Command, name: str) -> bool:
    return any(each.names == (name,) for each in command.arguments)


def _names(arguments: Iterable[Argument]) -> Iterator[str]:
    for each in arguments:
        yield from (name for name in each.names if name.startswith("-"))


def _valued() -> Iterator[str]:
    """Yield the options of commands that take a value, apart from files."""
    for command in COMMANDS:
        for each in (*command.arguments, *common(command)):
            if each.names[0].startswith("--") and "metavar" in each.given and each.names != ("--socket",):
                yield each.names[0]
