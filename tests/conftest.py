"""What holds for all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# A shell has what it starts in the background ignore it, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine may take its time over an example. In CI the examples are the same each time: when it fails, that is
# about the change; new ones are found by everybody else's runs.
settings.register_profile(
    "pybal",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
settings.load_profile("pybal")
