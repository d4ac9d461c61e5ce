"""The daemon with 116 services and 11,000 servers, each with a held connection.

This is the scale of the largest public deployment. All servers are loopback addresses served by one nginx; the table is in memory.
Values are printed beside their targets.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

SERVICES = 116
SERVERS = 95  # to a service
FETCHED = 8  # services with ProxyFetch as well: 11,780 monitors in total
PORT = 18081
ENDPOINT = "http://127.0.0.1:19090"
STEADY = 60.0  # seconds

NGINX = """
daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log crit; worker_rlimit_nofile 40000;
events {{ worker_connections 30000; }}
http {{
  access_log off; client_header_timeout 1h; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{ listen 0.0.0.0:{port} backlog=16384 default_server; location / {{ return 200 "ok"; }} }}
}}
"""


def main() -> None:
    """Print start, cost, memory and latency."""
    if not shutil.which("nginx", path="/usr/sbin"):
        print("scale: nginx is not installed")
        return
    with tempfile.TemporaryDirectory() as name, daemon(Path(name)) as pid:
        time.sleep(5.0)
        before, asked, scraped = cpu(pid), [], []
        began = time.monotonic()
        while time.monotonic() - began < STEADY:
            asked.append(timed("/pools/s7/127.1.7.7"))
            if len(asked) % 75 == 0:
                scraped.append(timed("/metrics"))
            time.sleep(0.1)
        share = (cpu(pid) - before) / (time.monotonic() - began)
        print(f"  {share:.1%} of a core with a scrape every 8 s (target 15%), {memory(pid):.0f} MB (target 150)")
        slowest = statistics.quantiles(asked, n=100)[98]
        print(f"  /pools/X/H: median {statistics.median(asked) * 1000:.1f} ms, p99 {slowest * 1000:.1f} ms (target 10)")
        print(f"  /metrics: median {statistics.median(scraped) * 1000:.0f} ms")


@contextlib.contextmanager
def daemon(directory: Path) -> Iterator[int]:
    """Run servers and daemon; print the time until all servers are up; yield the daemon's process id."""
    directory.chmod(0o755)
    configure(directory)
    nginx = process("/usr/sbin/nginx", "-p", str(directory), "-c", f"{directory}/nginx.conf")
    with nginx, process(sys.executable, "-m", "pybal.cli", "-c", f"{directory}/pybal.conf") as running:
        began = time.monotonic()
        up, wanted = 0, SERVICES * SERVERS
        while up < wanted and time.monotonic() - began < 120:
            time.sleep(0.2)
            up = count_up()
        took = time.monotonic() - began
        print(f"  {up} of {wanted} servers up after {took:.1f} s, start of Python included (target 5)", flush=True)
        yield running.pid


def configure(directory: Path) -> None:
    sections = [
        (
            f"[global]\nipvs-backend = memory\ninstrumentation = yes\ninstrumentation_ips = ['127.0.0.1']\n"
            f"instrumentation_port = {ENDPOINT.rpartition(':')[2]}\n"
        )
    ]
    for number in range(SERVICES):
        kinds = "['IdleConnection', 'ProxyFetch']" if number < FETCHED else "['IdleConnection']"
        sections.append(
            f"[s{number}]\nprotocol = tcp\nip = 10.2.{number}.1\nport = {PORT}\nscheduler = mh\nmonitors = {kinds}\n"
            f"config = file://{directory}/s{number}\nproxyfetch.url = http://www.example.org/\n"
        )
        hosts = (f"127.1.{number}.{server + 1}" for server in range(SERVERS))
        (directory / f"s{number}").write_text("".join(f"{{'host': '{host}'}}\n" for host in hosts))
    (directory / "pybal.conf").write_text("\n".join(sections))
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory, port=PORT))


@contextlib.contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait()


def count_up() -> int:
    """Return the sum of pybal_service_servers_up."""
    lines = ask("/metrics").splitlines()
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith("pybal_service_servers_up{"))


def timed(path: str) -> float:
    began = time.monotonic()
    ask(path)
    return time.monotonic() - began


def ask(path: str) -> str:
    try:
        with urllib.request.urlopen(ENDPOINT + path, timeout=30) as answer:
            return str(answer.read(), "utf-8")
    except OSError:
        return ""


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Return the resident memory of a process, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
