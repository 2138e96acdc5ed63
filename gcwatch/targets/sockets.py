"""Matches a folder's files to a target's sockets, and checks them before they are sent."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gcwatch.config import Column, Constant, Glob, JsonFile, Named, Route, Source
from gcwatch.core.case import Carrier, Input
from gcwatch.core.errors import CannotSend, NotYet
from gcwatch.core.reasons import Reason
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.checks import socket_content
from gcwatch.platform.models import Socket
from gcwatch.targets import reuse
from gcwatch.targets.context import DroppedFolder, TargetContext

_TABLE_SECONDS: Final = 60.0
"""Until a table with a wrong value is looked at again."""

_ITEM_SECONDS: Final = 900.0
"""Until an item of an archive that lacks a socket is looked at again."""

DICOM_IMAGE_SET: Final = "DICOM Image Set"
_CARRIERS: Final[Mapping[str, Carrier]] = {"Image": "image", "File": "file", "Value": "value"}


def source_of(route: Route, socket: Socket) -> Source:
    """Return the source of a socket's content.

    In a route without `inputs` that is the whole folder, or what an archive's item holds in the
    socket of that name.
    """
    if route.inputs:
        return route.inputs[socket.slug]
    return Named(socket.slug) if route.source else Glob(pattern="**/*")


def source_is_present(source: Source, dropped: DroppedFolder) -> bool:
    """Whether the folder has content for a source."""
    match source:
        case Constant():
            return True
        case Named(name):
            return reuse.holds_socket(dropped.receipt, name)
        case Column(column):
            return dropped.row is not None and column in dropped.row.cells
        case Glob(pattern) | JsonFile(pattern):
            return bool(bundle.select_files(dropped.files, pattern))


def source_is_absent(source: Source, dropped: DroppedFolder) -> bool:
    """Whether a source is optional and the folder has no content for it."""
    return (
        not isinstance(source, Constant)
        and source.optional
        and not source_is_present(source, dropped)
    )


def carrier_of(socket: Socket) -> Carrier:
    """Return how a socket's content is sent (platform 3.2)."""
    return "dicom" if socket.kind == DICOM_IMAGE_SET else _CARRIERS[socket.super_kind]


def check_source(socket: Socket, source: Source) -> Carrier:
    """Given a socket and its source, return how it is sent; CannotSend if they don't fit."""
    carrier = carrier_of(socket)
    is_image = carrier in {"image", "dicom"}
    problem = ""
    if isinstance(source, Constant | Column) and carrier != "value":
        problem = "it takes a file, not a value"
    elif isinstance(source, JsonFile) and is_image:
        problem = "it takes an image, not JSON"
    elif isinstance(source, Named) and carrier == "file":
        problem = "only images and values can be used again, not files"
    if problem:
        facts = {"socket": socket.slug, "kind": socket.kind, "problem": problem}
        raise CannotSend(Reason("unsupported_socket", facts))
    if isinstance(source, Constant):
        socket_content.check_value(source.value, socket.kind, socket.slug)
    return carrier


def fill_socket(socket: Socket, dropped: DroppedFolder, context: TargetContext) -> Input:
    """Given a socket and a folder, check the content for the socket and return it as an input."""
    source = source_of(context.route, socket)
    carrier = check_source(socket, source)
    match source:
        case Constant(value):
            return Input(socket.slug, carrier, value=value)
        case Column(column):
            return Input(socket.slug, carrier, value=_cell_value(socket, column, dropped))
        case Named(name) if context.route.source and not source_is_present(source, dropped):
            raise lacking_error(dropped, name)
        case Named(name) if carrier == "value":
            value = reuse.require_value(dropped, name, context.platform)
            socket_content.check_value(value, socket.kind, socket.slug)
            return Input(socket.slug, carrier, value=value)
        case Named(name):
            image = reuse.require_image(dropped, name, carrier, context.platform)
            return Input(socket.slug, carrier, image=image)
        case Glob(pattern) | JsonFile(pattern):
            found = _select_some(dropped.files, pattern, socket, carrier)
    if carrier in {"image", "dicom"}:
        return _image_input(socket, carrier, pattern, found, dropped, context)
    return _file_or_value_input(socket, carrier, pattern, found)


def lacking_error(dropped: DroppedFolder, wanted: str) -> NotYet:
    """Return why an item of an archive has to wait: it may get what it lacks later."""
    held = ", ".join(sorted(reuse.held_sockets(dropped.receipt))) or "nothing"
    return NotYet(Reason("item_incomplete", {"wanted": wanted, "held": held}), _ITEM_SECONDS)


def _cell_value(socket: Socket, column: str, dropped: DroppedFolder) -> Any:
    """Return the value of a folder in a column; NotYet if the table has none that fits."""
    row = dropped.row
    assert row is not None, "a route with such an input has a table"
    try:
        value = row.value(column, socket.kind)
        socket_content.check_value(value, socket.kind, socket.slug)
    except (ValueError, CannotSend) as error:
        facts = error.reason.facts if isinstance(error, CannotSend) else {"problem": str(error)}
        problem = f"has a wrong value for {column} in line {row.line}: it {facts['problem']}"
        reason = Reason("no_table_row", {"problem": problem}, {"folder": dropped.name})
        raise NotYet(reason, _TABLE_SECONDS) from None
    return value


def _image_input(  # noqa: PLR0917 -- the socket, its files, and their folder
    socket: Socket,
    carrier: Carrier,
    pattern: str,
    found: Sequence[SourceFile],
    dropped: DroppedFolder,
    context: TargetContext,
) -> Input:
    if context.route.reuse and not _is_repeated(dropped, context):
        image = reuse.find_image(dropped, found, carrier, context.platform)
        if image:
            return Input(socket.slug, carrier, pattern, image=image)
    return Input(socket.slug, carrier, pattern)


def _is_repeated(dropped: DroppedFolder, context: TargetContext) -> bool:
    """Whether a job is sent again; the platform refuses one with the same images (platform 7.6)."""
    return dropped.again and context.route.kind == "algorithm"


def _file_or_value_input(
    socket: Socket, carrier: Carrier, pattern: str, found: Sequence[SourceFile]
) -> Input:
    file = _require_one(found, pattern, socket)
    if carrier == "file":
        socket_content.check_file(file, socket.kind, socket.slug)
        return Input(socket.slug, carrier, pattern)
    value = socket_content.read_value(file, socket.slug)
    socket_content.check_value(value, socket.kind, socket.slug)
    return Input(socket.slug, carrier, pattern, value)


def _select_some(
    files: Sequence[SourceFile], pattern: str, socket: Socket, carrier: Carrier
) -> Sequence[SourceFile]:
    found = bundle.select_files(files, pattern)
    if not found:
        # Whoever writes threshold=x by hand may mean a text, which is read as a file's name.
        is_word = not set(pattern) & set("*?[].")
        code = "missing_value" if carrier == "value" and is_word else "missing_file"
        raise CannotSend(Reason(code, {"socket": socket.slug, "pattern": pattern}))
    return found


def _require_one(found: Sequence[SourceFile], pattern: str, socket: Socket) -> SourceFile:
    if len(found) > 1:
        facts = {"socket": socket.slug, "pattern": pattern, "count": len(found)}
        raise CannotSend(Reason("too_many_files", facts))
    return found[0]
