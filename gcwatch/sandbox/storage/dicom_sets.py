"""DICOM Image Sets: import, and the store that serves each instance (platform 3.9, 8.6).

The platform gives every instance new UIDs when it de-identifies it. The sandbox stores the file
unchanged, so that a test can compare a download with its upload.
"""

import logging
import warnings
from io import BytesIO
from typing import Any

import pydicom
from grand_challenge_dicom_de_identifier.deidentifier import DicomDeidentifier
from werkzeug.wrappers import Request

from gcwatch.sandbox.importer.importer import assemble_upload
from gcwatch.sandbox.model import (
    DicomUpload,
    Image,
    Instance,
    PlatformState,
    StoredFile,
    Upload,
    new_pk,
)
from gcwatch.sandbox.server.reply import Reply, json_reply
from gcwatch.sandbox.storage.presign import Denied, Signer

DATASTORE_PATH = "/datastore/sandbox/"
_MAX_NAME_CHARACTERS = 255
_EQUAL_IN_ALL_FILES = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "StudyID",
    "StudyDate",
    "AccessionNumber",
    "SeriesNumber",
)


class _Rejected(Exception):
    """The files are not a valid DICOM Image Set."""


def import_image_set(state: PlatformState, wanted: DicomUpload) -> Image | None:
    """Import a DICOM Image Set; its uploads are deleted even if it is rejected (platform 3.9).

    Args:
        state: All records; the caller holds the lock.
        wanted: Its name and files.

    Returns:
        The image, or None if it is rejected; no reason is given.
    """
    if len(wanted.name) > _MAX_NAME_CHARACTERS:
        return None
    try:
        return _import_files(state, wanted)
    except Exception:
        # pydicom and the de-identifier have no common base for what is wrong with a file.
        logging.getLogger(__name__).info("a DICOM Image Set was rejected", exc_info=True)
        return None
    finally:
        for upload in wanted.uploads:
            state.delete_upload(upload)


def _import_files(state: PlatformState, wanted: DicomUpload) -> Image:
    if any(each.status != "Completed" or each.pk not in state.uploads for each in wanted.uploads):
        raise _Rejected("not all files are there")
    image = _make_image(wanted)
    checker = DicomDeidentifier(assert_unique_value_for=_EQUAL_IN_ALL_FILES)
    instances = [_store_instance(state, image, each, checker) for each in wanted.uploads]
    if len({each.uid for each in instances}) < len(instances):
        raise _Rejected("an instance is there twice")
    image.instances = tuple(instances)
    state.images[image.pk] = image
    return image


def _make_image(wanted: DicomUpload) -> Image:
    return Image(
        owner=wanted.creator,
        name=wanted.name,
        size=(),
        spacing=(),
        channels=0,
        kind="DICOM",
        file=None,
        file_pk=new_pk(),
    )


def _store_instance(state: PlatformState, image: Image, upload: Upload, checker: Any) -> Instance:
    """Store a file that the platform's de-identification procedure accepts."""
    path = state.folder / "dicom" / image.image_set_id / upload.pk
    path.parent.mkdir(parents=True, exist_ok=True)
    assemble_upload(upload, path)
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")
        checker.deidentify_file(file, output=BytesIO())
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
    return Instance(
        study=str(dataset.StudyInstanceUID),
        series=str(dataset.SeriesInstanceUID),
        uid=str(dataset.SOPInstanceUID),
        file=StoredFile(key="", path=path),
    )


def make_instance_requests(image: Image, signer: Signer, now: float) -> dict[str, Any]:
    """Return signed requests to the DICOM store for an image's instances (platform 8.6)."""
    return {
        "image_set_id": image.image_set_id,
        "instances": [_make_instance_request(image, each, signer, now) for each in image.instances],
    }


def _make_instance_request(
    image: Image, instance: Instance, signer: Signer, now: float
) -> dict[str, Any]:
    path, query = _instance_path(instance), {"imageSetId": image.image_set_id}
    headers = {
        "Accept": "application/dicom; transfer-syntax=*",
        **signer.sign_request(path, query, now),
    }
    url = f"{signer.origin}{path}?imageSetId={image.image_set_id}"
    call = {"url": url, "method": "GET", "data": None, "headers": headers}
    return {"sop_instance_uid": instance.uid, "get_instance": call}


def _instance_path(instance: Instance) -> str:
    series = f"studies/{instance.study}/series/{instance.series}"
    return f"{DATASTORE_PATH}{series}/instances/{instance.uid}"


def serve_instance(state: PlatformState, signer: Signer, request: Request) -> Reply:
    """Answer a request to the DICOM store: the instance, or 403 without a valid signature."""
    with state.lock:
        now, lifetime = state.now(), state.settings.dicom_lifetime
        found = _find_instance(state, request)
    try:
        headers = dict(request.headers)
        signer.check_request(request.path, request.args.to_dict(), headers, now, lifetime)
    except Denied as denied:
        reply = json_reply(403, {"message": denied.message})
    else:
        reply = _file_reply(found) if found and request.method == "GET" else _not_found_reply()
    reply.route = f"{DATASTORE_PATH}<instance>"
    return reply


def _find_instance(state: PlatformState, request: Request) -> Instance | None:
    images = (each for each in state.images.values() if each.instances)
    wanted = request.args.get("imageSetId")
    instances = (one for each in images if each.image_set_id == wanted for one in each.instances)
    return next((each for each in instances if _instance_path(each) == request.path), None)


def _file_reply(instance: Instance) -> Reply:
    path = instance.file.path
    headers = {"Content-Type": "application/dicom"}
    return Reply(200, headers=headers, file=path, length=path.stat().st_size)


def _not_found_reply() -> Reply:
    return json_reply(404, {"message": "Requested DICOM instance does not exist"})
