"""Blocks that no test runs or parses, each with its reason, by page and beginning."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

UNCHECKED: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("README.md", "apt build-dep"): "tests/package builds and unpacks the package",
        ("docs/tutorial.md", "client ──"): "a drawing",
        ("docs/tutorial.md", "apt install bird2"): "the guest has these packages and this environment",
        (
            "docs/real-servers.md",
            "modprobe ipip",
        ): "tests/e2e/lvs/test_check_real_server.py runs these commands in the guest",
        ("docs/real-servers.md", "    up ip route change"): "a line of a file",
        ("docs/container.md", "make deb"): "no container engine runs here, as the page says",
        ("docs/bgp-routers.md", "protocols {"): "no test has a router with Junos, as the page says",
        (
            "docs/monitoring.md",
            "command[check_pybal]",
        ): "a line of NRPE; tests/e2e/monitoring/test_check_pybal.py runs this mode",
        ("docs/reference/journal.md", "[journal] history"): "tests/e2e/test_journal_history.py waits for this line",
        ("docs/reference/log.md", "[text_80] WARN: and 90 more"): "tests/unit/test_runtime_log_burst.py has this line",
        (
            "docs/reference/metrics.md",
            "scrape_configs:",
        ): "tests/contract/test_metrics_exposition.py has it checked by promtool",
        (
            "docs/reference/systemd.md",
            "[Service]\nProtectHome",
        ): "options of systemd.exec(5), as the sentence before it says",
        (
            "docs/reference/systemd.md",
            "[Service]\nAmbient",
        ): "tests/package/in_guest/test_unprivileged.py has this drop-in",
        (
            "docs/reference/systemd.md",
            "[Service]\nLoad",
        ): "tests/package/in_guest/test_unprivileged.py has such a drop-in",
        ("docs/reference/systemd.md", "/srv/pools"): "tests/package/in_guest/test_apparmor.py has such rules",
        ("docs/reference/systemd.md", "mkdir -p"): "tests/package/in_guest/test_unprivileged.py does the same",
        ("docs/reference/systemd.md", "aa-enforce"): "tests/package/in_guest/test_apparmor.py does the same",
        ("docs/reference/reload.md", "~ service text_80"): "tests/e2e/control/test_reload.py has such a plan",
    }
)
