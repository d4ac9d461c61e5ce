"""check_pybal_ipvs_diff, from the contract: compares ``/pools`` and pybal.conf with the kernel."""

from __future__ import annotations

import re
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

from tests.harness.tools.http_get import http_get
from tests.harness.tools.nagios import CRITICAL, OK, UNKNOWN, WARNING, Verdict

_DESTINATION = re.compile(r"-a -[tu] (\S+) -r \[?([^\]\s]+?)\]?:\d+ ")


class UnexpectedStatusError(Exception):
    """A response with a status other than 200."""


def check_pybal_ipvs_diff(
    url: str, conf: Path, table: str, name_of: Callable[[str], str], timeout: float = 10.0
) -> Verdict:
    """Compare services and hosts.

    ``table`` is the output of ``ipvsadm -Sn``, ``name_of`` a reverse lookup. Services without destinations do not count as present. An unexpected exception ends the tool with 1.
    """
    try:
        return _compare(url, conf, table, name_of, timeout)
    except UnexpectedStatusError as error:
        return Verdict(UNKNOWN, f"UNKNOWN: {error}")
    except Exception as error:  # noqa: BLE001  # Python ends with 1 after any
        return Verdict(WARNING, f"Traceback: {error!r}")


def _compare(url: str, conf: Path, table: str, name_of: Callable[[str], str], timeout: float) -> Verdict:
    pooled = {host for pool in _lines(f"{url}/pools", timeout) for host in _pooled(f"{url}/pools/{pool}", timeout)}
    destinations = _DESTINATION.findall(table)
    differences = {
        "services only in pybal.conf": _configured(conf)
        - {re.sub(r"[\[\]]", "", service) for service, _ in destinations},
        "services only in IPVS": {re.sub(r"[\[\]]", "", service) for service, _ in destinations} - _configured(conf),
        "hosts only in PyBal": pooled - {name_of(address) for _, address in destinations},
        "hosts only in IPVS": {name_of(address) for _, address in destinations} - pooled,
    }
    found = [f"{what}: {', '.join(sorted(names))}" for what, names in differences.items() if names]
    return Verdict(CRITICAL, f"CRITICAL: {'; '.join(found)}") if found else Verdict(OK, "OK: no difference")


def _lines(url: str, timeout: float) -> list[str]:
    response = http_get(url, timeout, {"User-Agent": "Python-urllib/2.7"})
    if response.status != 200:
        raise UnexpectedStatusError(f"{response.status} from {url}")
    return response.body.splitlines()


def _pooled(url: str, timeout: float) -> list[str]:
    return [line.partition(":")[0] for line in _lines(url, timeout) if line.endswith("/pooled")]


def _configured(conf: Path) -> set[str]:
    parser = ConfigParser(strict=False, inline_comment_prefixes=(";",))
    parser.read(conf)
    sections = [name for name in parser.sections() if name != "global"]
    return {f"{parser.get(name, 'ip')}:{parser.get(name, 'port')}" for name in sections}
