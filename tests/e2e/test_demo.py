"""The demo (etc/demo, ``make demo``): on a fresh clone, on a terminal, and beside other programs."""

from __future__ import annotations

import contextlib
import http.server
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import PATIENCE, wait_for

ROOT = Path(__file__).parents[2]
DEMO = (sys.executable, str(ROOT / "etc" / "demo" / "demo.py"))
NOBODY = 65534
PYTHONS = ("/usr/bin/python3", sys.executable)
"""Interpreters for a new virtual environment; an unprivileged user may be unable to read the second."""
LINES = [
    r"PyBal demo: a service, web, with three web servers on this machine\. .*",
    r"1\. Starting three web servers on port [0-9]+ of 127\.0\.0\.11, 127\.0\.0\.12 and 127\.0\.0\.13\.",
    r"2\. Starting PyBal with the configuration (/\S+)/pybal\.conf and the log \1/log\.",
    r"   After [0-9.]+ s all three have passed their checks and are pooled: they would receive traffic\.",
    r"   \$ pybal pools web",
    r"   web      tcp 192\.0\.2\.1:[0-9]+  3 of 3   3       0       2      ok",
    r"   127\.0\.0\.13  127\.0\.0\.13  20      pooled     up",
    r"While the demo runs, these commands work in another terminal:",
    r"Status page: http://127\.0\.0\.1:[0-9]+/ \(also: .*\)",
    r"3\. Stopping the web server 127\.0\.0\.12\.",
    r"   After [0-9.]+ s PyBal has depooled it: new connections go to the other two\.",
    r"   web .* 2 of 3   2       0       2      1 down",
    r"   127\.0\.0\.12  127\.0\.0\.12  10      not pooled  down; .*(?:refused|reset).*",
    r"4\. Starting 127\.0\.0\.12 again\.",
    r"   After [0-9.]+ s it has passed its checks and is pooled again\.",
    r"5\. Stopping two of three web servers: 127\.0\.0\.12, then 127\.0\.0\.13\.",
    r"   127\.0\.0\.12 is depooled\. 127\.0\.0\.13 is down too but stays pooled, it is forced: the option",
    r"   web .* 1 of 3   2       1       2      2 down, 1 forced",
    r"   127\.0\.0\.13  127\.0\.0\.13  20      forced      down, but needed to reach the floor; .*",
    r"   CRITICAL web pooled-down: 1 of 3 servers down but pooled: 127\.0\.0\.13 .*",
    r"6\. Starting 127\.0\.0\.12 and 127\.0\.0\.13 again\.",
    r"   After [0-9.]+ s all three are up and pooled, no server is forced, and the alert has ended\.",
]
END = "End of the demo. On a terminal it keeps running until Ctrl-C."


def assert_shown(output: str) -> None:
    """Assert that the output has the lines of the demo, in their order."""
    lines = iter(output.splitlines())
    for wanted in LINES:
        assert any(re.fullmatch(wanted, line) for line in lines), f"no line {wanted!r}, or too early, in:\n{output}"


def directory_of(output: str) -> str:
    found = re.search(r"(/\S+)/pybal\.conf and the log", output)
    assert found, output
    return found[1]


def processes_of(directory: str) -> list[str]:
    """Return the command lines of the processes that use a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if directory in command and process.parent.name != str(os.getpid()):
                found.append(command)
    return found


class Terminal:
    """The demo on its own terminal, with what it has printed so far."""

    def __init__(self) -> None:
        self.output = ""
        self.pid, self._terminal = pty.fork()
        if not self.pid:
            os.execv(DEMO[0], DEMO)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the end of the program
            while piece := os.read(self._terminal, 4096):
                self.output += piece.decode().replace("\r\n", "\n")

    def wait_for(self, text: str) -> None:
        wait_for(lambda: text in self.output, lambda: f"{text!r} in:\n{self.output}")

    def press_ctrl_c(self) -> int:
        """Press Ctrl-C and return the exit status of the demo."""
        os.write(self._terminal, b"\x03")
        return self.end()

    def end(self) -> int:
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._reader.join()
        os.close(self._terminal)
        self.pid = 0
        return status


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    found = Terminal()
    yield found
    if found.pid:
        os.kill(found.pid, signal.SIGTERM)
        found.end()


def test_demo_on_a_terminal_runs_its_commands_until_ctrl_c(terminal: Terminal) -> None:
    terminal.wait_for("Press Ctrl-C to stop.")
    assert_shown(terminal.output)
    directory = directory_of(terminal.output)
    commands = re.findall(rf"^      (/.* -c {directory}/pybal\.conf)$", terminal.output, re.MULTILINE)
    words = [command.split(" ")[1] for command in commands]
    assert words == ["status", "pools", "explain", "history", "depool", "repool", "watch"]
    expected = ["1 service", "127.0.0.13", "is pooled", "127.0.0.12 depooled", "127.0.0.11", "127.0.0.11", "SERVICE"]
    for command, text in zip(commands, expected, strict=True):
        limit = "timeout --signal=INT 3 " if "watch" in command else ""
        done = subprocess.run(f"{limit}{command}", shell=True, capture_output=True, text=True, check=False)
        assert done.returncode == (124 if limit else 0), f"{command}: {done.stdout}{done.stderr}"
        assert text in done.stdout, command
    for url in re.findall(r"http://[0-9.:]+/\w*", terminal.output):
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            assert response.status == 200
    assert terminal.press_ctrl_c() == 0
    assert terminal.output.endswith("Stopped. PyBal and the web servers have ended.\n")
    assert processes_of(directory) == []
    assert not Path(directory).exists()


@pytest.mark.parametrize("moment", ["2. Starting PyBal", "3. Stopping"])
def test_demo_leaves_nothing_behind_at_an_early_ctrl_c(terminal: Terminal, moment: str) -> None:
    terminal.wait_for(moment)
    terminal.wait_for("/log.")
    directory = directory_of(terminal.output)
    assert terminal.press_ctrl_c() == 0
    assert terminal.output.endswith("Stopped. PyBal and the web servers have ended.\n")
    assert processes_of(directory) == []
    assert not Path(directory).exists()


class Impostor(http.server.BaseHTTPRequestHandler):
    """Responds like a PyBal with three healthy servers."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"127.0.0.11:\tenabled/up/pooled\n" * 3)


def test_demos_run_side_by_side_and_beside_another_daemon() -> None:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # Another program holds the port already.
            other = stack.enter_context(http.server.HTTPServer(("127.0.0.1", 9090), Impostor))
            thread = threading.Thread(target=other.serve_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(other.shutdown)
        demos = [
            stack.enter_context(
                subprocess.Popen(
                    DEMO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                )
            )
            for _ in range(2)
        ]
        outputs = [demo.communicate(timeout=2 * PATIENCE)[0] for demo in demos]
    for demo, output in zip(demos, outputs, strict=True):
        assert demo.returncode == 0, output
        assert_shown(output)
        assert output.endswith(f"\n{END}\n")
        assert processes_of(directory_of(output)) == []
        assert "127.0.0.1:9090" not in output
    pages = [re.findall(r"Status page: (\S+)", output) for output in outputs]
    assert pages[0] != pages[1]


@pytest.fixture
def clone() -> Iterator[Path]:
    """Return a fresh clone of an unprivileged user, who may not enter the directories of pytest."""
    with tempfile.TemporaryDirectory(prefix="fresh-clone-") as directory:
        clone = Path(directory) / "pybal"
        subprocess.run(["git", "-c", "safe.directory=*", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", directory], check=True)
        yield clone


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a clone as an unprivileged user, without the variables of a make that runs the tests."""
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*user, "make", *arguments],
        cwd=clone,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        | {"HOME": str(clone.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_demo_runs_on_a_fresh_clone_without_privileges(clone: Path) -> None:
    python = next(python for python in PYTHONS if Path(python).exists())
    done = make(clone, "demo", f"PYTHON={python}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[:2] == [
        "Creating a Python environment in .venv …",
        "Installing PyBal and its run-time dependencies into it, about 30 MB; this takes about a minute, once …",
    ]
    assert_shown(done.stdout)
    assert not (clone / ".venv" / "bin" / "pytest").exists()
    again = make(clone, "--dry-run", "demo", f"PYTHON={python}").stdout
    assert again.splitlines() == [".venv/bin/python etc/demo/demo.py"]
    setup = make(clone, "--dry-run", "setup", f"PYTHON={python}").stdout
    assert "tests/install development .venv" in setup
    assert "tests/install runtime" not in setup


def test_make_demo_names_the_missing_package_python3_venv(clone: Path) -> None:
    python = clone / "python-without-venv"
    python.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {PYTHONS[0]} "$@"\n')
    python.chmod(0o755)
    done = make(clone, "demo", f"PYTHON={python}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "python3-venv is missing. As root: apt-get install python3-venv"
    missing = make(clone, "demo", "PYTHON=/nowhere/python3")
    assert missing.stderr.startswith("/nowhere/python3 is not installed: apt-get install python3 python3-venv")
