"""The commands plan and reload, with the daemon as a process."""

from __future__ import annotations

import pytest

from tests.e2e.control.conftest import CONF, Site
from tests.harness.daemon_process import Daemon

SECOND = """
[second]
protocol = tcp
ip = 192.0.2.2
port = {port}
scheduler = wrr
config = file://{directory}/web.pool
monitors = []
"""


def test_a_plan_of_the_own_file_shows_what_a_reload_then_does(site: Site, running: Daemon) -> None:
    said = site.pybal("plan", named=False)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout == f"{site.conf}:\nnothing to do\n1 of 1 services unchanged\n"
    site.configure(CONF.replace("scheduler = wrr", "scheduler = rr") + SECOND)
    table = running.get("/v1/ipvs")
    said = site.pybal("plan", named=False)
    assert said.returncode == 2
    assert f"-E -t 192.0.2.1:{site.port} -s rr" in said.stdout
    assert "\n+ service second" in said.stdout
    assert running.get("/v1/ipvs") == table
    done = site.pybal("reload", "--reason", "ticket 7")
    assert (done.returncode, done.stderr) == (0, "")
    planned = said.stdout.splitlines()[1:]
    assert done.stdout.splitlines() == [f"reloaded {site.conf}", *planned]
    running.wait(lambda: f"-A -t 192.0.2.2:{site.port} -s wrr" in running.get("/v1/ipvs"), "the second service")
    assert site.pybal("plan", named=False).returncode == 0
    assert "[control] INFO: reload by " in running.log
    assert "): ticket 7\n" in running.log


def test_a_plan_of_another_file_says_what_that_would_change_and_reload_does_not_take_it(
    site: Site, running: Daemon
) -> None:
    ours = site.conf.read_bytes()
    draft = site.directory / "draft.conf"
    site.configure(CONF + SECOND)
    site.conf.rename(draft)
    site.conf.write_bytes(ours + b"# \xff is not UTF-8\n")
    said = site.pybal("plan", "-c", str(draft), named=False)
    assert (said.returncode, said.stdout.splitlines()[:2]) == (2, [f"{draft}:", "+ service second"])
    document = site.document("plan", "-c", str(draft))
    assert [service["step"] for service in document["plan"]["services"]] == ["keep", "add"]
    assert site.pybal("plan").returncode == 0
    assert site.pybal("reload").returncode == 0
    assert "192.0.2.2" not in running.get("/v1/ipvs")


@pytest.mark.parametrize("command", ["plan", "reload"])
def test_a_file_that_is_wrong_changes_nothing_and_is_told_with_all_its_problems(
    site: Site, running: Daemon, command: str
) -> None:
    site.configure(CONF.replace("protocol = tcp", "protocol = tpc").replace("scheduler = wrr", "scheduler = none"))
    said = site.pybal(command)
    assert (said.returncode, said.stdout) == (1, "")
    assert "[web] protocol: found 'tpc'" in said.stderr
    assert "[web] scheduler: found 'none'" in said.stderr
    assert ("reload refused, nothing changed" in said.stderr) is (command == "reload")


def test_frozen_or_with_too_much_to_go_a_reload_is_refused_and_forced_only_the_latter(
    site: Site, running: Daemon
) -> None:
    site.configure(CONF + SECOND)
    assert site.pybal("reload").returncode == 0
    running.wait(lambda: "192.0.2.2" in running.get("/v1/ipvs"), "the second service")
    site.configure(CONF.replace("192.0.2.1", "192.0.2.3") + SECOND.replace("192.0.2.2", "192.0.2.4"))
    site.pybal("freeze", "--reason", "new switch")
    said = site.pybal("reload", "--force")
    assert said.returncode == 1
    assert ": new switch" in said.stderr
    site.pybal("thaw")
    said = site.pybal("reload")
    assert said.returncode == 1
    assert "max-blast-radius" in said.stderr
    assert site.pybal("plan").returncode == 2
    assert site.pybal("reload", "--force").returncode == 0


def test_a_file_that_cannot_be_read_is_named(site: Site, running: Daemon) -> None:
    said = site.pybal("plan", "-c", "/nonexistent", "--socket", str(site.directory / "control.sock"), named=False)
    assert (said.returncode, said.stderr) == (1, "pybal: /nonexistent: No such file or directory\n")
    site.conf.unlink()
    for command in ("plan", "reload"):
        said = site.pybal(command, "--socket", str(site.directory / "control.sock"), named=False)
        assert said.returncode == 1
        assert f"{site.conf}: No such file or directory" in said.stderr
