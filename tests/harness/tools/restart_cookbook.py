"""The restart cookbook, from the contract: waits for BGP after a restart of the daemon."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tests.harness.tools.http_get import UNREACHABLE, Response, http_get

_SESSION = re.compile(r'^pybal_bgp_session_established\{local_asn="(\d+)",peer="(.+?)"\} (.+)$')


def wait_for_bgp(
    url: str, *, tries: int = 10, delay: float = 10.0, backoff: float = 2.0
) -> Mapping[str, Sequence[bool]]:
    """Return the sessions by local ASN once each ASN has an established one.

    Raises TimeoutError or UNREACHABLE.

    An ASN without a session is no error for the tool: a balancer that lists none passes.
    """
    for _ in range(tries):
        sessions = established(_get(f"{url}/metrics", backoff).body)
        if all(any(states) for states in sessions.values()):
            return sessions
        time.sleep(delay)
    raise TimeoutError(f"no session established: {sessions}")


def established(metrics: str) -> Mapping[str, Sequence[bool]]:
    """Return whether the session of each peer is established, by local ASN."""
    found: dict[str, list[bool]] = defaultdict(list)
    for line in metrics.splitlines():
        if match := _SESSION.match(line):
            asn, _, value = match.groups()
            found[asn].append(value == "1.0")
    return found


def _get(url: str, backoff: float) -> Response:
    """Request with a timeout of 2 s; repeat it twice, immediately and after two units of ``backoff``."""
    for pause in (0.0, 2 * backoff):
        try:
            response = http_get(url, 2.0, {"User-Agent": "pywmflib/PybalRestart"})
        except UNREACHABLE:
            time.sleep(pause)
        else:
            if response.status not in {429, 500, 502, 503, 504}:
                return response
    return http_get(url, 2.0, {"User-Agent": "pywmflib/PybalRestart"})
