"""A copy of a journal without names: each name has one replacement. Pure.

Only known members of known records are copied. The replay of the copy makes the same decisions, because they depend on the equality of
names and not on the names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from pybal.journal.values import DAMAGED, Document

_V4, _V6 = IPv4Address("198.18.0.0"), IPv6Address("2001:db8::")
"""Addresses for benchmarks (RFC 2544) and documentation (RFC 3849)."""
_WORD = re.compile(r"[^\s,;()\[\]]+")
_PLAIN = re.compile(r"[A-Za-z][a-z]*[:.]?|[A-Z]+[:.]?|[0-9]+[:.%]?")
"""Words that no name looks like: letters only, or digits only."""
_HEAD = ("n", "at", "time")


class Mask:
    """Replaces names; the same name always gets the same replacement."""

    def __init__(self) -> None:
        self._hosts: dict[str, str] = {}
        self._services: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self._words: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._drains: list[tuple[str, str]] = []
        """The texts of the present drains, and their replacements."""

    def record(self, record: Document) -> dict[str, Any]:
        """Return a record without names; one of an unknown kind keeps its number and its time only."""
        if "journal" in record:
            known = {name: record[name] for name in ("journal", *_HEAD, "pybal", "run", "lost") if name in record}
            return {**known, "host": "balancer"}
        if "server" in record:
            return self._server(record)
        own = {name: record[name] for name in _HEAD}
        rewrite = self._kinds().get(record.get("event", ""))
        if rewrite is None:
            return {**own, "event": "masked"}
        found = {**own, "event": record["event"], **rewrite(record)}
        if "placed" in record:
            found |= {"pool": record["pool"], "service": self.service(record["service"])}
            found |= {"placed": self._by_host(record["placed"]), "serving": record["serving"]}
        return found

    def host(self, host: str) -> str:
        """Return the replacement of a host."""
        if _is_address(host):
            return self.address(host)
        return self._hosts.setdefault(host, f"server{len(self._hosts) + 1}.example")

    def service(self, name: str) -> str:
        """Return the replacement of the name of a service."""
        return self._services.setdefault(name, f"service{len(self._services) + 1}")

    def address(self, text: str) -> str:
        """Return the replacement of an address, of the same family."""
        base = _V4 if ip_address(text).version == _V4.version else _V6
        return self._addresses.setdefault(text, str(base + len(self._addresses) + 1))

    def words(self, text: str) -> str:
        """Return a reason in which every word that may be a name is replaced."""
        return _WORD.sub(lambda match: self._word(match[0]), text)

    def text(self, text: str) -> str:
        """Return the replacement of a text that a person wrote."""
        return self._texts.setdefault(text, f"text{len(self._texts) + 1}")

    def _word(self, word: str) -> str:
        if _PLAIN.fullmatch(word) and word not in self._hosts and word not in self._services:
            return word
        return self._words.setdefault(word, f"name{len(self._words) + 1}")

    def _kinds(self) -> Mapping[str, Callable[[Document], dict[str, Any]]]:
        return {
            "pool": self._pool,
            "kernel": lambda record: {"held": self._by_address(record["held"])},
            "list": lambda record: {"members": self._by_host(record["members"])},
            "addresses": lambda record: {
                "looked_up": record["looked_up"],
                "found": {self.host(host): where and self.address(where) for host, where in record["found"].items()},
            },
            "reports": lambda record: {"reports": list(map(self._reported, record["reports"]))},
            "tries": lambda record: {"reports": list(map(self._reported, record["reports"]))},
            "overdue": lambda record: {"hosts": list(map(self.host, record["hosts"]))},
            "settings": lambda record: {"settings": self._settings(record["settings"])},
            "end": lambda record: {"pool": record["pool"]},
            "bgp": self._bgp,
            "decision": self._decision,
            "alert": self._alert,
            "note": lambda record: {"text": self.text(record["text"])},
            "stop": lambda _record: {},
        }

    def _by_host(self, values: Document) -> dict[str, Any]:
        return {self.host(host): value for host, value in values.items()}

    def _by_address(self, values: Document) -> dict[str, Any]:
        return {self.address(where): value for where, value in values.items()}

    def _by_service(self, values: Document) -> dict[str, Any]:
        return {self.service(name): value for name, value in values.items()}

    def _settings(self, value: Document) -> dict[str, Any]:
        return {**value, "name": self.service(value["name"]), "vip": self.address(value["vip"])}

    def _pool(self, record: Document) -> dict[str, Any]:
        return {
            "pool": record["pool"],
            "service": self.service(record["service"]),
            "settings": self._settings(record["settings"]),
            "listed": record["listed"],
            "held": self._by_address(record["held"]),
            "servers": record["servers"],
        }

    def _server(self, record: Document) -> dict[str, Any]:
        kept = ("member", "unresolvable", "placement", "pending_monitors")
        found = {"server": self.host(record["server"]), **{name: record[name] for name in kept if name in record}}
        if "address" in record:
            found["address"] = self.address(record["address"])
        if "reports" in record:
            found["reports"] = self._reports(record["reports"])
        if "suspect_failures" in record:
            found["suspect_failures"] = [[name, self.words(cause)] for name, cause in record["suspect_failures"]]
        if move := record.get("move"):
            where, reports = self.address(move["address"]), self._reports(move["reports"])
            found["move"] = {"address": where, "since": move["since"], "overdue": move["overdue"], "reports": reports}
        return found

    def _reports(self, reports: Document) -> dict[str, Any]:
        return {monitor: report and self._report(report) for monitor, report in reports.items()}

    def _report(self, report: list[Any]) -> list[Any]:
        at, *rest = report
        return [at, *(self.words(each) if isinstance(each, str) else each for each in rest)]

    def _reported(self, value: list[Any]) -> list[Any]:
        host, monitor, where, *report = value
        return [self.host(host), monitor, where and self.address(where), *self._report(report)]

    def _alert(self, record: Document) -> dict[str, Any]:
        kept = {name: record[name] for name in ("kind", "since", "over") if name in record}
        texts = {name: record[name] and self.text(record[name]) for name in ("subject", "text") if name in record}
        return {**kept, "service": record["service"] and self.service(record["service"]), **texts}

    def _bgp(self, record: Document) -> dict[str, Any]:
        services = [{**each, "service": self.service(each["service"])} for each in record["services"]]
        found = {
            "settings": record["settings"],
            "services": services,
            "advertised": list(map(self.address, record["advertised"])),
        }
        if memory := record.get("memory"):
            vips, past = self._by_address(memory["vips"]), self._by_service(memory["services"])
            found |= {"memory": {"vips": vips, "services": past}}
        return {**found, **self._decision(record)}

    def _decision(self, record: Document) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if "forgotten" in record:
            found["forgotten"] = list(map(self.service, record["forgotten"]))
        if "facts" in record:
            found["facts"] = self._by_service(record["facts"])
        if "drains" in record:
            found["drains"] = list(map(self._drain, record["drains"]))
            self._drains = [
                (f"by {old['by']}: {old['reason']}", f"by {new['by']}: {new['reason']}")
                for old, new in zip(record["drains"], found["drains"], strict=True)
            ]
        if "verdicts" in record:
            found["verdicts"] = list(map(self._verdict, record["verdicts"]))
        if "gone" in record:
            found["gone"] = list(map(self.address, record["gone"]))
        return found

    def _drain(self, drain: Document) -> dict[str, Any]:
        vip = drain["vip"] and self.address(drain["vip"])
        return {**drain, "vip": vip, "by": self.text(drain["by"]), "reason": self.text(drain["reason"])}

    def _verdict(self, verdict: Document) -> dict[str, Any]:
        return {**verdict, "vip": self.address(verdict["vip"]), "detail": self._detail(verdict)}

    def _detail(self, verdict: Document) -> str:
        """Return the detail of a verdict, which has names in a few places (:mod:`pybal.bgp.verdict`)."""
        detail = str(verdict["detail"])
        for old, new in self._drains:
            if detail.endswith(old):
                return detail.removesuffix(old) + new
        if verdict["why"] == "frozen":
            return ", ".join(map(self.service, detail.split(", ")))
        name, colon, rest = detail.partition(": ")
        return f"{self.service(name)}{colon}{rest}" if name in self._services else detail


def masked(records: Iterable[Document]) -> Iterator[Mapping[str, Any]]:
    """Yield the records without names; a damaged one keeps its number and its time only."""
    mask = Mask()
    for record in records:
        try:
            yield mask.record(record)
        except DAMAGED:
            yield {**{name: record[name] for name in _HEAD if name in record}, "event": "masked"}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
