"""The receipt's times."""

from itertools import permutations

import pytest

from gcwatch.core.case import Case, Submission, Target
from gcwatch.core.receipt import make_receipt


@pytest.mark.parametrize("hours", [*permutations(range(4))])
def test_no_duration_in_a_receipt_is_negative(hours):
    """The clock may be set between any two of them; what it said last counts."""
    found, settled, submitted, delivered = (3600.0 * each for each in hours)
    case = Case(
        "lobes-a", "lobes", "p1", found=found, touched=0, settled=settled,
        target=Target("1", "url", "slug"), submission=Submission("2", "url", submitted),
    )  # fmt: skip
    times = [*make_receipt(case, "https://x", "0", delivered)["times"].values()]
    assert times == sorted(times)
    assert times[-1] == f"1970-01-01T0{hours[-1]}:00:00+00:00"
