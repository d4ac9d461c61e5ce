"""The checks of a real server as monitors of PyBal. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from pybal.config.errors import InvalidValueError, shown
from pybal.config.keepalived import remarks
from pybal.config.keepalived.syntax import Statement
from pybal.config.option import Kinds, Option, options_of
from pybal.core.model import Address

Note = Callable[[Statement, str], None]
"""Records that a statement is not carried over, and why."""

KEEPALIVED_INTERVAL = "60"
_TIMEOUT = "5"
_LONGEST = 8_000
"""Characters of a value; pybal.conf has longer ones, after the per cent signs are doubled too."""
_RETRIES = {"MISC_CHECK": "0", "DNS_CHECK": "3"}
_RETRY_DELAY = {"HTTP_GET": "3", "SSL_GET": "3"}
INHERITED = frozenset(
    ("delay_loop", "retry", "nb_get_retry", "delay_before_retry", "connect_timeout", "virtualhost", "warmup", "alpha")
)
"""Directives of a virtual server that are defaults of its real servers, and of those for their checks."""

MONITORS: Mapping[str, str] = {
    "HTTP_GET": "ProxyFetch",
    "SSL_GET": "ProxyFetch",
    "TCP_CHECK": "TCPConnect",
    "SMTP_CHECK": "TCPConnect",
    "DNS_CHECK": "DNSQuery",
    "MISC_CHECK": "RunCommand",
    "PING_CHECK": "ICMP",
    "UDP_CHECK": "UDP",
}
"""The monitor for each check that has one."""
WITHOUT_MONITOR: Mapping[str, str] = {
    "BFD_CHECK": "PyBal has no BFD to servers (add IdleConnection, which detects a crash immediately)",
    "FILE_CHECK": "no monitor reads a file (use RunCommand)",
}


@dataclass(frozen=True, slots=True)
class RealServer:
    """The address and port of a real server, and those of its virtual server. A port of 0 is any."""

    address: Address
    port: int
    vip: Address
    service_port: int


@dataclass(slots=True)
class Monitor:
    """A monitor and its options, as they are written in pybal.conf."""

    kind: str
    options: dict[str, str] = field(default_factory=dict)


class CheckConversion:
    """Converts one check; ``defaults`` are the directives it inherits, by name."""

    def __init__(
        self, check: Statement, server: RealServer, defaults: Mapping[str, Statement], kinds: Kinds, note: Note
    ) -> None:
        self._check = check
        self._server = server
        self._note = note
        own = {each.name: each for each in _carried(check, note)}
        self._given = {**defaults, **own}
        self._own = own
        self._used = {*INHERITED, "connect_port", "connect_ip"}
        kind = kinds[MONITORS[check.name]]
        self._prefix = kind.prefix
        self._declared: dict[str, Option] = {each.name: each for each in options_of(kind.settings, kind.prefix)}
        self.monitor = Monitor(kind.name)

    def convert(self) -> Monitor | None:
        """Return the monitor, ``None`` if it lacks a required option."""
        self._periods()
        self._port()
        specific = {
            "HTTP_GET": self._http,
            "SSL_GET": self._http,
            "SMTP_CHECK": self._smtp,
            "DNS_CHECK": self._dns,
            "MISC_CHECK": self._command,
        }
        specific.get(self._check.name, _nothing)()
        for name, statement in self._own.items():
            if name not in self._used | remarks.QUIET:
                self._note(statement, remarks.CHECK.get(name, "no equivalent"))
        required = [name for name, each in self._declared.items() if each.required]
        if missing := [name for name in required if name not in self.monitor.options]:
            self._note(self._check, f"no monitor without {missing[0]} (add {self.monitor.kind} and set it)")
            return None
        return self.monitor

    def _value(self, name: str, default: str = "") -> str:
        self._used.add(name)
        return self._given[name].value if name in self._given else default

    def _set(self, option: str, text: str, statement: Statement | None) -> None:
        """Set an option of the monitor, unless the text is its default; note an invalid text."""
        declared = self._declared[self._prefix + option]
        try:
            value = converted(declared, text)
        except InvalidValueError as error:
            self._note(statement or self._check, f"found {error.found}; {declared.name} takes {error.wanted}")
            return
        if declared.required or value != declared.default:
            self.monitor.options[declared.name] = text.replace("%", "%%")

    def _periods(self) -> None:
        name = self._check.name
        interval = self._value("delay_loop", KEEPALIVED_INTERVAL)
        limit = "misc_timeout" if name == "MISC_CHECK" else "connect_timeout"
        default = interval if name == "MISC_CHECK" else _TIMEOUT
        self._set("timeout", self._value(limit, default), self._given.get(limit))
        self._set("interval", interval, self._given.get("delay_loop"))
        statement = self._given.get("retry") or self._given.get("nb_get_retry")
        retries = statement.value if statement else _RETRIES.get(name, "1")
        if not retries.isascii() or not retries.isdigit() or len(retries) > 3:  # noqa: PLR2004  fall is at most 1000
            self._note(statement or self._check, f"{retries!r} is no number of retries")
            return
        if int(retries):
            self._set("fall", str(int(retries) + 1), statement)
            pause = self._value("delay_before_retry", interval if name == "DNS_CHECK" else _RETRY_DELAY.get(name, "1"))
            if pause != interval:
                self._set("fast-interval", pause, self._given.get("delay_before_retry"))

    def _port(self) -> None:
        server = self._server
        to = self._own.get("connect_ip")
        if to and to.value != str(server.address):
            self._note(to, "a check connects to the server itself")
        port = self._own.get("connect_port")
        wanted = port.value if port else str(server.service_port)
        if wanted == str(server.service_port) or self._check.name in ("MISC_CHECK", "PING_CHECK"):
            return
        if f"{self._prefix}port" in self._declared:
            self._set("port", wanted, port)
        else:
            self._note(port or self._check, f"{self.monitor.kind} checks the port of the service only")

    def _http(self) -> None:
        secure = self._check.name == "SSL_GET"
        pages = [each for each in self._check.statements if each.name == "url"]
        self._used.add("url")
        urls = [url for page in pages if (url := self._url(page, secure=secure))]
        if urls:
            self._set("url", literal(urls), pages[0])
        if len(set(urls)) > 1:
            self._set("check_all", "yes", None)
        version = self._value("http_protocol", "1.0")
        self._set("http-version", version.removesuffix("C"), self._given.get("http_protocol"))
        if secure and (name := self._value("sni_name")):
            self._set("sni", name, self._given["sni_name"])
        source = self._own.get("bindto")
        self._used.add("bindto")
        if source and version_of(source.value) == self._server.vip.version:
            self._set("source", source.value, source)
        elif source:
            self._note(source, "no address of this balancer in the family of the VIP")
        self._statuses(pages)
        self._expression(pages)

    def _url(self, page: Statement, *, secure: bool) -> str:
        """Return the URL of a ``url`` block, empty without a path."""
        given = {each.name: each for each in _carried(page, self._note)}
        for name, statement in given.items():
            known = ("path", "virtualhost", "status_code", "regex", "regex_options")
            if name not in known and name not in remarks.QUIET:
                self._note(statement, remarks.CHECK.get(name, "no equivalent"))
        path = given["path"].value if "path" in given else ""
        if not path.startswith("/"):
            self._note(given.get("path", page), "no path that begins with /")
            return ""
        host = given["virtualhost"].value if "virtualhost" in given else self._value("virtualhost")
        if not host:
            server = self._server
            bare = f"[{server.vip}]" if ":" in str(server.vip) else str(server.vip)
            host = bare if server.service_port == (443 if secure else 80) else f"{bare}:{server.service_port}"
        url = f"{'https' if secure else 'http'}://{host}{path}"
        try:
            converted(self._declared[f"{self._prefix}url"], literal([url]))
        except InvalidValueError as error:
            self._note(page, f"found {error.found}; expected {error.wanted}")
            return ""
        return url

    def _statuses(self, pages: list[Statement]) -> None:
        first = self._common(pages, "status_code", "PyBal expects the same statuses of all URLs")
        words = first.words[1:] if first else ("200-299",)
        self._set("statuses", ", ".join(words), first)

    def _expression(self, pages: list[Statement]) -> None:
        first = self._common(pages, "regex", "PyBal searches the same expression in all bodies")
        options = self._common(pages, "regex_options", "one expression for all URLs")
        ignore_case = options is not None and options.words[1:] == ("caseless",)
        if options and not ignore_case:
            self._note(options, "only caseless has an equivalent")
        if first and " ;" in first.value:
            self._note(first, "a blank and ; would begin a comment")
        elif first:
            self._set("body-regex", f"'{'(?i)' if ignore_case else ''}{first.value}'", first)

    def _common(self, pages: list[Statement], name: str, why: str) -> Statement | None:
        """Return the statement of the first page; note those of other pages that differ."""
        found = [next((each for each in page.statements if each.name == name), None) for page in pages]
        for page, each in zip(pages, found, strict=True):
            if (each and each.words) != (found[0] and found[0].words):
                self._note(each or page, why)
        return found[0] if found else None

    def _smtp(self) -> None:
        self._set("expect", "'220'", None)
        self._note(self._check, "TCPConnect waits for the greeting 220 and sends no HELO")
        self._used.add("helo_name")

    def _dns(self) -> None:
        kind = self._value("type", "SOA")
        if kind not in ("A", "AAAA"):
            self._note(self._given.get("type", self._check), "DNSQuery asks for A or AAAA records")
        if name := self._value("name"):
            self._set("hostnames", literal([name]), self._given["name"])
        self._set("fail-on-nxdomain", "yes", None)

    def _command(self) -> None:
        statement = self._given.get("misc_path")
        path = self._value("misc_path")
        try:
            words = shlex.split(path)
        except ValueError as error:
            self._note(statement or self._check, f"cannot be split into arguments: {error}")
            return
        if statement and words:
            self._set("command", quoted(words[0]), statement)
            self._set("arguments", self._arguments(words[1:]), statement)

    def _arguments(self, words: list[str]) -> str:
        """Return a list of arguments in which the server's address and port are names."""
        server = self._server
        names = {str(server.address): "server.ip"}
        if server.port == server.service_port:
            names[str(server.port)] = "server.port"
        return f"[ {', '.join(names.get(word) or quoted(word) for word in words)} ]"


def monitors(
    server: Statement, facts: RealServer, defaults: Mapping[str, Statement], kinds: Kinds, note: Note
) -> Iterator[Monitor]:
    """Yield the monitors for the checks of a real server; PyBal runs one of each kind."""
    seen = set[str]()
    for check in server.statements:
        if check.name in WITHOUT_MONITOR:
            note(check, WITHOUT_MONITOR[check.name])
        elif check.name in MONITORS and (kind := MONITORS[check.name]) in seen:
            note(check, f"a second check of kind {kind}; a service has one of each kind")
        elif check.name in MONITORS:
            found = CheckConversion(check, facts, defaults, kinds, note).convert()
            if found:
                seen.add(found.kind)
                yield found


def _carried(block: Statement, note: Note) -> Iterator[Statement]:
    """Yield the statements of a block that need no preprocessor; note the others."""
    for each in block.statements:
        if why := each.unexpanded():
            note(each, why)
        elif each.words:
            yield each


def converted(option: Option, text: str) -> Any:  # noqa: ANN401  as the option declares
    """Return the value that a text of pybal.conf has. Raises :class:`InvalidValueError`."""
    if not text.isprintable() or len(text) > _LONGEST:
        raise InvalidValueError(shown(text), f"printable text of at most {_LONGEST} characters")
    return option.convert(text)


def literal(texts: list[str]) -> str:
    """Return a list as pybal.conf has it."""
    return f"[ {', '.join(map(quoted, texts))} ]"


def quoted(text: str) -> str:
    """Return a text in quotes. A semicolon is escaped, because one after a blank would begin a comment."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace(";", "\\x3b")
    return f"'{escaped}'"


def version_of(address: str) -> int:
    """Return the IP version of an address, 0 if it is invalid."""
    try:
        return ip_address(address).version
    except ValueError:
        return 0


def _nothing() -> None:
    pass
