"""The command line: runs the daemon or a command to it. Only this module installs the reactor.

Exit codes of the daemon: 0 after an orderly stop, 1 after a failure at start or at run time, 2 for an invalid command
line or configuration. Exit codes of commands: 0 done, 1 failed, 2 difference found.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger, globalLogBeginner
from twisted.python.failure import Failure

from pybal.bgp.drains import DrainError
from pybal.bgp.speaker import SpeakerError
from pybal.config.describe import describe
from pybal.config.errors import ConfigError
from pybal.control.arguments import read_arguments
from pybal.control.commandline import command, socket_of_daemon
from pybal.control.listener import ControlError
from pybal.daemon.app import App
from pybal.daemon.support import unknown, unsupported
from pybal.ipvs.backend import BackendError
from pybal.ipvs.kinds import backend
from pybal.monitors.kinds import KINDS
from pybal.reload.file import ConfigurationFile, Loaded
from pybal.resolve import dns_lookup
from pybal.runtime.log import Log, levels, log_to
from pybal.runtime.loop import Loop, install
from pybal.runtime.systemd import Notifier

OK, FAILED, REFUSED = 0, 1, 2

LOG_SECONDS = 2.0
"""Time for the log at the end: a reader of standard error that stalls must not delay a restart."""
_STDERR = 2

log = Logger()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon, check its configuration, or send a command to it; return the exit code."""
    options = read_arguments(arguments)
    if options.command:
        return command(options, os.environ)
    file = ConfigurationFile(
        options.config,
        KINDS,
        lambda settings: replace(settings, dry_run=settings.dry_run or options.dryrun),
        unsupported,
        unknown,
    )
    try:
        loaded = file.read()
    except ConfigError as refused:
        for warning in refused.warnings:
            print("warning:", warning, file=sys.stderr)
        print(refused, file=sys.stderr)
        return REFUSED
    except OSError as error:
        print(f"{options.config}: {error.strerror}", file=sys.stderr)
        return REFUSED
    for problem in (*loaded.warnings, *loaded.unsupported):
        level = "warning:" if options.check_config or problem in loaded.warnings else "refused:"
        print(level, problem, file=sys.stderr)
    if options.check_config:
        print(describe(loaded.settings))
        return OK
    return REFUSED if loaded.unsupported else _run(file, loaded, debug=options.debug)


def _run(file: ConfigurationFile, loaded: Loaded, *, debug: bool) -> int:
    written = log_to(_STDERR, os.environ, debug=debug, burst=loaded.settings.log_burst)
    globalLogBeginner.beginLoggingTo([levels(written, debug=debug)], redirectStandardIO=False)
    # Python would print to standard error, which blocks while it is not read.
    sys.unraisablehook = _log_unraisable
    try:
        _raise_descriptor_limit()
        return _Run(file, loaded, install(), written).result()
    except Exception:  # noqa: BLE001  # a bug: logged with its traceback
        log.failure("pybal crashed")
        return FAILED
    finally:
        written.close(LOG_SECONDS)


def _log_unraisable(raised: sys.UnraisableHookArgs) -> None:
    """Log an exception that Python cannot raise, such as one in a destructor."""
    failure = Failure(raised.exc_value, raised.exc_type, raised.exc_traceback)
    log.failure("Unexpected exception in {what}", failure, what=repr(raised.object))


class _Run:
    """One run of the daemon, from the start to the stop of the reactor."""

    def __init__(self, file: ConfigurationFile, loaded: Loaded, reactor: Loop, written: Log) -> None:
        self._file = file
        self._loaded = loaded
        self._reactor = reactor
        self._log = written
        self._app: App | None = None
        self._code = OK

    def result(self) -> int:
        """Run until a signal; return the exit code."""
        self._reactor.callWhenRunning(self._start)
        self._reactor.run()
        return self._code

    def _start(self) -> None:
        settings = self._loaded.settings
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._reload))
        try:
            app = App(
                self._loaded,
                file=self._file,
                reactor=self._reactor,
                backend=backend(settings.ipvs_backend, dry_run=settings.dry_run),
                lookup=dns_lookup(self._reactor),
                random=Random(),  # noqa: S311  # spreads checks, protects no secret
                notifier=Notifier(os.environ, self._reactor.lane),
                held=self._reactor.held,
                log=self._log,
                runtime=_runtime_directory(),
                state=_state_directory(),
                control=socket_of_daemon(settings.control_socket, os.environ),
            )
            self._reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(_stop(app)))
            log.info("pybal {version} starts", version=version("pybal"))
            app.start()
            self._app = app
        except (ControlError, BackendError, CannotListenError, SpeakerError, DrainError) as failed:
            log.critical("{failed}", failed=failed)
            self._fail()
        except Exception:  # noqa: BLE001  # a bug: logged with its traceback; the process exits with 1
            log.failure("pybal failed to start")
            self._fail()

    def _reload(self) -> None:
        if self._app:
            self._app.request_reload()

    def _fail(self) -> None:
        self._code = FAILED
        self._reactor.stop()


async def _stop(app: App) -> None:
    await app.stop()
    log.info("Exiting...")


def _runtime_directory() -> Path:
    """Return the runtime directory of systemd, or its default path without systemd."""
    return Path(os.environ.get("RUNTIME_DIRECTORY", "/run/pybal").partition(":")[0])


def _state_directory() -> Path | None:
    """Return the state directory of systemd; ``None`` without systemd."""
    directories = os.environ.get("STATE_DIRECTORY", "")
    return Path(directories.partition(":")[0]) if directories else None


def _raise_descriptor_limit() -> None:
    """Raise the soft limit of file descriptors to the hard limit; each check uses one or two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
