"""Sockets and files brought together: what each socket of a target gets, checked before sending."""

from collections.abc import Mapping, Sequence
from typing import Final

from gcwatch.config import Constant, Glob, JsonFile, Named, Route, Source
from gcwatch.core.case import Carrier, Input
from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging import bundle, socket_content
from gcwatch.platform.models import Socket
from gcwatch.targets import reuse
from gcwatch.targets.context import DroppedFolder, TargetContext

DICOM_IMAGE_SET: Final = "DICOM Image Set"
_CARRIERS: Final[Mapping[str, Carrier]] = {"Image": "image", "File": "file", "Value": "value"}


def source_of(route: Route, socket: Socket) -> Source:
    """Return where a socket's content comes from; without `inputs` it is the whole folder."""
    return route.inputs[socket.slug] if route.inputs else Glob(pattern="**/*")


def is_there(source: Source, dropped: DroppedFolder) -> bool:
    """Whether the folder has something for a source."""
    match source:
        case Constant():
            return True
        case Named(name):
            return bool(reuse.image_named(dropped.receipt, name))
        case Glob(pattern) | JsonFile(pattern):
            return bool(bundle.select(dropped.files, pattern))


def is_absent(source: Source, dropped: DroppedFolder) -> bool:
    """Whether the folder lacks what may be absent."""
    return not isinstance(source, Constant) and source.optional and not is_there(source, dropped)


def carrier_of(socket: Socket) -> Carrier:
    """Return how a socket's content travels (platform 3.2)."""
    return "dicom" if socket.kind == DICOM_IMAGE_SET else _CARRIERS[socket.super_kind]


def check_source(socket: Socket, source: Source) -> Carrier:
    """Given a socket and its source, return how it travels; CannotSend if they don't fit."""
    carrier = carrier_of(socket)
    is_image = carrier in {"image", "dicom"}
    problem = ""
    if isinstance(source, Constant) and carrier != "value":
        problem = "it takes a file, not a value"
    elif isinstance(source, JsonFile) and is_image:
        problem = "it takes an image, not JSON"
    elif isinstance(source, Named) and not is_image:
        problem = "only images can be used again"
    if problem:
        facts = {"socket": socket.slug, "kind": socket.kind, "problem": problem}
        raise CannotSend(Reason("unsupported_socket", facts))
    if isinstance(source, Constant):
        socket_content.check_value(source.value, socket.kind, socket.slug)
    return carrier


def fill(socket: Socket, dropped: DroppedFolder, context: TargetContext) -> Input:
    """Given a socket and a folder, check what the socket gets and return it."""
    source = source_of(context.route, socket)
    carrier = check_source(socket, source)
    match source:
        case Constant(value):
            return Input(socket.slug, carrier, value=value)
        case Named(name):
            image = reuse.require(dropped, name, carrier, context.platform)
            return Input(socket.slug, carrier, image=image)
        case Glob(pattern) | JsonFile(pattern):
            found = _some(dropped.files, pattern, socket)
    if carrier in {"image", "dicom"}:
        return _image(socket, carrier, pattern, found, dropped, context)
    return _file_or_value(socket, carrier, pattern, found)


def _image(  # noqa: PLR0917 -- what was found, where, and for what
    socket: Socket,
    carrier: Carrier,
    pattern: str,
    found: Sequence[SourceFile],
    dropped: DroppedFolder,
    context: TargetContext,
) -> Input:
    if context.route.reuse and not _is_repeated(dropped, context):
        image = reuse.image_of(dropped, found, carrier, context.platform)
        if image:
            return Input(socket.slug, carrier, pattern, image=image)
    uploads = bundle.dicom_set_size(found) if carrier == "dicom" else 1
    return Input(socket.slug, carrier, pattern, uploads=uploads)


def _is_repeated(dropped: DroppedFolder, context: TargetContext) -> bool:
    """Whether a job is wanted again: the platform refuses it for the same images (platform 7.6)."""
    return dropped.again and context.route.kind == "algorithm"


def _file_or_value(
    socket: Socket, carrier: Carrier, pattern: str, found: Sequence[SourceFile]
) -> Input:
    file = _one(found, pattern, socket)
    if carrier == "file":
        socket_content.check_file(file, socket.kind, socket.slug)
        return Input(socket.slug, carrier, pattern)
    value = socket_content.read_value(file, socket.slug)
    socket_content.check_value(value, socket.kind, socket.slug)
    return Input(socket.slug, carrier, pattern, value)


def _some(files: Sequence[SourceFile], pattern: str, socket: Socket) -> Sequence[SourceFile]:
    found = bundle.select(files, pattern)
    if not found:
        raise CannotSend(Reason("no_files", {"socket": socket.slug, "pattern": pattern}))
    return found


def _one(found: Sequence[SourceFile], pattern: str, socket: Socket) -> SourceFile:
    if len(found) > 1:
        facts = {"socket": socket.slug, "pattern": pattern, "count": len(found)}
        raise CannotSend(Reason("too_many_files", facts))
    return found[0]
