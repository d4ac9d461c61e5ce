"""Icinga 2 with the shipped commands and services of a balancer, run by a user without privileges."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TextIO

from tests.harness.daemon_process import PATIENCE, wait_for

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "etc" / "icinga"
_NOBODY = 65534
_HOST = "lvs1"
_END = "<end>"
"""Ends a result, whose output may have several lines."""
_CONF = f"""\
include <itl>
include <plugins>
const PluginDir = "{{directory}}"
const NodeName = "monitor"
object CheckerComponent "checker" {{{{ }}}}
object ExternalCommandListener "commands" {{{{ command_path = "{{directory}}/commands" }}}}
object PerfdataWriter "results" {{{{
  host_temp_path = "{{directory}}/host-temp"
  host_perfdata_path = "{{directory}}/host-results"
  service_temp_path = "{{directory}}/temp"
  service_perfdata_path = "{{directory}}/results"
  rotation_interval = 1s
  service_format_template = "$service.name$\\t$service.state$\\t$service.perfdata$\\t$service.output${_END}"
}}}}
object Host "{_HOST}" {{{{
  check_command = "passive"
  enable_active_checks = false
  address = "127.0.0.1"
  vars.pybal = true
}}}}
include "{{directory}}/pybal.conf"
apply Service "users" {{{{
  check_command = "pybal"
  vars.pybal_mode = "compat"
  vars.pybal_url = "http://localhost:9090/alerts"
  assign where host.vars.pybal
}}}}
"""


class CheckResult(NamedTuple):
    """A result as Icinga has it."""

    state: str
    output: str
    figures: str


class Icinga:
    """A running Icinga; ``results`` has the last result of each service."""

    def __init__(self, directory: Path, commands: TextIO) -> None:
        self._directory = directory
        self._commands = commands
        self.results: dict[str, CheckResult] = {}

    def check(self, service: str) -> None:
        """Let Icinga check a service now."""
        self._commands.write(f"[1] SCHEDULE_FORCED_SVC_CHECK;{_HOST};{service};1\n")
        self._commands.flush()

    def wait_for_states(self, **states: str) -> dict[str, CheckResult]:
        """Check these services (``_`` for ``-``) until they have these states; return the results."""
        wanted = {name.replace("_", "-"): state for name, state in states.items()}
        for name in wanted:
            self.check(name)
        wait_for(lambda: self._check_again(wanted), lambda: f"{wanted}: {self.results}")
        return self.results

    def _check_again(self, wanted: Mapping[str, str]) -> bool:
        """Read new results; check a service again if it has another state. Return whether all have theirs."""
        for name, result in self._new_results():
            self.results[name] = result
            if wanted.get(name, result.state) != result.state:
                self.check(name)  # a check that already ran has taken the place of the forced one
        return all(name in self.results and self.results[name].state == state for name, state in wanted.items())

    def _new_results(self) -> Iterator[tuple[str, CheckResult]]:
        for file in sorted(self._directory.glob("results.*")):
            for record in file.read_text().split(f"{_END}\n"):
                if record:
                    name, state, figures, output = record.split("\t")
                    yield name, CheckResult(state, output.strip(), figures)
            file.unlink()


@contextmanager
def icinga() -> Iterator[Icinga]:
    """Run Icinga in the present namespace with one host, 127.0.0.1; needs root."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        for file in ("check_pybal", "pybal.conf"):
            shutil.copy(SHIPPED / file, directory)
        conf = directory / "icinga2.conf"
        conf.write_text(_CONF.format(directory=directory))
        shutil.chown(directory, _NOBODY, _NOBODY)
        places = [
            f"--define=Configuration.{place}Dir={directory}" for place in ("Data", "Log", "Cache", "InitRun", "Spool")
        ]
        user = ("--define=Configuration.RunAsUser=nobody", "--define=Configuration.RunAsGroup=nogroup")
        command = ["icinga2", "daemon", "--no-stack-rlimit", f"--config={conf}", *places, *user]
        process = subprocess.Popen(command, user=_NOBODY, group=_NOBODY, extra_groups=(), stdout=subprocess.DEVNULL)
        try:
            wait_for((directory / "commands").exists, lambda: "icinga2")
            # It stays open: Icinga loses what is written while it closes the pipe after the last writer.
            with (directory / "commands").open("w") as commands:
                yield Icinga(directory, commands)
        finally:
            process.terminate()
            process.wait(PATIENCE)
