"""Is a file, or a value, what its socket says."""

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NoReturn

from gcwatch.errors import CannotSend
from gcwatch.inbox import SourceFile, open_unchanged
from gcwatch.json_syntax import is_json
from gcwatch.reasons import Reason

VALUE_BYTES = 16 * 1024 * 1024
"""The largest body that the platform's proxy lets through (contract, section 1)."""

_START = 4096
"""Bytes that are enough to tell one kind of file from another."""

_ANNOTATIONS = (
    "2D bounding box",
    "Distance measurement",
    "Point",
    "Polygon",
    "Line",
    "Angle",
    "Ellipse",
    "Three-point angle",
    "Affine transform registration",
    "Chart",
    "Multiple 2D bounding boxes",
    "Multiple distance measurements",
    "Multiple points",
    "Multiple polygons",
    "Multiple lines",
    "Multiple angles",
    "Multiple ellipses",
    "Multiple three-point angles",
)
"""Kinds whose JSON is an object; the platform checks what is in it."""

_PLAIN = ("String", "Integer", "Float", "Bool", "Anything", "Choice", "Multiple choice")

JSON_KINDS = frozenset({*_PLAIN, *_ANNOTATIONS})
"""Kinds whose content is JSON, inline or in a file."""


def _wrong(problem: str, socket: str, file: str = "") -> CannotSend:
    names = {"file": file} if file else {}
    return CannotSend(Reason("wrong_content", {"problem": problem, "socket": socket}, names))


# --- values ------------------------------------------------------------------------------------


def read_value(file: SourceFile, socket: str = "") -> Any:
    """Given a JSON file for a Value socket, return its value.

    Raise CannotSend (`wrong_content`) if it is no JSON (NaN and Infinity are none) or larger
    than the platform takes (16 MiB), `empty_file` if it has no bytes; SourceChanged if it is not
    as listed.
    """
    _require_bytes(file)
    if file.size > VALUE_BYTES:
        raise _wrong("more than 16 MiB", socket, file.name)
    with open_unchanged(file) as stream:
        return _parse(stream, file, socket)


def _parse(stream: BinaryIO, file: SourceFile, socket: str) -> Any:
    try:
        return json.loads(stream.read(), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise _wrong("not valid JSON", socket, file.name) from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(literal)
    return number


def check_value(value: Any, kind: str, socket: str) -> None:
    """Given a value for a Value socket of this kind, raise CannotSend if it can't be right.

    The reason is `wrong_content`. The platform holds schemas that it does not show; this checks
    the literal's type. Kinds that are not known here pass.
    """
    expected = _EXPECTED.get(kind)
    if value is None or (expected and not expected(value)) or not _is_finite(value):
        raise _wrong(f"{_type_name(value)} instead of {kind}", socket)


def _type_name(value: Any) -> str:
    return {"NoneType": "null", "dict": "object", "list": "array", "str": "string"}.get(
        type(value).__name__, type(value).__name__
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _is_integer(value: Any) -> bool:
    # JSON Schema, which the platform goes by, counts 3.0 as an integer.
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


def _is_choice(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)


def _is_choices(value: Any) -> bool:
    return isinstance(value, list) and all(_is_choice(choice) for choice in value)


_EXPECTED: Mapping[str, Callable[[Any], bool]] = {
    "String": lambda value: isinstance(value, str),
    "Integer": _is_integer,
    "Float": _is_number,
    "Bool": lambda value: isinstance(value, bool),
    "Choice": _is_choice,
    "Multiple choice": _is_choices,
    **dict.fromkeys(_ANNOTATIONS, lambda value: isinstance(value, dict)),
}


# --- files -------------------------------------------------------------------------------------


def check_file(file: SourceFile, kind: str, socket: str) -> None:
    """Given a file for a File socket of this kind, raise CannotSend if it can't be right.

    Suffix and content are checked, as contract section 3 asks: the platform checks neither, and
    a job whose JSON file does not parse never ends. Kinds that are not known here pass. The
    reason is `wrong_content`, or `empty_file`. Raise SourceChanged if it is not as listed.
    """
    _require_bytes(file)
    suffixes, check = _FILES.get(kind, ((), None))
    if suffixes and not file.name.lower().endswith(suffixes):
        raise _wrong(f"its name does not end in {' or '.join(suffixes)}", socket, file.name)
    if check is None:
        return
    with open_unchanged(file) as stream:
        if not check(stream):
            problem = "not valid JSON" if kind in JSON_KINDS else f"not a {kind}"
            raise _wrong(problem, socket, file.name)


def _require_bytes(file: SourceFile) -> None:
    if file.size == 0:
        raise CannotSend(Reason("empty_file", names={"file": file.name}))


def _starts(*magic: bytes) -> Callable[[BinaryIO], bool]:
    return lambda stream: stream.read(_START).startswith(magic)


def _is_pdf(stream: BinaryIO) -> bool:
    return b"%PDF-" in stream.read(1024)  # readers allow bytes before it


def _is_text(stream: BinaryIO) -> bool:
    return b"\0" not in stream.read(_START)


def _is_mp4(stream: BinaryIO) -> bool:
    return stream.read(12)[4:8] == b"ftyp"


def _is_newick(stream: BinaryIO) -> bool:
    if not _is_text(stream):
        return False
    stream.seek(-min(stream.seek(0, 2), 64), 2)
    return stream.read().rstrip().endswith(b";")


def _is_biom(stream: BinaryIO) -> bool:
    if stream.read(8) == b"\x89HDF\r\n\x1a\n":
        return True
    stream.seek(0)
    return is_json(stream)


def _is_zip(stream: BinaryIO) -> bool:
    return stream.read(2) == b"PK" and zipfile.is_zipfile(stream)


_FILES: Mapping[str, tuple[tuple[str, ...], Callable[[BinaryIO], bool] | None]] = {
    **dict.fromkeys(JSON_KINDS, ((".json",), is_json)),
    "PDF file": ((".pdf",), _is_pdf),
    "SQREG file": ((".sqreg",), _starts(b"SQLite format 3\0")),
    "Thumbnail jpg": ((".jpeg", ".jpg"), _starts(b"\xff\xd8\xff")),
    "Thumbnail png": ((".png",), _starts(b"\x89PNG\r\n\x1a\n")),
    "OBJ file": ((".obj",), _is_text),
    "MP4 file": ((".mp4",), _is_mp4),
    "Newick tree-format file": ((".newick", ".nwk"), _is_newick),
    "BIOM format": ((".biom",), _is_biom),
    "CSV file": ((".csv",), _is_text),
    "ZIP file": ((".zip",), _is_zip),
}
