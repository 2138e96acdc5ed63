"""Images that are on the platform already, as a folder's gcwatch.json tells, used again.

The receipt is only believed where the platform is the same, the file on disk is still the one that
was fetched, and the platform still shows the image.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from gcwatch.errors import CannotSend, Refused
from gcwatch.grandchallenge import GrandChallenge
from gcwatch.inbox import SourceFile, open_unchanged
from gcwatch.reasons import Reason


def image_named(receipt: Mapping[str, Any], socket: str) -> str:
    """Return the API URL of the image that a receipt has for a socket, or "" if it has none.

    What was sent counts before what came back: results can be found by their files.
    """
    for entry in (*_entries(receipt, "inputs"), *_entries(receipt, "outputs")):
        if entry.get("socket") == socket and (image := _image(entry)):
            return image
    return ""


def require(receipt: Mapping[str, Any], socket: str, platform: GrandChallenge) -> str:
    """Return the API URL of the image that a receipt has for a socket; CannotSend without one."""
    image = image_named(receipt, socket)
    problem = ""
    if not image:
        problem = "its gcwatch.json names none"
    elif not _is_from(receipt, platform):
        problem = "it is on another platform"
    elif not _is_shown(image, platform):
        problem = "the platform does not show it (any more)"
    if problem:
        raise CannotSend(Reason("no_such_image", {"socket": socket, "problem": problem}))
    return image


def image_of(
    receipt: Mapping[str, Any], files: Sequence[SourceFile], platform: GrandChallenge
) -> str:
    """Return the API URL of the image that files were fetched from, or "" if that is not certain.

    Raises:
        SourceChanged: when a file is not as it was listed.
    """
    if not _is_from(receipt, platform):
        return ""
    images = {file.name: _origin(receipt, file) for file in files}
    if len(set(images.values())) != 1:
        return ""
    [image] = set(images.values())
    return image if image and _is_shown(image, platform) else ""


def _origin(receipt: Mapping[str, Any], file: SourceFile) -> str:
    for entry in _entries(receipt, "outputs"):
        for told in entry.get("files", ()):
            if told.get("path") == file.name and told.get("size") == file.size:
                return _image(entry) if told.get("sha256") == _sha256(file) else ""
    return ""


def _sha256(file: SourceFile) -> str:
    with open_unchanged(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def _entries(receipt: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    entries = receipt.get(key)
    yield from (each for each in entries if isinstance(each, dict)) if entries else ()


def _image(entry: Mapping[str, Any]) -> str:
    """Given what a receipt says of a socket, return its image's API URL, if it is one."""
    if entry.get("carrier") not in {"image", "dicom"}:
        return ""
    return str(entry.get("image") or entry.get("url") or "")


def _is_from(receipt: Mapping[str, Any], platform: GrandChallenge) -> bool:
    target = receipt.get("target")
    home = str(target.get("platform", "")) if isinstance(target, dict) else ""
    return urlsplit(home)[:2] == urlsplit(platform.http.home)[:2]


def _is_shown(image: str, platform: GrandChallenge) -> bool:
    try:
        platform.image(image)
    except Refused as error:
        if error.status in {403, 404}:
            return False
        raise
    return True
