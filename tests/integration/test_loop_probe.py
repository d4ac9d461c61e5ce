"""The probe of the event loop records holds and blocking calls, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.harness.daemon_process import PATIENCE
from tests.harness.loop_probe import LoopProbe

SCRIPT = """
import os, pwd, sys, threading, time
from pybal.runtime.loop import Loop
from tests.harness.loop_probe import Recorder

loop = Loop()
Recorder(loop, os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)).start()
open("/etc/passwd").close()

def hold():
    while time.thread_time() < end:
        pass

def begin():
    global end
    end = time.thread_time() + 0.1
    loop.callLater(0, hold)

def wait():
    open("/etc/passwd").close()
    open("/proc/self/stat").close()
    pwd.getpwnam("root")
    thread = threading.Thread(target=lambda: open("/etc/group").close())
    thread.start()
    thread.join()

loop.callLater(0, begin)
loop.callLater(0.1, wait)
loop.callLater(0.2, loop.stop)
loop.run()
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> LoopProbe:
    file = tmp_path_factory.mktemp("probe") / "records"
    subprocess.run([sys.executable, "-c", SCRIPT, str(file)], check=True, timeout=PATIENCE)
    return LoopProbe(file)


def test_probe_records_a_hold_with_its_cpu_time_and_stack(probe: LoopProbe) -> None:
    longest = probe.longest()
    assert longest is not None
    assert (longest.call, longest.cpu > 0.09) == ("hold", True)
    assert any(line.endswith(" hold") for line in longest.stack)


def test_probe_records_blocking_calls_of_the_running_loop_only(probe: LoopProbe) -> None:
    calls = [(record.kind, record.call) for record in probe.problems() if record.kind != "held"]
    assert calls == [("open", "open /etc/passwd"), ("getpwnam", "getpwnam root")]


def test_check_names_the_phase_and_the_callback(probe: LoopProbe) -> None:
    with pytest.raises(AssertionError, match=r"(?s)mass failure: .*by hold"):
        probe.check("mass failure")
    probe.check("after the end", since=probe.now())
