"""The Containerfile: linted, because no container engine runs here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
HADOLINT = REPOSITORY / ".venv-release/bin/hadolint"


@pytest.mark.skipif(not HADOLINT.exists(), reason="wants the tools of a release: make test-package")
def test_containerfile_has_no_finding_of_hadolint() -> None:
    done = subprocess.run([HADOLINT, "Containerfile"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_container_is_healthy_while_the_daemon_responds() -> None:
    lines = (REPOSITORY / "Containerfile").read_text().splitlines()
    (check,) = (line for line in lines if line.startswith("HEALTHCHECK "))
    assert check.endswith('CMD ["/usr/bin/pybal", "status"]')
    assert 'ENTRYPOINT ["/usr/sbin/pybal"]' in lines
