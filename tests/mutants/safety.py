"""Mutants of the sanity checks on a new list: exact replacements in pybal/sources/safety.py."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # Which hosts count
    Mutant(
        "hosts that are not pooled count",
        "missing = pool.pooled - listed",
        "missing = {m.host for m in pool.members or ()} - listed",
    ),
    Mutant(
        "hosts that the list declares out count as a loss", "departed = missing - new.removed", "departed = missing"
    ),
    Mutant(
        "hosts that the list declares out count as present",
        "pool.pooled - new.removed, departed,",
        "pool.pooled, departed,",
    ),
    Mutant("hosts that returned count as gone", "frozenset(gone) - listed\n", "frozenset(gone)\n"),
    Mutant("earlier losses are forgotten", "frozenset(gone) - listed\n", "frozenset()\n"),
    Mutant("an accepted list is refused", "    if not accepted:\n", "    if True:\n"),
    Mutant("every list is accepted", "    if not accepted:\n", "    if False:\n"),
    Mutant("the length is not checked", "_refused_length(pool, new, settings) or _refused_loss(", "_refused_loss("),
    Mutant("a refused list is applied", "_merged(pool.members or (), new) if refusal else new.members", "new.members"),
    Mutant(
        "a refused list changes no value",
        "_merged(pool.members or (), new) if refusal else new.members",
        "(pool.members or ()) if refusal else new.members",
    ),
    Mutant("the remedy is not named", "({refusal.setting}{remedy})", "({refusal.setting})"),
    Mutant("a refused list has departed hosts", "frozenset() if refusal else departed", "departed"),
    Mutant("hosts that a list declares out are not reported", "missing & new.removed, error)", "frozenset(), error)"),
    Mutant(
        "hosts that were out already are reported as declared out",
        "missing & new.removed, error)",
        "new.removed, error)",
    ),
    # Length
    Mutant("an empty list is refused again after a restart", " and not was_empty:", ":"),
    Mutant("an unknown pool counts as empty", "pool.members is not None and not pool.members", "not pool.members"),
    Mutant(
        "an empty list is accepted",
        "if not new.members and not new.removed and not settings.allow_empty",
        "if False and not settings.allow_empty",
    ),
    Mutant(
        "an empty list that declares hosts out is refused",
        "not new.members and not new.removed and",
        "not new.members and",
    ),
    Mutant("allow-empty is ignored", " and not settings.allow_empty and not was_empty", " and not was_empty"),
    Mutant(
        "max-depool-step is not named for an empty list",
        '" and max-depool-step = 1" if len(pool.pooled) >= SMALLEST',
        '"" if len(pool.pooled) >= SMALLEST',
    ),
    Mutant(
        "max-depool-step is named for a small pool",
        "if len(pool.pooled) >= SMALLEST and settings.max_step < 1",
        "if settings.max_step < 1",
    ),
    Mutant(
        "max-depool-step is named although it is 1",
        "if len(pool.pooled) >= SMALLEST and settings.max_step < 1",
        "if len(pool.pooled) >= SMALLEST",
    ),
    Mutant(
        "a list of max-pool-size is refused",
        "len(new.members) > settings.max_pool_size",
        "len(new.members) >= settings.max_pool_size",
    ),
    Mutant("max-pool-size is ignored", "len(new.members) > settings.max_pool_size", "False"),
    # Loss
    Mutant(
        "hosts gone before do not count in the whole", "len(present | gone), len(departed", "len(present), len(departed"
    ),
    Mutant("hosts gone before do not count in the loss", "len(departed | gone), len", "len(departed), len"),
    Mutant("hosts that leave again count as gone before", "len(gone - departed)", "len(gone)"),
    Mutant("the share is a float", "Decimal(str(settings.max_step))", "settings.max_step"),
    Mutant(
        "the share applies to three hosts", "if before >= SMALLEST else before", "if before >= SMALLEST - 1 else before"
    ),
    Mutant(
        "the share does not apply to four hosts",
        "if before >= SMALLEST else before",
        "if before > SMALLEST else before",
    ),
    Mutant("all hosts of a pool may leave", "if departed == present and share < 1", "if False and share < 1"),
    Mutant(
        "the loss of all is refused although the share is 1",
        "if departed == present and share < 1 and",
        "if departed == present and",
    ),
    Mutant(
        "the loss of all is refused although empty lists are allowed", " and (length or not settings.allow_empty):", ":"
    ),
    Mutant("the last host may leave", "min(allowed, before - 1)", "min(allowed, before)"),
    Mutant(
        "allow-empty accepts a list of other hosts", "(length or not settings.allow_empty)", "not settings.allow_empty"
    ),
    Mutant(
        "a list without a loss is refused for those before",
        "if not departed or leaving <= allowed:",
        "if leaving <= allowed:",
    ),
    Mutant("a loss of the share is refused", "leaving <= allowed:", "leaving < allowed:"),
    Mutant(
        "the hosts that left before are not mentioned", 'if earlier else ""\n    text', 'if False else ""\n    text'
    ),
    # Inconclusive lists
    Mutant(
        "hosts without a valid value have that of the list",
        "present.get(m.host, m) if m.host in new.unsure else m",
        "m",
    ),
    Mutant(
        "unsure hosts replace every value",
        "present.get(m.host, m) if m.host in new.unsure else m",
        "present.get(m.host, m)",
    ),
    Mutant(
        "an unsure host that is new is dropped",
        "present.get(m.host, m) if m.host in new.unsure else m for m in new.members]",
        "present[m.host] if m.host in new.unsure else m for m in new.members if m.host in present or m.host not in new.unsure]",
    ),
    Mutant(
        "a host that the list declares out stays",
        "{m.host for m in members} - new.removed",
        "{m.host for m in members}",
    ),
    Mutant("unsure hosts leave", "(new.incomplete or m.host in new.unsure)", "new.incomplete"),
    Mutant("hosts leave with an incomplete list", "(new.incomplete or m.host in new.unsure)", "m.host in new.unsure"),
    Mutant("every absent host stays with an unsure one", " and (new.incomplete or m.host in new.unsure)]", "]"),
    Mutant(
        "an incomplete list without unsure hosts is taken as complete",
        "if not new.incomplete and not new.unsure:",
        "if not new.unsure:",
    ),
    Mutant(
        "unsure hosts of a complete list are overlooked",
        "if not new.incomplete and not new.unsure:",
        "if not new.incomplete:",
    ),
    # Values of a refused list, and the floor
    Mutant(
        "a refused list keeps the hosts that it declares out",
        " for member in before if member.host not in new.removed)",
        " for member in before)",
    ),
    Mutant("the floor counts disabled hosts", "enabled_number(after, floor)", "len(after)"),
    Mutant("the floor is one less", "    if missing <= 0:\n", "    if missing <= 1:\n"),
    Mutant("hosts that were disabled are enabled", "for member in before if member.enabled}", "for member in before}"),
    Mutant(
        "the floor counts hosts that the list enables",
        "if member.host in enabled and not member.enabled)",
        "if member.host in enabled)",
    ),
    Mutant("all disabled hosts stay enabled", "not member.enabled)[:missing]", "not member.enabled)"),
    Mutant("kept hosts stay disabled", "replace(m, enabled=True) if m.host in reenabled else m", "m"),
    Mutant(
        "the floor enables every host",
        "replace(m, enabled=True) if m.host in reenabled else m",
        "replace(m, enabled=True)",
    ),
)
