"""Uses images again that are on the platform already, according to a folder's gcwatch.json.

Anybody can write that file, so it is only a hint. For files chosen by a pattern, the platform's
image must have exactly the files that are here, with the same bytes when they were fetched. For a
socket's name, the job or item in the receipt must have that image in that socket.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from gcwatch.core.case import Carrier
from gcwatch.core.errors import CannotSend, Refused
from gcwatch.core.kinds import ItemKind
from gcwatch.core.reasons import Reason
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.outbox import outputs
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.download import LARGEST_FILE_BYTES
from gcwatch.platform.http import CHUNK_BYTES
from gcwatch.platform.models import Image, SocketValue
from gcwatch.targets.context import DroppedFolder
from gcwatch.threads.heartbeats import heartbeat

_IMAGE: Final = re.compile(r"/cases/images/([0-9A-Za-z-]+)/?$")
_ITEM_KEYS: Final[Mapping[str, ItemKind]] = {
    "display_set": "reader_study",
    "archive_item": "archive",
    "item": "archive",  # in the receipt of a mirror
}


@dataclass(frozen=True)
class _ReceiptEntry:
    """A socket in a receipt: the pk of its image, or "", and the SHA-256 of its files by path.

    `value` is the SHA-256 of a value that was sent, or "".
    """

    socket: str
    image: str
    files: Mapping[str, str]
    value: str = ""


def item_url(receipt: Mapping[str, Any]) -> str:
    """Return the API URL of the archive item in the receipt of a mirror, "" without one."""
    told = _receipt_target(receipt).get("item_url")
    return told if isinstance(told, str) else ""


def held_sockets(receipt: Mapping[str, Any]) -> set[str]:
    """Return the sockets of which a receipt has an image or a value."""
    told = (*_only_objects(receipt.get("inputs")), *_only_objects(receipt.get("outputs")))
    return {str(e.get("socket")) for e in told if _image_pk(e) or e.get("carrier") == "value"}


def holds_socket(receipt: Mapping[str, Any], socket: str) -> bool:
    """Whether a receipt has an image or a value for a socket."""
    return socket in held_sockets(receipt)


def require_value(dropped: DroppedFolder, socket: str, platform: GrandChallenge) -> Any:
    """Return the value that the job or item in a folder's receipt has in a socket.

    Raise CannotSend when there is none, when the platform does not have it, or when it is not the
    one of which the receipt has a file or the SHA-256.
    """
    told, problem = _find_value(dropped.receipt, socket), "this account can't see it there"
    held = _held_values(_receipt_target(dropped.receipt), platform)
    for value in held if told and _is_from(dropped.receipt, platform) else ():
        if told and value.socket.slug == socket and value.value is not None:
            if _is_told_value(value.value, told) and not _has_changed(told, dropped.files):
                return value.value
            problem = "the value there is not the one that was fetched"
    raise CannotSend(Reason("no_such_value", {"socket": socket, "problem": problem}))


def require_image(
    dropped: DroppedFolder, socket: str, carrier: Carrier, platform: GrandChallenge
) -> str:
    """Return the API URL of the image that a folder's receipt has for a socket.

    Raises:
        CannotSend: when there is none, when its files here have changed, when the platform does
            not have it, or when it can't be sent by this carrier.
        SourceChanged: when a file changed since it was listed.
    """
    told, image = _find_entry(dropped.receipt, socket), None
    if told is None:
        problem = "its gcwatch.json lists none"
    elif not _is_from(dropped.receipt, platform):
        problem = "it is on another platform"
    elif _has_changed(told, dropped.files):
        problem = "the file here is not the one that was fetched"
    elif (image := _find_held_image(told, dropped.receipt, platform)) is None:
        problem = "this account can't see it on the platform"
    elif not _travels_by(image, carrier):
        image, problem = None, "a DICOM image set can't replace another kind of image"
    elif not _has_told_content(image, told, platform):
        image, problem = None, "the image there is not the one that was fetched"
    if image is None:
        raise CannotSend(Reason("no_such_image", {"socket": socket, "problem": problem}))
    return image.api_url


def find_image(
    dropped: DroppedFolder, files: Sequence[SourceFile], carrier: Carrier, platform: GrandChallenge
) -> str:
    """Return the API URL of the image of these files, or "" if that is not certain.

    Other files of the same receipt may be among them, if they are no images.

    Raises:
        SourceChanged: when a file changed since it was listed.
    """
    told = _find_origin(dropped.receipt, files) if _is_from(dropped.receipt, platform) else None
    image = _image_or_none(told.image, platform) if told else None
    if told is None or image is None or not _travels_by(image, carrier):
        return ""
    is_same = _file_names(image, platform) == _last_parts(told)
    return image.api_url if is_same and _has_told_content(image, told, platform) else ""


# --- the receipt ---------------------------------------------------------------------------------


def _find_entry(receipt: Mapping[str, Any], socket: str) -> _ReceiptEntry | None:
    # An input of that name comes before an output: outputs can also be chosen by their files.
    told = (*_receipt_entries(receipt, "inputs"), *_receipt_entries(receipt, "outputs"))
    return next((each for each in told if each.socket == socket and each.image), None)


def _find_value(receipt: Mapping[str, Any], socket: str) -> _ReceiptEntry | None:
    told = (*_receipt_entries(receipt, "inputs"), *_receipt_entries(receipt, "outputs"))
    return next((each for each in told if each.socket == socket and not each.image), None)


def _is_told_value(value: Any, told: _ReceiptEntry) -> bool:
    """Whether a value has the SHA-256 that a receipt gives; a receipt of a source gives none."""
    wanted = {*told.files.values(), told.value} - {""}
    written = (json.dumps(value), outputs.value_text(value))  # as receipts and as results have it
    return not wanted or any(
        hashlib.sha256(text.encode()).hexdigest() in wanted for text in written
    )


def _receipt_entries(receipt: Mapping[str, Any], key: str) -> Iterator[_ReceiptEntry]:
    for entry in _only_objects(receipt.get(key)):
        files = {
            str(f.get("path")): str(f.get("sha256")) for f in _only_objects(entry.get("files"))
        }
        value = str(entry.get("sha256", "")) if entry.get("carrier") == "value" else ""
        yield _ReceiptEntry(str(entry.get("socket")), _image_pk(entry), files, value)


def _only_objects(value: Any) -> Iterator[Mapping[str, Any]]:
    yield from (each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()


def _image_pk(entry: Mapping[str, Any]) -> str:
    """Given a receipt's entry of a socket, return the pk of its image, or "" without one."""
    if entry.get("carrier") not in ("image", "dicom"):  # no set: a list may stand there
        return ""
    found = _IMAGE.search(str(entry.get("image") or entry.get("url")))
    return found[1] if found else ""


def _receipt_target(receipt: Mapping[str, Any]) -> Mapping[str, Any]:
    target = receipt.get("target")
    return target if isinstance(target, dict) else {}


def _is_from(receipt: Mapping[str, Any], platform: GrandChallenge) -> bool:
    return bool(_receipt_target(receipt).get("platform") == platform.home)


# --- the files -----------------------------------------------------------------------------------


def _find_origin(receipt: Mapping[str, Any], files: Sequence[SourceFile]) -> _ReceiptEntry | None:
    """Return the entry whose files are all among these, unchanged; None if not exactly one."""
    told = {path: each for each in _receipt_entries(receipt, "outputs") for path in each.files}
    here = {file.name for file in files}
    found = {each.image: each for path, each in told.items() if path in here and each.image}
    if not here <= told.keys() or len(found) != 1:
        return None
    [image] = found.values()
    changed = any(_has_changed(told[file.name], [file]) for file in files)
    return image if image.files.keys() <= here and not changed else None


def _has_changed(told: _ReceiptEntry, files: Sequence[SourceFile]) -> bool:
    """Whether files of a receipt's entry have other bytes now; missing files do not count."""
    mine = (file for file in files if file.name in told.files)
    return any(_hash_file(file) != told.files[file.name] for file in mine)


def _hash_file(file: SourceFile) -> str:
    with open_unchanged(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def _last_parts(told: _ReceiptEntry) -> set[str]:
    return {PurePosixPath(path).name for path in told.files}


# --- the platform --------------------------------------------------------------------------------


def _file_names(image: Image, platform: GrandChallenge) -> set[str]:
    """Return the names that an image's files get when they are fetched; they contain its ids."""
    if image.dicom_image_set is not None:
        return {outputs.instance_name(each) for each in platform.instances(image.api_url)}
    return {name for _, name in outputs.named_files(image)}


def _has_told_content(image: Image, told: _ReceiptEntry, platform: GrandChallenge) -> bool:
    """Whether the files of an image on the platform have the SHA-256 that a receipt gives them.

    Anybody can write a receipt that gives another patient's image for the files that are here.
    The instances of DICOM image sets are told apart by their UIDs, which are their names.
    """
    wanted = {PurePosixPath(path).name: sha256 for path, sha256 in told.files.items()}
    if not wanted or image.dicom_image_set is not None:
        return True
    files = {name: file.file for file, name in outputs.named_files(image)}
    return files.keys() == wanted.keys() and all(
        _hash_media(files[name], platform) == sha256 for name, sha256 in wanted.items()
    )


def _hash_media(url: str, platform: GrandChallenge) -> str:
    """Return the SHA-256 of a media file on the platform, "" if it can't be fetched."""
    digest = hashlib.sha256()
    with platform.open_media(url, 0) as reply:
        if reply.status_code != 200:
            return ""
        for chunk in reply.read_chunks(CHUNK_BYTES, LARGEST_FILE_BYTES):
            digest.update(chunk)
            heartbeat()
    return digest.hexdigest()


def _travels_by(image: Image, carrier: Carrier) -> bool:
    return (image.dicom_image_set is not None) == (carrier == "dicom")


def _find_held_image(
    told: _ReceiptEntry, receipt: Mapping[str, Any], platform: GrandChallenge
) -> Image | None:
    """Return a receipt's image, if the job or item in the receipt has it in that socket."""
    for value in _held_values(_receipt_target(receipt), platform):
        if value.socket.slug == told.socket and (value.image or "").rstrip("/").endswith(
            f"/{told.image}"
        ):
            return _image_or_none(told.image, platform)
    return None


def _held_values(target: Mapping[str, Any], platform: GrandChallenge) -> Sequence[SocketValue]:
    """Return the values of a receipt's job or item; none if we can't see it."""
    try:
        if pk := _checked_pk(target.get("job")):
            job = platform.job(pk)
            return (*job.inputs, *job.outputs)
        for key, kind in _ITEM_KEYS.items():
            if pk := _checked_pk(target.get(key)):
                return platform.item(kind, pk).values
    except Refused as error:
        if error.status not in {403, 404}:
            raise
    return ()


def _checked_pk(pk: object) -> str:
    """Given a pk from a receipt, return it if it is a valid one, else ""."""
    # It becomes part of a URL, so nothing else may be in it.
    return pk if isinstance(pk, str) and re.fullmatch("[0-9A-Za-z-]+", pk) else ""


def _image_or_none(pk: str, platform: GrandChallenge) -> Image | None:
    try:
        return platform.image(f"cases/images/{pk}/")
    except Refused as error:
        if error.status in {403, 404}:
            return None
        raise
