"""Functions that get the progress of work, to draw it. Pure."""

from collections.abc import Callable

TransferProgress = Callable[[str, int, int], None]
"""Called with a case's key, how many bytes have moved, and of how many."""

MirrorProgress = Callable[[int, int, int], None]
"""Called with how many items are done, of how many to download, and how many bytes have moved."""


def no_progress(*_told: object) -> None:
    """Draw nothing."""
