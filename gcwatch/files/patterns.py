"""File names matched against globs, and names that never belong to a case."""

import functools
import re
import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase, translate

from gcwatch.core.receipt import CHANGE_NOTE, FAILURE_NOTE, RETRY_FILE, WITHDRAW_FILE
from gcwatch.core.temporary_names import is_temporary

IGNORED_NAMES = (
    ".*",
    "Thumbs.db",
    "desktop.ini",
    "__MACOSX",
    "@eaDir",
    "gcwatch.json",
    "*" + FAILURE_NOTE,
    "*" + CHANGE_NOTE,
    "*" + RETRY_FILE,
    "*" + WITHDRAW_FILE,
)
"""Globs of names that never belong to a case, besides temporary names; case does not matter."""


_IGNORED = re.compile("|".join(translate(pattern) for pattern in IGNORED_NAMES), re.IGNORECASE)


@functools.lru_cache(maxsize=256)
def _pattern_parts(pattern: str) -> tuple[str, ...]:
    return tuple(_fold_name(pattern).split("/"))


def _fold_name(name: str) -> str:
    # macOS writes decomposed letters ("e" and an accent), a config file has composed ones.
    return unicodedata.normalize("NFC", name).lower()


def matches_pattern(name: str, pattern: str) -> bool:
    """Given a relative name and a glob, return whether the whole name matches, ignoring case.

    `*` and `?` match within one component; a component `**` matches any number of components.
    """
    return _match_parts(tuple(_fold_name(name).split("/")), _pattern_parts(pattern))


def _match_parts(parts: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_match_parts(parts[skip:], patterns[1:]) for skip in range(len(parts) + 1))
    return (
        bool(parts) and fnmatchcase(parts[0], patterns[0]) and _match_parts(parts[1:], patterns[1:])
    )


def is_ignored(name: str, ignore: Sequence[str] = ()) -> bool:
    """Given a relative name and a route's globs, return whether it never belongs to a case.

    The built-in globs are compared with the last component only: a folder is checked before its
    content. A route's globs are compared with the last component and with the whole name.
    """
    last = name.rpartition("/")[2]
    if _IGNORED.match(last) or is_temporary(last):
        return True
    return any(
        matches_pattern(last, pattern) or matches_pattern(name, pattern) for pattern in ignore
    )
