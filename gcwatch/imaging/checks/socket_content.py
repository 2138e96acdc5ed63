"""Checks whether a file or a value fits the kind of its socket."""

import io
import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO, NoReturn

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.checks import json_shapes, signatures
from gcwatch.imaging.checks.json_syntax import find_fault
from gcwatch.imaging.checks.signatures import Format

VALUE_BYTES = 16 * 1024 * 1024
"""The largest request body that the platform's proxy accepts (platform 1.13)."""

_BOM = b"\xef\xbb\xbf"


def _file_error(code: str, problem: object, socket: str, file: SourceFile) -> CannotSend:
    facts = {"problem": str(problem), "socket": socket}
    return CannotSend(Reason(code, facts, {"file": file.name}))


# --- values ------------------------------------------------------------------------------------


def read_value(file: SourceFile, socket: str = "") -> Any:
    """Given a JSON file for a Value socket, return its value.

    Raise CannotSend: `broken_json` if it is no JSON (NaN and Infinity are not allowed),
    `wrong_content` if it is larger than the platform accepts (16 MiB), `empty_file` if it has no
    bytes. Raise SourceChanged if it changed since it was listed.
    """
    _require_bytes(file)
    if file.size > VALUE_BYTES:
        raise _file_error("wrong_content", "it has more than 16 MiB", socket, file)
    with open_unchanged(file) as stream:
        return _parse_value(stream, file, socket)


def _parse_value(stream: BinaryIO, file: SourceFile, socket: str) -> Any:
    data = stream.read()
    try:
        return _decode_json(data)
    except (ValueError, RecursionError) as error:
        fault = find_fault(io.BytesIO(data.removeprefix(_BOM)))
        raise _file_error("broken_json", fault or "it can't be read", socket, file) from error


def _decode_json(data: bytes | str) -> Any:
    return json.loads(data, parse_constant=_refuse_constant, parse_float=_parse_finite)


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


def _parse_finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(literal)
    return number


def check_value(value: Any, kind: str, socket: str) -> None:
    """Given a value for a Value socket of this kind, raise CannotSend if it is surely wrong.

    The reason is `wrong_value`; it says what is wrong and where, without the value. The checks are
    those of `json_shapes`. A value of an unknown kind may be anything except null.
    """
    problem = "it is null" if value is None else _value_problem(value, kind)
    if problem:
        raise CannotSend(
            Reason("wrong_value", {"problem": problem, "socket": socket, "kind": kind})
        )


def _value_problem(value: Any, kind: str) -> str:
    if kind in json_shapes.KINDS and (problem := json_shapes.find_problem(value, kind)):
        return problem
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return "it can't be written as JSON (NaN, infinity, a date, or too many levels)"
    return ""


# --- files -------------------------------------------------------------------------------------


def check_file(file: SourceFile, kind: str, socket: str) -> None:
    """Given a file for a File socket of this kind, raise CannotSend if it is surely wrong.

    Name and content are checked (platform 3.6, 3.7), because the platform checks neither, and a
    job with an invalid JSON file never ends. Unknown kinds pass. The reason is `empty_file`,
    `wrong_content` (another kind of file), `broken_json` or `damaged_file`. Raise SourceChanged if
    the file changed since it was listed.

    JSON of up to 16 MiB must have the shape of its kind (`json_shapes`); for larger files only the
    syntax is checked.
    """
    _require_bytes(file)
    if kind in json_shapes.KINDS:
        _require_suffix(file, (".json",), socket)
        _check_json(file, kind, socket)
    elif kind in _FILES:
        suffixes, _ = _FILES[kind]
        _require_suffix(file, suffixes, socket)
        _check_format(file, kind, socket)


def _require_bytes(file: SourceFile) -> None:
    if file.size == 0:
        raise CannotSend(Reason("empty_file", names={"file": file.name}))


def _require_suffix(file: SourceFile, suffixes: tuple[str, ...], socket: str) -> None:
    if not file.name.lower().endswith(suffixes):
        problem = f"its name does not end in {' or '.join(suffixes)}"
        raise _file_error("wrong_content", problem, socket, file)


def _check_json(file: SourceFile, kind: str, socket: str) -> None:
    with open_unchanged(file) as stream:
        problem = _shape_problem(stream, file, kind)
        stream.seek(0)
        if problem is None and (fault := find_fault(stream)):
            raise _file_error("broken_json", fault, socket, file)
    if problem:
        raise _file_error("wrong_content", f"as {kind}, {problem}", socket, file)


def _shape_problem(stream: BinaryIO, file: SourceFile, kind: str) -> str | None:
    """Return what is wrong with the shape, or None if the file is too large or not JSON."""
    if file.size > VALUE_BYTES:
        return None
    try:
        return json_shapes.find_problem(_decode_json(stream.read().decode()), kind)
    except (ValueError, RecursionError):
        return None


def _check_format(file: SourceFile, kind: str, socket: str) -> None:
    _, wanted = _FILES[kind]
    with open_unchanged(file) as stream:
        start = stream.read(signatures.START_BYTES)
        if not wanted.begins(start):
            found = signatures.recognise_format(start)
            problem = f"as {kind} it should be {wanted.name}, but it is {found or 'not'}"
            raise _file_error("wrong_content", problem, socket, file)
        if problem := wanted.damage(stream):
            raise _file_error("damaged_file", problem, socket, file)


_FILES: Mapping[str, tuple[tuple[str, ...], Format]] = {
    "PDF file": ((".pdf",), signatures.PDF),
    "SQREG file": ((".sqreg",), signatures.SQLITE),
    "Thumbnail jpg": ((".jpeg", ".jpg"), signatures.JPEG),
    "Thumbnail png": ((".png",), signatures.PNG),
    "OBJ file": ((".obj",), signatures.OBJ),
    "MP4 file": ((".mp4",), signatures.MP4),
    "Newick tree-format file": ((".newick", ".nwk"), signatures.NEWICK),
    "BIOM format": ((".biom",), signatures.BIOM),
    "CSV file": ((".csv",), signatures.CSV),
    "ZIP file": ((".zip",), signatures.ZIP),
}
