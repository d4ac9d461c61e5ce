"""Mutants of the census (pybal/core/counted.py) and of what it counts (pybal/core/model.py)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant("replaced values stay counted", "            census[self.condition_of(before._values[name])] -= 1\n", ""),
    Mutant("new values are not counted", "            census[condition] = census.get(condition, 0) + 1\n", ""),
    Mutant(
        "conditions without values stay",
        " for condition, number in census.items() if number}",
        " for condition, number in census.items()}",
    ),
    Mutant("values are not replaced", "{**before._values, **values}", "dict(before._values)"),
    Mutant("no values make a new version", "        if not values:\n            return self\n", ""),
    Mutant("a version has only the last replacements", "if self._base is before._version:", "if self._replaced:"),
    Mutant(
        "replacements are in the order of their arrival", "sorted(values, key=self.names.__getitem__)", "list(values)"
    ),
)
MODEL_MUTANTS = (
    Mutant("moved servers keep their former address", "if server.address is not before[host].address", "if False"),
    Mutant("a server that leaves an address takes the others with it", "if other != host)):", "if False)):"),
    Mutant("a server stays at its former address", "hosts_at.pop(old) if other != host)):", "hosts_at.pop(old))):"),
    Mutant(
        "the last server to move is the last at its address",
        "tuple(sorted((*hosts_at.get(new, ()), host), key=self.names.__getitem__))",
        "(*hosts_at.get(new, ()), host)",
    ),
    Mutant("one server shares its address", "if len(hosts) > 1}", "}"),
    Mutant(
        "another place changes another fact",
        "            placement,\n            self.suspect_failures,",
        "            placement,\n            frozenset(),",
    ),
    Mutant(
        "disabled members count as pending lookups",
        "return self.enabled and not self.unresolvable and not self.ready",
        "return not self.unresolvable and not self.ready",
    ),
    Mutant(
        "members with an address count as pending lookups",
        "return self.enabled and not self.unresolvable and not self.ready",
        "return self.enabled and not self.unresolvable",
    ),
    Mutant(
        "unresolvable names count as pending lookups",
        "return self.enabled and not self.unresolvable and not self.ready",
        "return self.enabled and not self.ready",
    ),
    Mutant(
        "disabled servers serve",
        "return self.enabled and self.ready and self.health is Health.UP",
        "return self.ready and self.health is Health.UP",
    ),
    Mutant(
        "servers without an address serve",
        "return self.enabled and self.ready and self.health is Health.UP",
        "return self.enabled and self.health is Health.UP",
    ),
    Mutant(
        "unknown servers serve",
        "return self.enabled and self.ready and self.health is Health.UP",
        "return self.enabled and self.ready and self.health is not Health.DOWN",
    ),
)
