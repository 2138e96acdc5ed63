"""Which of several due cases begin first, by the priority of their routes; none waits for ever."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

Priority = Literal["urgent", "normal", "low"]

RANKS: Final[Mapping[Priority, int]] = {"urgent": 0, "normal": 1, "low": 2}
"""A lower rank goes first."""

OLDEST_TURN: Final = 4
"""Each fourth start goes to the case that has been due for longest, whatever its priority."""


def next_keys(ranked: Sequence[str], oldest: Sequence[str], starts: int, count: int) -> list[str]:
    """Return the keys of the cases that begin next, in order.

    Args:
        ranked: Due cases by priority, and within one priority by the time for which they are due.
        oldest: Due cases by that time alone.
        starts: How many cases were started before.
        count: How many may begin; there may be fewer.
    """
    chosen: list[str] = []
    while len(chosen) < count:
        is_oldest_turn = (starts + len(chosen) + 1) % OLDEST_TURN == 0
        queue = (*oldest, *ranked) if is_oldest_turn else (*ranked, *oldest)
        following = next((key for key in queue if key not in chosen), None)
        if following is None:
            break
        chosen.append(following)
    return chosen
