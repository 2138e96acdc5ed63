"""Functions that get the progress of work, to draw it; and how long the rest of it takes. Pure."""

from collections.abc import Callable, Sequence

TransferProgress = Callable[[str, int, int], None]
"""Called with a case's key, how many bytes have moved, and of how many."""

MirrorProgress = Callable[[int, int, int], None]
"""Called with how many items are done, of how many to download, and how many bytes have moved."""


def no_progress(*_told: object) -> None:
    """Draw nothing."""


def seconds_left(ended: Sequence[float], spent: Sequence[float], at_once: int) -> float | None:
    """Return about how many seconds the open cases still take; None if that can't be known.

    Args:
        ended: How many seconds each case took that ended in this run.
        spent: How many seconds each open case has been worked on.
        at_once: The most cases that were worked on at the same time.
    """
    if not ended or not spent:
        return None
    usual = sum(ended) / len(ended)
    rest = [max(usual - each, 0.0) for each in spent]
    # The last one has no other to share its time with. If all take longer than usual, no number
    # is right.
    return max(sum(rest) / max(at_once, 1), *rest) or None
