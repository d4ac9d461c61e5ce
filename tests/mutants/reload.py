"""Mutants of pybal/reload/plan.py and pybal/daemon/reloader.py: exact replacements."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PLAN_MUTANTS = (
    # Steps
    Mutant(
        "a service with another name is added and removed",
        "left.pop(key_of(settings.service), None), settings",
        "left.pop(key_of(settings.service), None) if False else None, settings",
    ),
    Mutant("removed services stay", "    for settings in left.values():\n        yield settings, None\n", ""),
    Mutant("equal services change", "    if not reasons:\n        return Step(Verb.KEEP, old, new, pool=pool)\n", ""),
    Mutant(
        "a service that moves gives no reason",
        "        if old.service.name == new.service.name:\n",
        "        if False:\n",
    ),
    Mutant(
        "an added service has its servers immediately",
        "found = {} if here is None else {wanted.service.key: replace(here, destinations={})}",
        "found = {}",
    ),
    Mutant(
        "an added service is written before its list",
        "reasons, later=later, until=until",
        "reasons, ops=later, until=until",
    ),
    Mutant("a removed service is deleted without a drain", "    if not grace:\n", "    if True:\n"),
    Mutant("a removed service is drained without a grace", "    if not grace:\n", "    if False:\n"),
    Mutant(
        "a drained service is never deleted",
        "ops=diff(draining, here), later=diff({}, draining), until",
        "ops=diff(draining, here), until",
    ),
    Mutant(
        "a removed service keeps its weights",
        "key: drained(each) for key, each in here.items()",
        "key: each for key, each in here.items()",
    ),
    Mutant(
        "the monitors of a removed service are not stopped",
        "stopped = tuple(_monitors(settings, pool))",
        "stopped = ()",
    ),
    Mutant(
        "a pool without a list is written",
        "if after.listed and (old.service != new.service):",
        "if old.service != new.service:",
    ),
    Mutant("changed settings are not written", "if after.listed and (old.service != new.service):", "if False:"),
    Mutant("the pool of a changed service has its old settings", "        pool=after,\n", "        pool=pool,\n"),
    Mutant(
        "started monitors are stopped",
        "for host in hosts for kind in started)",
        "for host in hosts for kind in stopped)",
    ),
    # Blast radius
    Mutant("removals up to the limit are refused", "if count > most * whole:", "if count >= most * whole:"),
    Mutant(
        "servers of removed services do not count",
        "servers = sum(total[step.name] for step in removed)",
        "servers = 0",
    ),
    Mutant(
        "servers that leave changed services do not count",
        "    servers += sum(op.command is Command.DELETE for step in steps for op in step.ops)\n",
        "",
    ),
    Mutant(
        "all servers of a list are the whole",
        "total[name] = len(policy.wanted(pool))",
        "total[name] = len(pool.servers)",
    ),
    # The plan
    Mutant("operations have any order", "        ordered(ops),\n", "        tuple(ops),\n"),
    Mutant(
        "removals come before the other steps",
        "    for settings in after:\n        yield left.pop(key_of(settings.service), None), settings\n",
        "    for key in left.keys() - {key_of(settings.service) for settings in after}:\n"
        "        yield left.pop(key), None\n"
        "    for settings in after:\n        yield left.pop(key_of(settings.service), None), settings\n",
    ),
    Mutant(
        "a changed service has its old name",
        "settings = self.after or self.before\n",
        "settings = self.before or self.after\n",
    ),
    Mutant(
        "a changed service is written as if it were absent",
        "differences(wanted, held(old.service))",
        "differences(wanted, None)",
    ),
    Mutant("servers without an address have monitors", " if server.ready]", "]"),
    Mutant(
        "monitors keep the old name of their service",
        "(monitor, settings.share_checks, service.name)",
        "(monitor, settings.share_checks)",
    ),
    Mutant(
        "monitors keep the old share-checks",
        "(monitor, settings.share_checks, service.name)",
        "(monitor, service.name)",
    ),
    Mutant(
        "a plan that only changes announcements is empty",
        "self.general or self.announcements or self.restart",
        "self.general or self.restart",
    ),
    Mutant(
        "a plan that needs a restart is empty",
        "self.general or self.announcements or self.restart",
        "self.general or self.announcements",
    ),
)
RELOADER_MUTANTS = (
    # Refusals
    Mutant(
        "a blocked reload is applied",
        "        if blocker := self._targets.blocker():\n",
        "        if (blocker := self._targets.blocker()) and False:\n",
    ),
    Mutant("the blast radius is not enforced", "*([plan.radius] if plan.radius and not force else [])", "*([])"),
    Mutant("a forced reload keeps to the blast radius", "if plan.radius and not force else", "if plan.radius else"),
    Mutant(
        "problems are ignored",
        "        if problems:\n            return self._refused(Outcome(False, at, problems, warnings, plan))\n",
        "",
    ),
    Mutant(
        "unsupported settings are applied",
        "        if problems := _texts(loaded.unsupported):\n"
        "            return self._refused(Outcome(False, at, problems, warnings))\n",
        "",
    ),
    Mutant("changes that need a restart are applied", "problems = (*plan.restart, *(", "problems = (*(), *("),
    Mutant(
        "a forced reload applies changes that need a restart",
        "(*plan.restart, *(",
        "(*(() if force else plan.restart), *(",
    ),
    Mutant(
        "an unreadable file ends the reload",
        "        except OSError as error:\n"
        '            return self._refused(Outcome(False, at, (f"{self._file.path}: {error.strerror}",)))\n',
        "",
    ),
    Mutant(
        "a port in use is an internal error",
        "except (BackendError, SpeakerError, CannotListenError) as error:",
        "except (BackendError, SpeakerError) as error:",
    ),
    Mutant(
        "an unreadable table is an internal error",
        "except (BackendError, SpeakerError, CannotListenError) as error:",
        "except (SpeakerError, CannotListenError) as error:",
    ),
    Mutant("refused reloads are not counted", "last.refused + (not outcome.accepted)", "last.refused"),
    # Steps
    Mutant("additions come before removals", "each[0].verb is not Verb.REMOVE)", "each[0].verb is Verb.REMOVE)"),
    Mutant("new ports are not opened", "        self._targets.listening.open(settings.instrumentation)\n", ""),
    Mutant("old ports stay open", "        await targets.listening.close(besides=settings.instrumentation)\n", ""),
    Mutant(
        "all ports are closed", "targets.listening.close(besides=settings.instrumentation)", "targets.listening.close()"
    ),
    Mutant("services keep their order", "        targets.services.set_order(settings.services)\n", ""),
    Mutant(
        "the old settings stay in use",
        "self.settings, self.sensitive = settings, loaded.sensitive",
        "self.sensitive = loaded.sensitive",
    ),
    Mutant(
        "new secrets are not sensitive",
        "self.settings, self.sensitive = settings, loaded.sensitive",
        "self.settings = settings",
    ),
    Mutant("an accepted reload is not reported", "        targets.accepted()\n", ""),
    Mutant("general settings are not applied", "            targets.applied(settings)\n", "            pass\n"),
    Mutant("an empty plan is applied", "        if not plan.empty:\n", "        if True:\n"),
    Mutant("the loaded file counts as changed", "digest=loaded.digest, loaded_at", "loaded_at"),
    Mutant(
        "BGP is not checked",
        "        if self._targets.announcing:\n            self._targets.announcing.check(settings)\n",
        "",
    ),
    Mutant(
        "BGP is not reconfigured",
        "        if targets.announcing:\n            targets.announcing.reconfigure(settings, _new(plan.steps))\n",
        "",
    ),
    Mutant(
        "new services are announced immediately",
        "reconfigure(settings, _new(plan.steps))",
        "reconfigure(settings, frozenset())",
    ),
    Mutant(
        "steps are not applied",
        "            apply()\n            await self._turn()\n",
        "            await self._turn()\n",
    ),
    Mutant(
        "all steps are applied in one turn",
        "            apply()\n            await self._turn()\n",
        "            apply()\n",
    ),
    Mutant("steps are not logged", "        await self._turns.run(self._log_lines(plan))\n", ""),
    Mutant(
        "warnings of an accepted reload are lost",
        "Outcome(True, at, (), warnings, plan)",
        "Outcome(True, at, (), (), plan)",
    ),
    Mutant(
        "warnings of a refused reload are not logged",
        '            self._log.warn("{warning}", warning=warning, system="reload")\n',
        "            pass\n",
    ),
    Mutant(
        "a refused reload has no plan",
        "(Outcome(False, at, problems, warnings, plan))",
        "(Outcome(False, at, problems, warnings))",
    ),
    Mutant("the time of the load stays", ", loaded_at=targets.clock.seconds())", ")"),
    # Removal from the kernel
    Mutant(
        "removed services stay in the kernel",
        "            self._targets.reconciler.retire(key_of(service), service.name)\n",
        "            pass\n",
    ),
    Mutant(
        "removed services leave while their VIPs are announced",
        "held = self._targets.announcing and any(map(self._targets.announcing.holds, vips))",
        "held = False",
    ),
    Mutant(
        "a VIP that other services have delays a removal",
        "vips = {service.vip for service in services} - remaining",
        "vips = {service.vip for service in services}",
    ),
    Mutant(
        "a removal waits for all services",
        "for removed in services if each.service.name == removed.name\n",
        "for removed in services\n",
    ),
    Mutant("a removal waits for no successor", "if not held and all(", "if not held or all("),
    Mutant("a removal waits for ever", "while services and self._targets.clock.seconds() < until:", "while services:"),
    # Life
    Mutant(
        "the next reload waits for ever after an exception",
        "        try:\n            return await self._reload(force=force)\n        finally:\n            self._lock.release()\n",
        "        outcome = await self._reload(force=force)\n        self._lock.release()\n        return outcome\n",
    ),
    Mutant(
        "two reloads run at a time",
        "        await self._lock.acquire()\n        try:\n            return await self._reload(force=force)\n"
        "        finally:\n            self._lock.release()\n",
        "        return await self._reload(force=force)\n",
    ),
    Mutant(
        "only one request is served", "        self._requested = False\n        self._targets", "        self._targets"
    ),
    Mutant(
        "a request made during a reload is lost",
        "        self._requested = False\n        self._targets.notifier.reloading()\n        try:\n"
        "            outcome = await self._outcome(force=force)\n",
        "        self._targets.notifier.reloading()\n        try:\n"
        "            outcome = await self._outcome(force=force)\n            self._requested = False\n",
    ),
    Mutant("requests are not merged", "            self._requested = True\n", ""),
    Mutant("a stopped daemon applies the rest", "        if self._stopped:\n            raise CancelledError\n", ""),
    Mutant(
        "a reload that a stop cancels is logged as a fault",
        "        if not failure.check(CancelledError):\n",
        "        if True:\n",
    ),
    Mutant(
        "a stopped daemon reports itself as reloaded",
        "            if not self._stopped:\n",
        "            if True:\n",
    ),
    Mutant("the begin of a reload is not notified", "        self._targets.notifier.reloading()\n", ""),
    Mutant(
        "a failed reload never ends for the service manager",
        "        finally:\n            if not self._stopped:\n                self._targets.notifier",
        "        finally:\n            pass\n        if True:\n            if not self._stopped:\n                self._targets.notifier",
    ),
)
