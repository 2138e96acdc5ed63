"""Reads de-identification procedures: the local one, and those that labs write themselves.

The format is that of the package `grand-challenge-dicom-de-id-procedure`. The local procedure is
`procedure.json`, made by `tools/make_procedure.py`.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

Procedure = Mapping[str, Any]

_LOCAL: Final = Path(__file__).with_name("procedure.json")


@functools.cache
def local_procedure() -> Procedure:
    """Return the procedure for image sockets: a keep-list for each class of images."""
    return json.loads(_LOCAL.read_bytes(), object_hook=_without_reasons)  # type: ignore[no-any-return]


def with_own_classes(own: Procedure | None) -> Procedure:
    """Return the local procedure, with the classes of a lab's own one in place of its classes."""
    local = local_procedure()
    if own is None:
        return local
    return {**local, "version": own["version"], "sopClass": local["sopClass"] | own["sopClass"]}


def platform_procedure() -> Procedure:
    """Return the platform's own procedure, which DICOM Image Set sockets are held to."""
    from grand_challenge_dicom_de_id_procedure import procedure  # noqa: PLC0415 - as in read_dataset

    return procedure  # type: ignore[no-any-return]


@functools.cache
def _action(letter: str) -> dict[str, str]:
    """Return the row of an action; one object for all rows, as there are thousands."""
    return {"default": letter}


def _without_reasons(row: dict[str, Any]) -> dict[str, Any]:
    return _action(row["default"]) if row.keys() == {"default", "justification"} else row


@functools.cache
def _tag_name(keyword: str) -> str:
    from pydicom.tag import Tag  # noqa: PLC0415 - as in read_dataset

    return str(Tag(keyword))


def is_removed(procedure: Procedure, sop_class: str, keyword: str) -> bool:
    """Whether a procedure takes an element away from files of this class, or its value.

    False for classes that it does not know: their files are refused.
    """
    rules = procedure["sopClass"].get(sop_class)
    if rules is None:
        return False
    return bool(rules["tag"].get(_tag_name(keyword), rules)["default"] != "K")


def actions_of(procedure: Procedure, sop_class: str) -> Mapping[int, str]:
    """Return what happens to the elements of a class, by tag, in the procedure's letters."""
    rules = procedure["sopClass"].get(sop_class, {"tag": {}})
    return {
        int(tag[1:5] + tag[6:10], 16): row["default"]
        for tag, row in rules["tag"].items()
        if "X" not in tag
    }
