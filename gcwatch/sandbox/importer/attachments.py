"""Checks of a file's content by the task that attaches it to a File socket (platform 3.6).

JSON is checked against the schema of its kind; Newick trees and BIOM tables are parsed. Files of
other kinds are not checked: a text file is accepted as a PDF.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

from gcwatch.sandbox.content import json_schemas
from gcwatch.sandbox.content.catalogue import Socket

_HDF5 = b"\x89HDF\r\n\x1a\n"
_NEWICK = re.compile(r"\[(?:\\.|[^\]])*\]|'(?:\\.|[^'])*'|[^\s()\[\]';,]+|[(),;]")


class InvalidContent(Exception):
    """The content does not fit its socket; the message is the platform's."""


class InvalidJson(Exception):
    """The content is not JSON; the platform's task crashes while it stores that error."""


def check_attachment(socket: Socket, path: Path) -> None:
    """Check a file as far as the platform does.

    Raises:
        Unfit: The content does not fit its socket.
        Unparsable: The content is not JSON; no error is reported.
    """
    if socket.holds_json:
        _check_json(socket, path)
    elif socket.kind in _CHECKS:
        _CHECKS[socket.kind](path)


def _check_json(socket: Socket, path: Path) -> None:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidJson(str(error)) from error
    if problem := json_schemas.find_problem(socket.kind, value, socket.schema):
        raise InvalidContent(problem)


def _check_newick(path: Path) -> None:
    """Check that there is at least one tree, and that its brackets match."""
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise InvalidContent("Does not appear to be a Newick tree-format file") from error
    pieces = [match[0] for match in _NEWICK.finditer(text)]
    if not pieces:
        raise InvalidContent("No Newick tree found")
    depth = 0
    for piece in pieces:
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if depth < 0 or (piece == ";" and depth):
            break
    if depth:
        message = "Number of open/close parentheses do not match."
        raise InvalidContent(f"Invalid Newick tree format: {message}")


def _check_biom(path: Path) -> None:
    """Check for an HDF5 file with both axes of a table; BIOM's older JSON form is refused."""
    data = path.read_bytes()
    if not data.startswith(_HDF5):
        raise InvalidContent("Only BIOM in valid HDF5 binary file format are supported")
    if not (b"observation" in data and b"sample" in data):
        raise InvalidContent("Does not appear to be a BIOM-format file")


_CHECKS: dict[str, Callable[[Path], None]] = {
    "Newick tree-format file": _check_newick,
    "BIOM format": _check_biom,
}
