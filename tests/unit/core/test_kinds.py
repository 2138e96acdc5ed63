"""The table of kinds: what it names is read by the platform, by receipts and by the log."""

from typing import get_args

from gcwatch.core.kinds import KIND_NAMES, PRODUCT_KEYS, Kind
from gcwatch.targets import KINDS


def test_every_kind_has_names_and_operations():
    """The tables have the same kinds."""
    assert [*KIND_NAMES] == [*KINDS] == [*get_args(Kind)]


def test_keys_that_receipts_and_logs_hold_stay():
    """Receipts on disk are read by later versions."""
    assert PRODUCT_KEYS == ("job", "display_set", "archive_item")
