"""A step of the clock closes no BGP session and stops no keepalive: the guest has its own clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.lvs.test_announced_late import CONF, ENDPOINT
from tests.harness.daemon_process import daemon, wait_for
from tests.harness.guest.network import VIP, lab
from tests.harness.guest.router import BirdRouter

HOLD_TIME = 9


def step_clock(seconds: float) -> None:
    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME) + seconds)


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0], ids=["back", "forward"])
def test_session_outlives_a_step_of_the_clock(seconds: float, tmp_path: Path, say: Callable[[str], None]) -> None:
    with lab() as made:
        router = BirdRouter(made.add("router", 3), tmp_path, [made.director], hold_time=HOLD_TIME)
        (tmp_path / "pybal.conf").write_text(CONF.format(vip=VIP, scheduler="wrr", directory=tmp_path))
        (tmp_path / "web.pool").write_text("".join(f"{{'host': '{server.address}'}}\n" for server in made.servers))
        prefix = ("env", f"RUNTIME_DIRECTORY={tmp_path}")
        with made.director.entered(), daemon(tmp_path, prefix=prefix, endpoint=ENDPOINT) as process:
            process.wait(lambda: router.next_hop() == str(made.director.address), "the route by the director")
            step_clock(seconds)
            try:
                end = time.monotonic() + 3 * HOLD_TIME
                wait_for(lambda: time.monotonic() > end or " down" in process.log, lambda: "")
            finally:
                step_clock(-seconds)
            assert "BGP session with 10.0.0.3 down" not in process.log
            assert router.next_hop() == str(made.director.address)
            say(f"clock stepped by {seconds:+.0f} s: the session lasted {3 * HOLD_TIME} s more")
