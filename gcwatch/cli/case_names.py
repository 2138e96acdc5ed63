"""Find cases by the names that people type."""

import difflib
from typing import Final

from gcwatch.api import Watch
from gcwatch.cli.errors import Misused
from gcwatch.core.case import Case
from gcwatch.core.text import printable_name

_MOST_NAMES: Final = 1000
"""Comparing a name with all of a million takes minutes."""


def find(watch: Watch, reference: str) -> Case:
    """Given a key, `route/key` or `route/folder`, return the case; raise Misused if none."""
    try:
        return watch.find(reference)
    except KeyError:
        raise Misused(f"There is no case {reference}.", _near(watch, reference)) from None


def find_latest(watch: Watch, reference: str) -> Case:
    """Return a case to act on; raise Misused if its folder has a newer case."""
    case = find(watch, reference)
    latest = watch.find(f"{case.route}/{case.folder}")
    if latest.key != case.key:
        raise Misused(
            f"{case.key} is not the latest case of its folder.", f"The latest is {latest.key}."
        )
    return case


def _near(watch: Watch, reference: str) -> str:
    names = [
        name
        for case in watch.journal.recent(_MOST_NAMES)
        for name in (case.key, f"{case.route}/{printable_name(case.folder)}")
    ]
    close = difflib.get_close_matches(reference, names, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else "gcwatch status lists the cases."
