"""check_pybal, from the contract: the check of ``/alerts``."""

from __future__ import annotations

import re

from tests.harness.tools.http_get import UNREACHABLE, http_get
from tests.harness.tools.nagios import CRITICAL, OK, WARNING, Verdict

TIMEOUT = 10.0


def check_pybal(url: str, timeout: float = TIMEOUT) -> Verdict:
    """Read ``url``/alerts as text; the first word decides, and no response is critical."""
    try:
        response = http_get(f"{url}/alerts", timeout, {"User-Agent": "libwww-perl/6.67"})
    except UNREACHABLE as error:
        return Verdict(CRITICAL, f"PYBAL CRITICAL - no response: {error}")
    if not response.ok:
        return Verdict(CRITICAL, f"PYBAL CRITICAL - status {response.status}")
    for code, word in ((OK, "OK"), (WARNING, "WARNING")):
        if re.match(word, response.body):
            return Verdict(code, f"PYBAL {word} - {response.body}")
    return Verdict(CRITICAL, f"PYBAL CRITICAL - {response.body}")
