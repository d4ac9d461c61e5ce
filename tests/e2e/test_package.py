"""The Debian package: built, unpacked, and run with Debian's own Python and libraries."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.harness.daemon_process import WebServer, free_port, wait_for

REPOSITORY = Path(__file__).parents[2]
DEBIAN = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

pytestmark = pytest.mark.skipif(
    not (Path("/usr/bin/pybuild").exists() and Path("/usr/lib/python3/dist-packages/twisted").exists()),
    reason="wants debhelper, dh-python, pybuild-plugin-pyproject, python3-all, python3-twisted: see tests/install",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked package."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "pybal"
    left_out = shutil.ignore_patterns(".venv*", ".git", ".*_cache", "build", "*.egg-info", "__pycache__", ".hypothesis")
    shutil.copytree(REPOSITORY, source, ignore=left_out)
    run(
        "dpkg-buildpackage", "-b", "-d", "-us", "-uc", cwd=source
    )  # -d: nothing is compiled, build-essential is not needed
    (package,) = folder.glob("*.deb")
    run("dpkg", "-x", str(package), str(folder / "root"), cwd=folder)
    return folder / "root"


def run(*command: str, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        command, cwd=cwd, env={**DEBIAN, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def test_package_installs_program_unit_and_directory(root: Path) -> None:
    assert os.access(root / "usr/sbin/pybal", os.X_OK)
    assert os.access(root / "usr/bin/pybal", os.X_OK)
    assert (root / "usr/share/man/man8/pybal.8.gz").is_file()
    assert (root / "usr/share/man/man5/pybal.conf.5.gz").is_file()
    examples = root / "usr/share/doc/pybal/examples"
    shipped = ("icinga/pybal.conf", "prometheus/pybal.rules.yml", "grafana/pybal.json")
    assert [name for name in shipped if not any(examples.glob(f"{name}*"))] == []
    assert os.access(root / "usr/lib/nagios/plugins/check_pybal", os.X_OK)
    assert (root / "usr/share/man/man8/check_pybal.8.gz").is_file()
    assert (root / "usr/share/bash-completion/completions/pybal").is_file()
    assert (root / "lib/systemd/system/pybal.service").is_file()
    assert (root / "etc/pybal").is_dir()
    assert (root / "usr/lib/python3/dist-packages/pybal/status/page/style.css").is_file()


def test_unit_matches_the_contract(root: Path) -> None:
    unit = (root / "lib/systemd/system/pybal.service").read_text().splitlines()
    assert {"LimitNOFILE=infinity", "Restart=always", "SyslogIdentifier=pybal"} < set(unit)


def test_program_runs_on_libraries_of_debian_and_checks_a_server(root: Path, tmp_path: Path) -> None:
    port, status_port = free_port("127.0.2.1"), free_port("127.0.0.1")
    server = WebServer("127.0.2.1", port)
    (tmp_path / "pool").write_text("{'host': '127.0.2.1'}\n")
    (tmp_path / "pybal.conf").write_text(
        f"[global]\nipvs-backend = memory\ninstrumentation = yes\ninstrumentation_port = {status_port}\n"
        f"instrumentation_ips = ['127.0.0.1']\n[web]\nprotocol = tcp\nip = 192.0.2.1\nport = {port}\nscheduler = wrr\n"
        f"config = file://{tmp_path}/pool\nmonitors = ['ProxyFetch', 'IdleConnection']\nproxyfetch.url = http://a/\n"
    )
    command = ["/usr/bin/python3", str(root / "usr/sbin/pybal"), "-c", str(tmp_path / "pybal.conf")]
    environment = {**DEBIAN, "PYTHONPATH": str(root / "usr/lib/python3/dist-packages")}
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log) as program:
        try:
            wait_for(
                lambda: program.poll() is not None or "/pooled) is up" in (tmp_path / "log").read_text(),
                (tmp_path / "log").read_text,
            )
        finally:
            program.terminate()
    server.stop()
    assert program.returncode == 0, (tmp_path / "log").read_text()


@pytest.mark.parametrize("named", ["command first", "option first"])
def test_command_gives_up_the_name_of_the_daemon(root: Path, tmp_path: Path, named: str) -> None:
    # A socket that accepts and never replies holds the command.
    path = tmp_path / "control.sock"
    (tmp_path / "pybal.conf").write_text(f"[global]\ncontrol-socket = {path}\n")
    environment = {**DEBIAN, "PYTHONPATH": str(root / "usr/lib/python3/dist-packages")}
    arguments = ["status", "-c", str(tmp_path / "pybal.conf")]
    if named == "option first":
        arguments = [*arguments[1:], "status"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(60)
        with subprocess.Popen(
            [root / "usr/sbin/pybal", *arguments], env=environment, stderr=subprocess.PIPE
        ) as command:
            connection, _ = listener.accept()
            seen = Path(f"/proc/{command.pid}/cmdline").read_text().split("\0")
            connection.close()
            assert command.stderr is not None
            why = command.stderr.read().decode()
    assert "/usr/sbin/pybal" not in " ".join(seen)
    assert seen[1:4] == ["-P", "-m", "pybal"]
    assert (command.returncode, why) == (1, "pybal: the daemon closed the connection without a reply (see its log)\n")


def test_daemon_keeps_its_name_among_its_arguments(root: Path, tmp_path: Path) -> None:
    (tmp_path / "pybal.conf").write_text("[global]\n")
    environment = {**DEBIAN, "PYTHONPATH": str(root / "usr/lib/python3/dist-packages")}
    # It reads a refused file again after two seconds.
    with subprocess.Popen(
        [root / "usr/sbin/pybal", "-c", tmp_path / "pybal.conf"], env=environment, stderr=subprocess.PIPE
    ) as program:
        assert program.stderr is not None
        program.stderr.readline()
        seen = Path(f"/proc/{program.pid}/cmdline").read_text().split("\0")
        program.kill()
    assert seen[:2] == ["/usr/bin/python3", str(root / "usr/sbin/pybal")]
