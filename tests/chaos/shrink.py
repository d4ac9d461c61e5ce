"""The shortest failing part of a list of steps, by delta debugging."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def shrink(steps: Sequence[int], fails: Callable[[Sequence[int]], bool], attempts: int) -> Sequence[int]:
    """Return a part of ``steps`` that fails and is not longer; call ``fails`` at most ``attempts`` times.

    The last step alone is tried first, because it mostly suffices; then ever smaller pieces are left out. The last step stays.
    """
    if len(steps) > 1 and attempts > 0:
        attempts -= 1
        if fails(steps[-1:]):
            return steps[-1:]
    size = len(steps) // 2
    while size > 0:
        begin = 0
        while begin < len(steps) - 1:
            rest = (*steps[:begin], *steps[min(begin + size, len(steps) - 1) :])
            if attempts == 0:
                return steps
            attempts -= 1
            if fails(rest):
                steps = rest
            else:
                begin += size
        size //= 2
    return steps
