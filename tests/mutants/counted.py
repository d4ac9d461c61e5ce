"""Mutants of the census (pybal/core/counted.py) and of what it counts (pybal/core/model.py)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "replaced values stay counted",
        "                census[self.condition_of(old)] -= 1\n",
        "                pass\n",
    ),
    Mutant("new values are not counted", "                census[condition] = census.get(condition, 0) + 1\n", ""),
    Mutant(
        "conditions without values stay",
        " for condition, number in census.items() if number}",
        " for condition, number in census.items()}",
    ),
    Mutant("values are not replaced", "{**self._values, **values}", "dict(self._values)"),
    Mutant("no values make a new version", "        if not values:\n            return self\n", ""),
    Mutant("a version has only the last replacements", "if version is before._version:", "if True:"),
    Mutant(
        "replacements between two versions are overlooked",
        "replaced.update(dict.fromkeys(names))",
        "replaced = dict.fromkeys(names)",
    ),
    Mutant(
        "values that changed back are replaced",
        "for name in replaced if self._values[name] is not before._values[name]]",
        "for name in replaced]",
    ),
    Mutant("replacements are in the order of their arrival", "sorted(changed, key=self.names.__getitem__)", "changed"),
    Mutant("a list with the same names makes other names", "if list(values) == list(self._values):", "if False:"),
    Mutant(
        "names in another order are the same",
        "if list(values) == list(self._values):",
        "if values.keys() == self._values.keys():",
    ),
    Mutant(
        "values that stay are replaced",
        "self.replacing_in_steps({name: values[name] for name in changed})",
        "self.replacing_in_steps(values)",
    ),
)
MODEL_MUTANTS = (
    Mutant("moved servers keep their former address", "if not moved and self.names is before.names:", "if True:"),
    Mutant("a server that leaves an address takes the others with it", "if other != host)\n", "if False)\n"),
    Mutant("a server stays at its former address", "if other != host)\n", "if True)\n"),
    Mutant(
        "the last server to move is the last at its address",
        "tuple(sorted(hosts, key=self.names.__getitem__))",
        "hosts",
    ),
    Mutant(
        "addresses keep the order of the previous list", "dict.fromkeys(before.sharing)\n", "dict[Address, None]()\n"
    ),
    Mutant("one server shares its address", "if len(hosts_at.get(address, ())) > 1}", "if address in hosts_at}"),
    Mutant(
        "a list in another order changes no address", "if not moved and self.names is before.names:", "if not moved:"
    ),
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
        "arriving servers count as pending lookups",
        "return self.enabled and not self.unresolvable and not self.ready and not self.moving",
        "return self.enabled and not self.unresolvable and not self.ready",
    ),
    Mutant(
        "disabled servers are late",
        "return self.enabled and not self.ready and self.overdue",
        "return not self.ready and self.overdue",
    ),
    Mutant(
        "servers that keep an address are late",
        "return self.enabled and not self.ready and self.overdue",
        "return self.enabled and self.overdue",
    ),
    Mutant(
        "every arriving server is late",
        "return self.enabled and not self.ready and self.overdue",
        "return self.enabled and not self.ready and self.moving",
    ),
    Mutant(
        "disabled servers serve",
        "return self.weighted and self.enabled and self.ready and self.health is Health.UP",
        "return self.weighted and self.ready and self.health is Health.UP",
    ),
    Mutant(
        "servers without an address serve",
        "return self.weighted and self.enabled and self.ready and self.health is Health.UP",
        "return self.weighted and self.enabled and self.health is Health.UP",
    ),
    Mutant(
        "servers of weight 0 serve in the census",
        "return self.weighted and self.enabled and self.ready and self.health is Health.UP",
        "return self.enabled and self.ready and self.health is Health.UP",
    ),
    Mutant(
        "servers of weight 0 serve",
        "member.enabled and member.weight > 0 and self.address",
        "member.enabled and self.address",
    ),
    Mutant(
        "unknown servers serve",
        "return self.weighted and self.enabled and self.ready and self.health is Health.UP",
        "return self.weighted and self.enabled and self.ready and self.health is not Health.DOWN",
    ),
)
