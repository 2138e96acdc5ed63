"""Names matched against globs, and names that are never content of a case."""

import functools
import re
import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase, translate

IGNORED_NAMES = (
    ".*",
    "*.part",
    "*.partial",
    "*.tmp",
    "~$*",
    "Thumbs.db",
    "desktop.ini",
    "__MACOSX",
    "@eaDir",
    "gcwatch.json",
)
"""Globs of names that are never case content, whatever their case."""


_IGNORED = re.compile("|".join(translate(pattern) for pattern in IGNORED_NAMES), re.IGNORECASE)


@functools.lru_cache(maxsize=256)
def _pattern_parts(pattern: str) -> tuple[str, ...]:
    return tuple(_fold_name(pattern).split("/"))


def _fold_name(name: str) -> str:
    # macOS writes decomposed letters where a config file has composed ones.
    return unicodedata.normalize("NFC", name).lower()


def matches_pattern(name: str, pattern: str) -> bool:
    """Given a relative name and a glob, return whether the whole name matches, whatever its case.

    `*` and `?` stay within one component; a component `**` stands for any number of them.
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
    """Given a relative name and a route's globs, return whether it is never case content.

    The built-in globs see the last component (folders are judged before what is in them); a
    route's glob sees the last component, and the whole name too.
    """
    last = name.rpartition("/")[2]
    return bool(_IGNORED.match(last)) or any(
        matches_pattern(last, pattern) or matches_pattern(name, pattern) for pattern in ignore
    )
