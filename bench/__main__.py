"""Run all benchmarks, or ``python -m bench PART [OPTION …]``.

The soak test runs only when named.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from bench import detection, growth, loop, page, replay, scale, scrape, soak, sources
from bench.checks.__main__ import main as checks

PARTS: dict[str, Callable[[Sequence[str]], None]] = {
    "checks": checks,
    "detection": lambda _: detection.main(),
    "growth": growth.main,
    "loop": loop.main,
    "page": lambda _: page.main(),
    "replay": replay.main,
    "scale": lambda _: scale.main(),
    "scrape": scrape.main,
    "soak": soak.main,
    "sources": lambda _: sources.main(),
}

if __name__ == "__main__":
    part, *options = sys.argv[1:] or [""]
    if part and part not in PARTS:
        sys.exit(f"unknown benchmark: {part}; choose one of {', '.join(PARTS)}")
    for name in (
        (part,) if part else ("checks", "detection", "growth", "loop", "page", "replay", "scale", "scrape", "sources")
    ):
        PARTS[name](options)
