"""The shipped plugin check_pybal in every state of a real daemon, run by a user without privileges."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.harness.tools.check_pybal import check_pybal as check_of_users
from tests.harness.tools.nagios import CRITICAL, OK, UNKNOWN, WARNING
from tests.harness.tools.shipped_plugin import check_pybal
from tests.harness.watched_balancer import URL, WatchedBalancer

WEB, API = ("127.0.1.1", "127.0.1.2", "127.0.1.3"), ("127.0.2.1", "127.0.2.2")


def equals_the_check_of_users() -> bool:
    """Return whether --compat prints the line, and has the exit code, of the check in use."""
    found, expected = check_pybal("--url", f"{URL}/alerts"), check_of_users(URL)
    assert found.text.startswith("PYBAL ")
    return (found.code, found.text) == expected


def test_alerts_include_an_empty_pool_that_compat_does_not_show(balancer: WatchedBalancer) -> None:
    found = check_pybal()
    assert (found.code, found.text, found.lines) == (OK, "PYBAL OK - no alerts", [])
    assert (found.figures["critical"], found.figures["warning"]) == ("0;;0;0", "0;0;;0")
    assert equals_the_check_of_users()

    balancer.servers[WEB[0]].stop()
    balancer.wait_for_alert("web down: 1 of 3")
    found = check_pybal("--alerts")
    assert (found.code, found.text) == (WARNING, "PYBAL WARNING - web down (0 critical, 1 warning)")
    assert found.lines[0].startswith("WARNING web down: 1 of 3 servers down and not pooled: 127.0.1.1 [")
    assert check_pybal("--alerts", "--warning", "1").code == OK

    for host in API:
        balancer.servers[host].stop()
    balancer.wait_for_alert("not-announced: 192.0.2.2/32: empty")
    found = check_pybal()
    assert found.code == CRITICAL
    assert found.text == "PYBAL CRITICAL - api no-servers, web down, api down and 1 more (1 critical, 3 warnings)"
    assert check_pybal("--compat").text == "PYBAL OK - OK - All pools are healthy"
    assert equals_the_check_of_users()

    balancer.servers[WEB[1]].stop()
    balancer.wait_for_alert("pooled-down")
    found = check_pybal("--compat")
    sentence = "web: Servers 127.0.1.2 are marked down but pooled"
    assert (found.code, found.text) == (CRITICAL, f"PYBAL CRITICAL - CRITICAL - {sentence}")
    assert equals_the_check_of_users()

    for host in (*WEB[:2], *API):
        balancer.servers[host].start()
    balancer.wait_until_healthy()
    assert check_pybal().code == OK


def test_sessions_and_differences_are_found(balancer: WatchedBalancer) -> None:
    found = check_pybal("--bgp")
    assert (found.code, found.text) == (OK, "PYBAL OK - 1 of 1 session established; 2 of 2 VIPs announced")
    assert (found.figures["sessions"], found.figures["announced"]) == ("1;1:;1:;0;1", "2;;;0;2")
    assert check_pybal("--bgp", "-w", "2:").code == WARNING
    found = check_pybal("--ipvs-diff")
    assert (found.code, found.text) == (OK, "PYBAL OK - no difference between IPVS and PyBal (2 services)")

    balancer.router.run("disable", "balancer")
    balancer.wait_for_alert("not-announced: 192.0.2.2/32: no-session")
    found = check_pybal("--bgp")
    assert found.code == CRITICAL
    assert found.text == (
        "PYBAL CRITICAL - 0 of 1 session established; down: 127.0.0.2; 0 of 2 VIPs announced; not announced: 192.0.2.1, 192.0.2.2"
    )
    assert found.lines[0].startswith("peer 127.0.0.2: IDLE, received notification 6/2")
    assert check_pybal("--bgp", "--critical", "0:").code == WARNING

    balancer.pybal("freeze")
    balancer.servers[WEB[0]].stop()
    balancer.wait_for_alert("web down: 1 of 3")
    found = check_pybal("--ipvs-diff")
    assert (found.code, found.text) == (CRITICAL, "PYBAL CRITICAL - 1 service differs in IPVS: web")
    assert found.lines[0].startswith("web (tcp 192.0.2.1:8080, ")
    assert found.lines[0].endswith("): the wanted state is not written or not verified")
    assert check_pybal("--ipvs-diff", "-c", "1").code == OK


def test_configuration_and_sources_are_compared_with_their_files(balancer: WatchedBalancer, tmp_path: Path) -> None:
    found = check_pybal("--config")
    assert (found.code, found.text) == (OK, f"PYBAL OK - {tmp_path}/pybal.conf is loaded")
    found = check_pybal("--sources")
    assert (found.code, found.text[:42]) == (OK, "PYBAL OK - 2 pool sources, oldest list con")
    assert check_pybal("--sources", "-w", "@0:1000").code == WARNING
    assert check_pybal("--sources", "-w", "@0:1000", "-c", "@0:1000").code == CRITICAL

    balancer.conf.write_text(balancer.conf.read_text() + "ip = nowhere\n")
    balancer.wait_for_alert("differs from the loaded configuration")
    found = check_pybal("--config")
    assert (found.code, found.figures["changed"]) == (WARNING, "1;;;0;1")
    assert found.text.endswith("/pybal.conf differs from the loaded configuration (run pybal plan)")
    balancer.running.reload()
    found = check_pybal("--config")
    assert found.code == WARNING
    assert found.text.startswith("PYBAL WARNING - the last reload was refused: ")
    assert "ip: found 'nowhere'" in found.text

    balancer.list_servers("web")
    balancer.wait_for_alert("refused an empty server list")
    found = check_pybal("--sources")
    assert found.code == WARNING
    assert found.text.startswith("PYBAL WARNING - 1 pool source with a problem: web; 2 pool sources, ")
    assert "refused an empty server list" in found.lines[0]


def test_state_is_unknown_of_a_daemon_that_is_hung_or_ended(balancer: WatchedBalancer) -> None:
    assert check_pybal("--host", "localhost").code == OK
    balancer.running.process.send_signal(signal.SIGSTOP)
    found = check_pybal("--timeout", "0.5")
    assert (found.code, found.text) == (UNKNOWN, "PYBAL UNKNOWN - no complete response within 0.5 s")
    balancer.running.process.send_signal(signal.SIGCONT)
    balancer.running.stop()
    found = check_pybal("--compat")
    assert (found.code, found.text) == (UNKNOWN, "PYBAL UNKNOWN - 127.0.0.1 port 9090, /alerts: Connection refused")
