"""`pybal convert`: its exit codes and files, and a daemon with the converted configuration."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.harness.daemon_process import WebServer, daemon, free_port, run_pybal

TEN = Path(__file__).parents[1] / "data" / "keepalived" / "ten.conf"
HOSTS = ("127.0.1.11", "127.0.1.12")
CARRIED = """\
virtual_server 192.0.2.1 80 {
    protocol TCP
    lb_kind DR
    real_server 10.0.0.1 80 {
        TCP_CHECK {
        }
    }
}
"""


@pytest.fixture
def web() -> Iterator[int]:
    """Web servers on a common port of all hosts."""
    port = free_port(*HOSTS)
    servers = [WebServer(host, port) for host in HOSTS]
    yield port
    for server in servers:
        server.stop()


def test_daemon_serves_with_the_converted_configuration(tmp_path: Path, web: int) -> None:
    source, pools, conf = tmp_path / "keepalived.conf", tmp_path / "pools", tmp_path / "pybal.conf"
    source.write_text(TEN.read_text().replace("18080", str(web)))
    pools.mkdir()
    done = run_pybal("convert", str(source), "--pools", str(pools))
    assert done.returncode == 1
    assert done.stderr.count("\n") == len(done.stderr.splitlines()) == 9
    status_port = free_port("127.0.0.1")
    own = f"""\
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory
"""
    conf.write_text(done.stdout.replace("instrumentation = yes\n", f"instrumentation = yes\n{own}"))
    checked = run_pybal("check-config", "-c", str(conf))
    assert checked.returncode == 0
    assert [line.partition(": ")[2] for line in checked.stderr.splitlines()] == [
        f"{conf}:{line}: [2001-db8--10_80] no monitors: every server counts as up (set monitors, such as [ 'ProxyFetch' ])"
        for line, text in enumerate(conf.read_text().splitlines(), 1)
        if text == "[2001-db8--10_80]"
    ]
    wanted = {
        f"192.0.2.1_{web}": 2,
        f"192.0.2.3_{web}": 2,
        "192.0.2.6_3306": 2,
        "192.0.2.9_143": 1,
        "192.0.2.10_143": 1,
        "2001-db8--10_80": 1,
    }

    with daemon(tmp_path, endpoint=f"http://127.0.0.1:{status_port}") as running:

        def serving() -> dict[str, int]:
            found = cast("dict[str, dict[str, Any]]", running.get_json("/v1/pools") or {})
            return {name: found[name]["serving"] for name in wanted if name in found}

        running.wait(lambda: serving() == wanted, "the servers of the converted pools to serve")
        assert running.stop() == 0


@pytest.mark.skipif(shutil.which("keepalived") is None, reason="wants keepalived")
def test_converted_file_of_ten_kinds_is_valid_for_keepalived() -> None:
    done = subprocess.run(["keepalived", "-t", "-f", str(TEN)], capture_output=True, text=True, timeout=60, check=False)
    faults = [line for line in (done.stdout + done.stderr).splitlines() if "Line " in line]
    assert [line.partition(") ")[2] for line in faults] == ["nb_get_retry is deprecated - please use 'retry'"]


def test_convert_exits_with_0_without_remarks(tmp_path: Path) -> None:
    source = tmp_path / "keepalived.conf"
    source.write_text(CARRIED)
    done = run_pybal("convert", str(source))
    assert (done.returncode, done.stderr) == (0, "")
    assert "#   {'host': '10.0.0.1', 'weight': 1, 'enabled': True}\n" in done.stdout


def test_convert_refuses_to_replace_pool_files_without_force(tmp_path: Path) -> None:
    (tmp_path / "keepalived.conf").write_text(CARRIED)
    pool = tmp_path / "192.0.2.1_80"
    pool.write_text("mine\n")
    arguments = ("convert", str(tmp_path / "keepalived.conf"), "--pools", str(tmp_path))
    done = run_pybal(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"pybal: {pool} exists (set --force to replace it)\n"
    assert pool.read_text() == "mine\n"
    assert run_pybal(*arguments, "--force").returncode == 0
    assert pool.read_text() == "{'host': '10.0.0.1', 'weight': 1, 'enabled': True}\n"


def test_convert_reads_included_files_relative_to_their_own(tmp_path: Path) -> None:
    (tmp_path / "conf.d" / "more").mkdir(parents=True)
    (tmp_path / "keepalived.conf").write_text("include conf.d/*.conf\ninclude missing.conf\n")
    (tmp_path / "conf.d" / "b.conf").write_text("include more/c.conf\n")
    (tmp_path / "conf.d" / "more" / "c.conf").write_text(CARRIED)
    done = run_pybal("convert", "--json", str(tmp_path / "keepalived.conf"))
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert list(document["pools"]) == ["192.0.2.1_80"]
    assert [(each["line"], each["text"]) for each in document["remarks"]] == [(2, "include missing.conf: no such file")]


def test_convert_exits_with_2_if_the_file_is_unreadable(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    done = run_pybal("convert", str(missing))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"pybal: {missing}: No such file or directory\n")
    deep = tmp_path / "deep"
    deep.write_text("a {\n" * 40)
    done = run_pybal("convert", str(deep))
    assert (done.returncode, done.stderr) == (2, f"pybal: {deep}:33: blocks nested more than 32 levels deep\n")
    assert run_pybal("convert").returncode == 2
