"""The command ``watch``: a table of all pools and alerts that is renewed until Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping

from pybal.client import views
from pybal.client.reader import Reader
from pybal.client.socket import NoReplyError
from pybal.client.terminal import Terminal

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The alternate screen without a cursor, and back."""
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def watch(reader: Reader, interval: float, environ: Mapping[str, str], *, as_json: bool) -> int:
    """Show pools and alerts every ``interval`` seconds until Ctrl-C; return the exit status.

    A terminal is redrawn; a file or pipe receives one table after the other. JSON is one line for each reading.
    """
    redrawn = not as_json and Terminal(sys.stdout, environ).is_terminal
    if redrawn:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves the alternate screen
        sys.stdout.write(_ENTER)
    try:
        while True:
            if as_json:
                print(json.dumps(_document(reader)), flush=True)
                time.sleep(interval)
                continue
            terminal = Terminal(sys.stdout, environ)  # its size may change
            _show(list(_lines(reader, terminal, interval)), terminal)
            time.sleep(interval)
    except KeyboardInterrupt:
        return 0
    finally:
        if redrawn:
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()


def _document(reader: Reader) -> dict[str, object]:
    try:
        return {"pools": reader.document("/v1/pools"), "alerts": reader.document("/v1/alerts")}
    except NoReplyError as error:
        return {"error": str(error)}


def _lines(reader: Reader, terminal: Terminal, interval: float) -> Iterator[str]:
    yield f"pybal at {time.strftime('%Y-%m-%d %H:%M:%S')}, every {interval:g} s, until Ctrl-C"
    yield ""
    try:
        pools, alerts = reader.document("/v1/pools"), reader.document("/v1/alerts/groups")
    except NoReplyError as error:
        yield from terminal.lines(f"CRITICAL {error}; trying again")
        return
    yield from views.pools(pools, terminal, alerts)
    yield ""
    yield from views.alerts(alerts, terminal)


def _show(lines: list[str], terminal: Terminal) -> None:
    if terminal.is_terminal:
        if len(lines) > terminal.height - 1:
            left = len(lines) - terminal.height + 2
            lines[terminal.height - 2 :] = [f"{left} more lines (make the window larger, or use pybal status)"]
        text = _HOME + "".join(f"{line}{_CLEAR_LINE}\n" for line in lines) + _CLEAR_BELOW
    else:
        text = "".join(f"{line}\n" for line in (*lines, ""))
    sys.stdout.write(text)
    sys.stdout.flush()
