"""The replays of incidents: collected only in the guest or with a writable IPVS table."""

from __future__ import annotations

from tests.harness.guest import namespace

collect_ignore_glob = [] if namespace.available() else ["test_*.py"]
