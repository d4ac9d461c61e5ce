"""Run ExaBGP with a clock that is never stepped; its timers use the time of day.

``steady.py CONFIGURATION``, run with -I -u. When the clock is set back, ExaBGP would send no keepalive and make no connection until the
clock has reached its old value; when it is set forward, it would close its sessions, because their hold time seems to be over.
"""

import runpy
import time


def main() -> None:
    """Replace the clock of this process, and become ExaBGP."""
    began = time.time() - time.monotonic()  # noqa: TID251  # the only reading of the clock
    time.time = lambda: began + time.monotonic()  # noqa: TID251  # on purpose
    runpy.run_module("exabgp", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
