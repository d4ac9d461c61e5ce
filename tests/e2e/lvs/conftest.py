"""The daemon on a real IPVS: collected only in the guest, or on a machine whose kernel lets us."""

from __future__ import annotations

from tests.kernel import namespace

collect_ignore_glob = [] if namespace.available() else ["test_*.py"]
