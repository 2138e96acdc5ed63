"""Checks the format of a de-identification procedure that a lab has written."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_TAG: Final = re.compile(r"\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)")
_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_ACTIONS: Final = frozenset("DKRUXZ")
_LONGEST_VERSION: Final = 18
"""More does not fit into DeidentificationMethod, beside the name of the library."""


def parse_procedure(content: bytes) -> dict[str, Any]:
    """Given the content of a file, return its procedure; raise ValueError with what is wrong."""
    try:
        procedure = json.loads(content)
    except (ValueError, RecursionError):
        message = "it is not valid JSON"
        raise ValueError(message) from None
    if problem := _find_problem(procedure):
        raise ValueError(problem)
    return {
        "version": procedure["version"],
        "sopClass": {
            uid: {
                "default": "X",
                "tag": {
                    tag.upper(): {"default": row["default"]} for tag, row in rules["tag"].items()
                },
            }
            for uid, rules in procedure["sopClass"].items()
        },
    }


def _find_problem(procedure: Any) -> str:
    if not isinstance(procedure, Mapping) or not isinstance(procedure.get("sopClass"), Mapping):
        return 'it has no table "sopClass"'
    version = procedure.get("version")
    if not isinstance(version, str) or not 0 < len(version) <= _LONGEST_VERSION:
        return f'its "version" must be a text of 1 to {_LONGEST_VERSION} characters'
    problems = (_find_class_problem(*each) for each in procedure["sopClass"].items())
    return next((problem for problem in problems if problem), "")


def _find_class_problem(uid: str, rules: Any) -> str:
    if not _UID.fullmatch(uid):
        return f"{uid!r} is no UID of a class"
    if not isinstance(rules, Mapping) or not isinstance(rules.get("tag"), Mapping):
        return f'class {uid} has no table "tag"'
    if rules.get("default") != "X":
        return f'the "default" of class {uid} must be "X": what it does not list is removed'
    for tag, row in rules["tag"].items():
        if not _TAG.fullmatch(tag):
            return f"{tag!r} of class {uid} is no tag such as (0008,0060)"
        if not isinstance(row, Mapping) or row.get("default") not in _ACTIONS:
            return f'{tag} of class {uid} needs a "default": one of {", ".join(sorted(_ACTIONS))}'
    return ""
