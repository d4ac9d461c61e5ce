"""Blocks that no test runs or parses, each with its reason, by page and beginning."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

UNCHECKED: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("docs/reference/log.md", "[text_80] WARN: and 90 more"): "tests/unit/test_runtime_log_burst.py has this line",
        ("docs/reference/reload.md", "~ service text_80"): "tests/e2e/control/test_reload.py has such a plan",
    }
)
