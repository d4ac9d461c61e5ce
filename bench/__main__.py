"""Run all benchmarks: ``make bench``."""

from __future__ import annotations

from bench import checks, detection, dns, scale

if __name__ == "__main__":
    checks.main()
    dns.main()
    detection.main()
    scale.main()
