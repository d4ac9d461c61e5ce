"""The limits of conditions that an operator sets for a time: a forgotten one must end."""

from __future__ import annotations

FREEZE_DEFAULT, FREEZE_LONGEST = 600.0, 4 * 3600.0
"""Seconds of a freeze."""
DEPOOL_DEFAULT, DEPOOL_LONGEST = 3600.0, 24 * 3600.0
"""Seconds for which an operator takes a server out of its pool."""
