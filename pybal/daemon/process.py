"""The daemon as a process: reads or checks its configuration, runs, returns an exit code."""

from __future__ import annotations

import argparse
import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred
from twisted.logger import FilteringLogObserver, Logger, globalLogBeginner
from twisted.python.failure import Failure

from pybal import __version__
from pybal.config.describe import describe
from pybal.config.errors import ConfigError, Problem
from pybal.config.settings import IPVSBackend
from pybal.control.place import socket_of_daemon
from pybal.daemon.app import App
from pybal.daemon.check import FAILED, OK, REFUSED, configuration_file, exposed
from pybal.daemon.support import absent_group
from pybal.ipvs.kinds import backend
from pybal.reload.file import ConfigurationFile, Loaded
from pybal.resolve import dns_lookup
from pybal.runtime.faults import Faults, FirstOccurrence
from pybal.runtime.file_values import file_values
from pybal.runtime.inherited import Inherited
from pybal.runtime.instance import AlreadyRunningError, InstanceLock
from pybal.runtime.log import Log, levels, log_to
from pybal.runtime.loop import Loop, install
from pybal.runtime.systemd import Notifier

SETTLING_SECONDS = 2.0
"""Time after which a refused configuration file is read again, because it may have been half-written."""
SETTLING_READS = 15
"""Readings of a refused file that changes each time, at most."""
LOG_SECONDS = 2.0
"""Time for the log at the end: a reader of standard error that stalls must not delay a restart."""
_STDERR = 2

log = Logger()


def main(options: argparse.Namespace, inherited: Inherited) -> int:
    """Run the daemon with the sockets that it inherited, or check its configuration; return the exit code."""
    file = configuration_file(options.config, dry_run=options.dryrun)
    try:
        loaded = _check(file) if options.check_config else _read(file)
    except OSError as error:
        print(f"{options.config}: {unreadable(error)}", file=sys.stderr)
        return FAILED
    if loaded is None:
        return REFUSED
    if options.check_config:
        print(describe(loaded.settings))
        return OK
    return _run(file, loaded, inherited, debug=options.debug)


def unreadable(error: OSError) -> str:
    """Return why a configuration file cannot be read, and what to do."""
    remedies = {
        errno.ENOENT: "create it, or name another file with -c",
        errno.EACCES: f"make it readable for user {os.geteuid()}",
        errno.EISDIR: "name a file with -c",
        errno.EIO: "check the disk or the server of its file system",
    }
    remedy = remedies.get(error.errno or 0)
    return f"cannot be read: {error.strerror}" + (f" ({remedy})" if remedy else "")


def _check(file: ConfigurationFile) -> Loaded | None:
    """Return the settings for ``--check-config``, also checked against this machine; print problems."""
    try:
        loaded = file.read()
    except ConfigError as refused:
        _print_refused(refused)
        return None
    _print_all("warning:", loaded.warnings)
    problems = (*loaded.unsupported, *absent_group(loaded.settings, file.path), *exposed(loaded))
    _print_all("warning:", problems)
    return loaded


def _read(file: ConfigurationFile) -> Loaded | None:
    """Return the settings for the start, or print the problems and return ``None``.

    A refused file may be half-written: it is read again until two readings are equal, or for a limited time. Raises OSError.
    """
    before = None
    for _ in range(SETTLING_READS):
        refused: Sequence[Problem] | ConfigError
        try:
            loaded = file.read(machine=False)
        except ConfigError as error:
            refused = error
        else:
            if not loaded.unsupported:
                _print_all("warning:", loaded.warnings)
                return loaded
            refused = loaded.unsupported
        digest = file.digest()
        if digest == before:
            break
        if before is None:
            print(f"{file.path}: refused; reading it again in {SETTLING_SECONDS:g} s", file=sys.stderr, flush=True)
        before = digest
        time.sleep(SETTLING_SECONDS)
    if isinstance(refused, ConfigError):
        _print_refused(refused)
    else:
        _print_all("warning:", loaded.warnings)
        _print_all("refused:", refused)
    return None


def _print_refused(refused: ConfigError) -> None:
    _print_all("warning:", refused.warnings)
    print(refused, file=sys.stderr)


def _print_all(label: str, problems: Iterable[Problem]) -> None:
    for problem in problems:
        print(label, problem, file=sys.stderr)


def _run(file: ConfigurationFile, loaded: Loaded, inherited: Inherited, *, debug: bool) -> int:
    faults = Faults()
    written = log_to(_STDERR, os.environ, debug=debug, burst=loaded.settings.log_burst)
    shown = FilteringLogObserver(levels(written, debug=debug), [FirstOccurrence()])
    globalLogBeginner.beginLoggingTo([shown, faults], redirectStandardIO=False)
    # Python would print to standard error, which blocks while it is not read.
    sys.unraisablehook = _log_unraisable
    try:
        _raise_descriptor_limit()
        reactor = install()
        if _writes_ipvs(loaded):
            _lock(reactor)
        return _Run(file, loaded, reactor, written, faults, inherited=inherited).result()
    except AlreadyRunningError as other:
        log.critical("{other}", other=other)
        return FAILED
    except Exception:  # noqa: BLE001  # a bug: logged with its traceback
        log.failure("pybal crashed")
        return FAILED
    finally:
        written.close(LOG_SECONDS)


def _lock(reactor: Loop) -> None:
    """Hold the lock of this network namespace until the process ends. Raises AlreadyRunningError."""
    lock = InstanceLock()
    try:
        lock.acquire()
    except OSError as error:
        text = "Cannot make sure that no other pybal runs in this network namespace ({reason}); starting"
        log.warn(text, reason=error.strerror or error)
    else:
        reactor.addReader(lock)  # type: ignore[no-untyped-call]


def _log_unraisable(raised: sys.UnraisableHookArgs) -> None:
    """Log an exception that Python cannot raise, such as one in a destructor."""
    failure = Failure(raised.exc_value, raised.exc_type, raised.exc_traceback)
    log.failure("Unexpected exception in {what}", failure, what=repr(raised.object))


class _Run:
    """One run of the daemon, from the start to the stop of the reactor."""

    def __init__(
        self,
        file: ConfigurationFile,
        loaded: Loaded,
        reactor: Loop,
        written: Log,
        faults: Faults,
        *,
        inherited: Inherited,
    ) -> None:
        self._inherited = inherited
        self._faults = faults
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
        files = file_values(self._reactor)
        try:
            app = App(
                self._loaded,
                file=self._file,
                reactor=self._reactor,
                backend=backend(settings.ipvs_backend, dry_run=settings.dry_run),
                lookup=dns_lookup(self._reactor, files=files),
                random=Random(),  # noqa: S311  # spreads checks, protects no secret
                notifier=Notifier(os.environ, self._reactor.lane),
                held=self._reactor.held,
                log=self._log,
                runtime=_runtime_directory(),
                state=_state_directory(),
                control=socket_of_daemon(settings.control_socket, os.environ),
                faults=self._faults,
                files=files,
                inherited=self._inherited,
            )
            self._reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(_stop(app)))
            log.info("pybal {version} starts", version=__version__)
            app.start()
            self._app = app
        except Exception:  # noqa: BLE001  # a bug: logged with its traceback; the process exits with 1
            log.failure("pybal failed to start")
            self._fail()

    def _reload(self) -> None:
        if self._app:
            self._app.request_reload()

    def _fail(self) -> None:
        self._code = FAILED
        self._reactor.stop()


def _writes_ipvs(loaded: Loaded) -> bool:
    return not loaded.settings.dry_run and loaded.settings.ipvs_backend is not IPVSBackend.MEMORY


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
