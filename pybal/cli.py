"""The command line. Imports the daemon only to run it, so that a command starts fast.

Exit codes of the daemon: 0 after an orderly stop, 1 after a failure whose cause may pass (another daemon runs, the file cannot
be read), 2 for an invalid command line or configuration, which a restart does not cure. Exit codes of commands: 0 done,
1 failed, 2 difference found; ``status --check`` exits as a check of Icinga does, ``convert`` with 1 after remarks
and 2 if it failed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial

from pybal.client.arguments import read_arguments
from pybal.client.output import printing

_COUNTED = "/usr/sbin/pybal"
"""A process with this text among its arguments is a daemon: ``check_procs -c 1:1 -a /usr/sbin/pybal``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon, check its configuration, or run a command; return the exit code."""
    return printing(partial(_main, arguments))


def _main(arguments: Sequence[str] | None) -> int:
    options = read_arguments(arguments)
    if options.command and arguments is None and _COUNTED in sys.argv[0]:
        # -P: a module in the working directory must not replace PyBal.
        os.execv(sys.executable, [sys.executable, "-P", "-m", "pybal", *sys.argv[1:]])  # noqa: S606  # no shell
    if not options.command:
        from pybal.runtime.inherited import inherit  # noqa: PLC0415  # a command needs none of it

        inherited = inherit(os.environ)  # first: twisted.internet.endpoints removes the variables when it is imported
        from pybal.daemon.process import main as daemon  # noqa: PLC0415  # takes a second

        return daemon(options, inherited)
    if options.command == "check-config":
        from pybal.daemon.check import check_config  # noqa: PLC0415  # imports all kinds of monitors

        return check_config(options)
    from pybal.client.commands import command  # noqa: PLC0415  # the daemon needs none of it

    return command(options, os.environ)


if __name__ == "__main__":
    sys.exit(main())
