"""Run the daemon without privileges on three local web servers; kill one and start it again.

``make demo`` runs it. On a terminal the daemon keeps running until Ctrl-C, to explore the endpoints.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
ENDPOINTS = "http://127.0.0.1:9090"
HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
VICTIM = HOSTS[1]
TIMEOUT = 30.0  # seconds
HOLD_TIME = 4.0  # seconds after which the loss of a held connection is reported immediately


def main() -> int:
    """Return 0 if the daemon stopped normally, 1 otherwise."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pybal-demo-")))
        for name in ("pybal.conf", "web.pool"):
            text = (HERE / name).read_text()
            (directory / name).write_text(text.replace("/etc/pybal/demo", str(directory)))
        (directory / "index.html").write_text("hello\n")

        show("starting three web servers on port 8080 of", ", ".join(HOSTS))
        servers = {host: stack.enter_context(web_server(host, directory)) for host in HOSTS}
        show("starting pybal; lines in brackets are its log")
        daemon = stack.enter_context(process([sys.executable, "-m", "pybal.cli", "-c", str(directory / "pybal.conf")]))

        wait(daemon, "all three servers pooled", lambda: get("/pools/web").count("/up/pooled") == len(HOSTS))
        time.sleep(HOLD_TIME)
        show(f"killing {VICTIM}")
        stop(servers[VICTIM])
        wait(daemon, f"{VICTIM} depooled", lambda: "/not pooled" in get("/pools/web"))
        show(f"restarting {VICTIM}")
        stack.enter_context(web_server(VICTIM, directory))
        wait(daemon, f"{VICTIM} repooled", lambda: f"{VICTIM}:\tenabled/up/pooled" in get("/pools/web"))

        show("endpoints:", *(ENDPOINTS + path for path in ("/", "/alerts", "/pools/web", "/v1/ipvs", "/metrics")))
        if sys.stdin.isatty():
            show("press Ctrl-C to stop")
            with contextlib.suppress(KeyboardInterrupt):
                daemon.wait()
        stop(daemon)
        return 0 if daemon.returncode == 0 else 1


def show(*words: str) -> None:
    print("\n==", *words, flush=True)


def web_server(host: str, directory: Path) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "http.server", "8080", "--bind", host, "--directory", str(directory)]
    return process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def process(command: list[str], **options: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, **options) as running:  # type: ignore[call-overload]  # options are descriptors
        try:
            yield running
        finally:
            stop(running)


def stop(running: subprocess.Popen[bytes]) -> None:
    if running.poll() is None:
        running.terminate()
        try:
            running.wait(5)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def get(path: str) -> str:
    try:
        with urllib.request.urlopen(ENDPOINTS + path, timeout=5) as response:
            return str(response.read(), "utf-8")
    except OSError:
        return ""


def wait(daemon: subprocess.Popen[bytes], goal: str, done: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not done():
        if daemon.poll() is not None:
            sys.exit(f"pybal exited with status {daemon.returncode}")
        if time.monotonic() - began > TIMEOUT:
            sys.exit(f"timeout after {TIMEOUT:g} s waiting for: {goal}\n{get('/pools/web')}")
        time.sleep(0.02)
    show(f"{goal}, after {time.monotonic() - began:.2f} s")
    print(get("/pools/web"), get("/alerts"), "\n\n", get("/v1/ipvs"), sep="")


if __name__ == "__main__":
    sys.exit(main())
