"""Functions that are told how far work has come, for whoever draws it. Pure."""

from collections.abc import Callable

TransferProgress = Callable[[str, int, int], None]
"""Told a case's key, how many bytes have moved, and of how many."""

MirrorProgress = Callable[[int, int, int], None]
"""Told how many items are done, of how many to download, and how many bytes have moved."""


def no_progress(*_told: object) -> None:
    """Draw nothing."""
