"""Decides what `gcwatch once` leaves to a later run."""

from collections.abc import Collection, Sequence
from typing import Final

from gcwatch.core.case import Case
from gcwatch.core.reasons import needs_person

ENOUGH_TRIES: Final = 4
"""Tries after which `gcwatch once` leaves a case to a later run."""


def all_left_to_later_run(cases: Sequence[Case]) -> bool:
    """Given all unfinished cases, return whether none has anything to do in this run."""
    open_cases = {case.key for case in cases if case.is_open}
    return all(_is_left(case, open_cases) for case in cases)


def _is_left(case: Case, open_cases: Collection[str]) -> bool:
    """Whether a case waits for a person or for hours, or for one of `open_cases` (keys).

    A case that waits for another one is left if that is.
    """
    if not case.is_open and case.command is not None:
        return case.command.attempts >= ENOUGH_TRIES
    if case.wait is None:
        return False
    if case.wait.reason.code == "same_images_under_way":
        return case.wait.reason.facts["case"] in open_cases
    return needs_person(case.wait.reason) or case.attempts >= ENOUGH_TRIES
