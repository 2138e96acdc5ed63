"""Cases that exist before a client sends any: they are added without the API."""

import shutil
from base64 import b64decode
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

from gcwatch.sandbox.algorithms import component_file_key
from gcwatch.sandbox.content.catalogue import Socket
from gcwatch.sandbox.content.names import safe_filename
from gcwatch.sandbox.content.socket_kinds import DICOM_SET
from gcwatch.sandbox.importer.importer import ImportRefused, import_session
from gcwatch.sandbox.model import (
    Answer,
    Case,
    DicomUpload,
    Image,
    Part,
    PlatformState,
    Session,
    Upload,
    Value,
    new_pk,
)
from gcwatch.sandbox.storage.dicom_sets import import_image_set

Content = Any
"""Content of a socket: a JSON value; for files and images bytes, or a pair of file name and bytes.

For a DICOM Image Set the bytes are a zip of DICOM files, and the name is that of the image. The
path of a file may stand for its bytes.
"""


def decode_content(given: dict[str, Any]) -> Content:
    """Decode a JSON object that stands for bytes; return any other object unchanged.

    Bytes are {"base64": ...}, a file of this machine is {"path": ...}; either may have a "name".
    """
    if given.keys() - {"name"} == {"base64"}:
        data: Content = b64decode(given["base64"], validate=True)
    elif given.keys() - {"name"} == {"path"}:
        data = Path(given["path"])
    else:
        return given
    return (given["name"], data) if "name" in given else data


def fill_case(state: PlatformState, case: Case, contents: Mapping[str, Content]) -> None:
    """Attach contents to a case, by socket slug.

    Raises:
        ValueError: There is no such socket, or the bytes are not exactly one image.
    """
    for slug, each in contents.items():
        socket = state.catalogue.socket(slug)
        if socket is None:
            message = f"no such socket: {slug}"
            raise ValueError(message)
        case.values[slug] = _make_value(state, socket, each)


def attach_mask(state: PlatformState, answer: Answer, mask: Content) -> None:
    """Give an answer an image, as after its import.

    Raises:
        ValueError: The bytes are not exactly one image.
    """
    name, data = mask if isinstance(mask, tuple) else ("mask.mha", mask)
    answer.image, answer.answer = _import_image(state, name, data), {"upload_session_pk": new_pk()}


def _make_value(state: PlatformState, socket: Socket, given: Content) -> Value:
    if socket.super_kind == "Value":
        return state.find_or_add_value(socket, value=given)
    name, data = given if isinstance(given, tuple) else ("", given)
    name = name or (data.name if isinstance(data, Path) else "")
    if socket.kind == DICOM_SET:
        data = data.read_bytes() if isinstance(data, Path) else data
        return state.find_or_add_value(
            socket, image=_import_image_set(state, name or socket.slug, data)
        )
    if socket.super_kind == "Image":
        return state.find_or_add_value(
            socket, image=_import_image(state, name or f"{socket.slug}.mha", data)
        )
    record = state.add_value(socket)
    name = name or socket.relative_path.rpartition("/")[2]
    record.file = state.add_file(component_file_key(record.pk, safe_filename(name)))
    _write_content(data, record.file.path)
    return record


def _write_content(data: bytes | Path, path: Path) -> None:
    if isinstance(data, Path):
        shutil.copyfile(data, path)
    else:
        path.write_bytes(data)


def _import_image(state: PlatformState, name: str, data: bytes | Path) -> Image:
    """Import the one image in a file."""
    session = Session(state.users[0], [_make_upload(state, name, data)], state.now())
    try:
        found = import_session(state, session)
    except ImportRefused as refusal:
        raise ValueError(str(refusal)) from refusal
    finally:
        session.uploads[0].parts[1].path.unlink()
    if len(found.images) != 1:
        message = f"{name} is {len(found.images)} images"
        raise ValueError(message)
    return found.images[0]


def _import_image_set(state: PlatformState, name: str, data: bytes) -> Image:
    """Import a zip of DICOM files as a DICOM Image Set."""
    uploads: list[Upload] = []
    if is_zipfile(BytesIO(data)):
        with ZipFile(BytesIO(data)) as files:
            uploads = [_make_upload(state, each, files.read(each)) for each in files.namelist()]
    state.uploads |= {each.pk: each for each in uploads}
    image = import_image_set(state, DicomUpload(state.users[0], name, uploads)) if uploads else None
    if image is None:
        message = f"{name} is no DICOM Image Set"
        raise ValueError(message)
    return image


def _make_upload(state: PlatformState, name: str, data: bytes | Path) -> Upload:
    """Make a completed upload that the API does not show; it needs no ETag."""
    path = state.folder / "parts" / new_pk()
    _write_content(data, path)
    part = Part("", path.stat().st_size, state.now(), path)
    return Upload(state.users[0], name, state.now(), status="Completed", parts={1: part})
