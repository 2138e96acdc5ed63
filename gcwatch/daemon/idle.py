"""Decides what `gcwatch once` leaves to a later run."""

from collections.abc import Collection
from typing import Final

from gcwatch.core.case import Case
from gcwatch.core.reasons import needs_person

ENOUGH_TRIES: Final = 4
"""Tries after which `gcwatch once` leaves a case to a later run."""


def is_left_to_later_run(case: Case, open_cases: Collection[str]) -> bool:
    """Given an open case, return whether it waits for a person or for hours: not for one run.

    A case that waits for another one is left if that is: if it is one of `open_cases` (keys).
    """
    if case.wait is None:
        return False
    if case.wait.reason.code == "same_images_under_way":
        return case.wait.reason.facts["case"] in open_cases
    return needs_person(case.wait.reason) or case.attempts >= ENOUGH_TRIES
