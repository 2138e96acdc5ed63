"""Pauses between tries."""

import pytest

from gcwatch.core.timing import retry_pause


@pytest.mark.parametrize(("tries", "pause"), [(1, 5), (2, 10), (3, 20), (9, 900), (10_000, 900)])
def test_each_pause_is_twice_the_one_before_up_to_the_longest(tries, pause):
    """However many tries there were, nothing overflows."""
    assert retry_pause(tries, 5.0, 900.0) == pause


def test_a_spread_pause_is_longer_but_never_too_long():
    """The spread counts before the limit."""
    assert retry_pause(1, 5.0, 900.0, spread=0.2) == pytest.approx(6.0)
    assert retry_pause(9, 5.0, 900.0, spread=0.2) == 900.0
