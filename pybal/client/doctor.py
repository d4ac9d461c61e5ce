"""The command ``doctor``: checks the host, with or without a running daemon."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pybal.client.socket import NoReplyError, send_request
from pybal.config.errors import ConfigError
from pybal.config.parse import parse
from pybal.control.wire import DIFFERENT, DONE, FAILED, Request
from pybal.doctor import exposure
from pybal.doctor.access import gather_access
from pybal.doctor.facts import gather
from pybal.doctor.finding import document, report, to_mend
from pybal.doctor.rules import SYSCTLS, evaluate, modules
from pybal.monitors.kinds import KINDS


def doctor(options: argparse.Namespace, socket: Path, fail: Callable[[str], int]) -> int:
    """Check the host, and the process of the daemon if it runs; return the exit status."""
    try:
        parsed = parse(Path(options.config).read_bytes(), options.config, KINDS)
    except ConfigError as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{options.config}: {error.strerror}")
    settings, sensitive = parsed.settings, parsed.sensitive
    process, monitors, subject = _daemon(socket)
    access = gather_access(sensitive, settings, process=process)
    findings = (
        *evaluate(gather(modules(settings), SYSCTLS, process=process), settings, monitors),
        *exposure.findings(sensitive, settings, access),
    )
    if options.json:
        print(json.dumps({"process": process, "findings": document(findings)}, indent=1))
    else:
        print(f"{subject}\n{report(findings)}", end="")
    return DIFFERENT if to_mend(findings) else DONE


def _daemon(socket: Path) -> tuple[int | None, int | None, str]:
    """Return the daemon's process and number of monitors, if it runs, and a line that names the process."""
    try:
        reply = send_request(socket, Request("status"))
    except NoReplyError as error:
        return None, None, f"checked this process instead of a daemon: {error}"
    if reply.exit == FAILED:
        return None, None, f"checked this process instead of the daemon: {reply.text}"
    status: dict[str, Any] = reply.document
    return status["process"], status["monitors"], f"checked the daemon, process {status['process']}"
