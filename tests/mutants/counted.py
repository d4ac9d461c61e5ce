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
    Mutant(
        "moved servers share their former address",
        "self._sharing = None if moved else before._sharing",
        "self._sharing = before._sharing",
    ),
    Mutant("one server shares its address", "if len(found) > 1}", "}"),
    Mutant(
        "servers without an address share it",
        "                if server.address is not None:\n                    hosts.setdefault(server.address, []).append(host)",
        "                if True:\n                    hosts.setdefault(server.address, []).append(host)",
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
