"""The type of `expect`: how many files or slices a case has to have, or which file says so."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import PlainValidator, WithJsonSchema

from gcwatch.config.values.types import check_inside, value_error
from gcwatch.core.temporary_names import is_temporary

MOST_EXPECTED: Final = 1_000_000
"""The largest number of files or slices that a case may have to have."""

_HINT: Final = (
    'write a number (300), { number = 300, count = "slices" }, { file = "count.txt" }, or '
    '{ file = "study.json", key = "slices", count = "slices" }'
)


@dataclass(frozen=True)
class Expected:
    """What a case has to have: so many `count`, namely `number` or what a file of the case says.

    `file` is relative to the case's folder. `key` is a key of that JSON file ("a.b": b within a);
    without one the file holds the number and nothing else.
    """

    number: int = 0
    file: str = ""
    key: str = ""
    count: Literal["files", "slices"] = "files"


def _expected(value: Any) -> Expected:
    match value:
        case Expected():
            return value
        case int() if not isinstance(value, bool):
            return Expected(_check_number(value))
        case {"count": "files" | "slices" as count, **given}:
            return _from_table(given, count)
        case {**given}:
            return _from_table(given, "files")
        case _:
            raise value_error("is no number of files or slices", _HINT)


def _from_table(given: dict[Any, Any], count: Literal["files", "slices"]) -> Expected:
    match given:
        case {"number": int(number), **others} if not others and not isinstance(number, bool):
            return Expected(_check_number(number), count=count)
        case {"file": str(file), **others} if not others:
            return Expected(file=_check_file(file), count=count)
        case {"file": str(file), "key": str(key), **others} if key and not others:
            return Expected(file=_check_file(file), key=key, count=count)
        case _:
            raise value_error("is no number of files or slices", _HINT)


def _check_number(number: int) -> int:
    if not 1 <= number <= MOST_EXPECTED:
        raise value_error(f"must be between 1 and {MOST_EXPECTED}", "write 300, for example")
    return number


def _check_file(file: str) -> str:
    """Refuse a file that no scan would ever find."""
    check_inside(file)
    name = PurePosixPath(file).name
    if is_temporary(name) or any(part.startswith(".") for part in PurePosixPath(file).parts):
        raise value_error(
            "must be a file whose name is not hidden or temporary", 'such as "count.txt"'
        )
    return str(PurePosixPath(file))


_COUNT_SCHEMA: Final = {"enum": ["files", "slices"], "description": "What is counted."}
_NUMBER_SCHEMA: Final = {"type": "integer", "minimum": 1, "maximum": MOST_EXPECTED}

Expect = Annotated[
    Expected,
    PlainValidator(_expected),
    WithJsonSchema(
        {
            "oneOf": [
                {**_NUMBER_SCHEMA, "description": "The number of files of each case."},
                {
                    "type": "object",
                    "properties": {"number": _NUMBER_SCHEMA, "count": _COUNT_SCHEMA},
                    "required": ["number"],
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "properties": {
                        "file": {"type": "string", "description": "A file of the case's folder."},
                        "key": {"type": "string", "description": "The key in a JSON file."},
                        "count": _COUNT_SCHEMA,
                    },
                    "required": ["file"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
