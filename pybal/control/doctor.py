"""The command ``doctor``: looks at the host itself, with a daemon or without one, and says what to mend."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pybal.config.errors import ConfigError
from pybal.config.parse import parse
from pybal.control.client import NoAnswerError, ask
from pybal.control.wire import DIFFERENT, DONE, FAILED, Request
from pybal.doctor.facts import gather
from pybal.doctor.finding import document, report, to_mend
from pybal.doctor.rules import SYSCTLS, judge, modules
from pybal.monitors.kinds import KINDS


def doctor(options: argparse.Namespace, socket: Path, fail: Callable[[str], int]) -> int:
    """Look at the host, with the eyes of the daemon if there is one; return the exit status."""
    try:
        settings = parse(Path(options.config).read_bytes(), options.config, KINDS).settings
    except ConfigError as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{options.config}: {error.strerror}")
    process, monitors, who = _daemon(socket)
    findings = judge(gather(modules(settings), SYSCTLS, process=process), settings, monitors)
    if options.json:
        print(json.dumps({"process": process, "findings": document(findings)}, indent=1))
    else:
        print(f"{who}\n{report(findings)}", end="")
    return DIFFERENT if to_mend(findings) else DONE


def _daemon(socket: Path) -> tuple[int | None, int | None, str]:
    """Return the daemon's process and how many monitors it runs, if it is there, and who is looked at."""
    try:
        answer = ask(socket, Request("status"))
    except NoAnswerError as error:
        return None, None, f"looks at this process in place of a daemon: {error}"
    if answer.exit == FAILED:
        return None, None, f"looks at this process in place of the daemon: {answer.text}"
    said: dict[str, Any] = answer.document
    return said["process"], said["monitors"], f"looks at the daemon, process {said['process']}"
