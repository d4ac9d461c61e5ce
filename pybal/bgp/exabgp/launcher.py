"""Execute a program that the kernel kills when the daemon ends.

``launcher.py PID PROGRAM ARGUMENT...``, where PID is the daemon's. Standard library only, run with -I -S.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set the parent-death signal, check that the daemon is still the parent, and execute the program."""
    daemon, program = int(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != daemon:
        sys.exit("daemon ended before its child started")
    try:
        os.execv(program[0], program)  # noqa: S606  # without a shell on purpose
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
