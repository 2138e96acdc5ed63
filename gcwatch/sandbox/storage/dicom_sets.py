"""DICOM Image Sets: imported as they are, and fetched instance by instance (platform 3.9, 8.6).

The platform gives every instance new UIDs while it de-identifies it. Here a file that may pass is
kept byte for byte, so that what comes down can be compared with what went up.
"""

import logging
import warnings
from io import BytesIO
from typing import Any

import pydicom
from grand_challenge_dicom_de_identifier.deidentifier import DicomDeidentifier
from werkzeug.wrappers import Request

from gcwatch.sandbox.importer.importer import assemble
from gcwatch.sandbox.model import (
    DicomUpload,
    Image,
    Instance,
    PlatformState,
    Stored,
    Upload,
    new_pk,
)
from gcwatch.sandbox.server.reply import Reply, json_reply
from gcwatch.sandbox.storage.presign import Denied, Signer

DATASTORE = "/datastore/sandbox/"
_LONGEST_NAME = 255
_SAME_IN_ALL = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "StudyID",
    "StudyDate",
    "AccessionNumber",
    "SeriesNumber",
)


class _Rejected(Exception):
    """The files are no DICOM Image Set."""


def import_set(world: PlatformState, wanted: DicomUpload) -> Image | None:
    """Import an image set, or reject it; either way its uploads are used up (platform 3.9).

    Args:
        world: Locked by the caller.
        wanted: What it is made of.

    Returns:
        The image, or None; nobody is told why.
    """
    if len(wanted.name) > _LONGEST_NAME:
        return None
    try:
        return _imported(world, wanted)
    except Exception:
        # pydicom and the de-identifier have no common base for what is wrong with a file.
        logging.getLogger(__name__).info("a DICOM Image Set was rejected", exc_info=True)
        return None
    finally:
        for upload in wanted.uploads:
            world.delete_upload(upload)


def _imported(world: PlatformState, wanted: DicomUpload) -> Image:
    if any(each.status != "Completed" or each.pk not in world.uploads for each in wanted.uploads):
        raise _Rejected("not all files are there")
    image = _blank(wanted)
    checker = DicomDeidentifier(assert_unique_value_for=_SAME_IN_ALL)
    instances = [_instance(world, image, each, checker) for each in wanted.uploads]
    if len({each.uid for each in instances}) < len(instances):
        raise _Rejected("an instance is there twice")
    image.instances = tuple(instances)
    world.images[image.pk] = image
    return image


def _blank(wanted: DicomUpload) -> Image:
    return Image(
        owner=wanted.creator,
        name=wanted.name,
        size=(),
        spacing=(),
        channels=0,
        kind="DICOM",
        stored=None,
        file_pk=new_pk(),
    )


def _instance(world: PlatformState, image: Image, upload: Upload, checker: Any) -> Instance:
    """Keep a file that the platform's de-identification procedure lets pass."""
    path = world.folder / "dicom" / image.image_set_id / upload.pk
    path.parent.mkdir(parents=True, exist_ok=True)
    assemble(upload, path)
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")
        checker.deidentify_file(file, output=BytesIO())
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
    return Instance(
        study=str(dataset.StudyInstanceUID),
        series=str(dataset.SeriesInstanceUID),
        uid=str(dataset.SOPInstanceUID),
        file=Stored(key="", path=path),
    )


def requests(image: Image, signer: Signer, now: float) -> dict[str, Any]:
    """The signed requests that fetch an image's instances from the DICOM store (platform 8.6)."""
    return {
        "image_set_id": image.image_set_id,
        "instances": [_request(image, each, signer, now) for each in image.instances],
    }


def _request(image: Image, instance: Instance, signer: Signer, now: float) -> dict[str, Any]:
    path, query = _path(instance), {"imageSetId": image.image_set_id}
    headers = {
        "Accept": "application/dicom; transfer-syntax=*",
        **signer.sign_request(path, query, now),
    }
    url = f"{signer.origin}{path}?imageSetId={image.image_set_id}"
    call = {"url": url, "method": "GET", "data": None, "headers": headers}
    return {"sop_instance_uid": instance.uid, "get_instance": call}


def _path(instance: Instance) -> str:
    return f"{DATASTORE}studies/{instance.study}/series/{instance.series}/instances/{instance.uid}"


def fetch(world: PlatformState, signer: Signer, request: Request) -> Reply:
    """Answer a request to the DICOM store: the instance's bytes, or 403 unless it is signed."""
    with world.lock:
        now, life = world.now(), world.settings.dicom_lifetime
        found = _found(world, request)
    try:
        headers = dict(request.headers)
        signer.check_request(request.path, request.args.to_dict(), headers, now, life)
    except Denied as denied:
        reply = json_reply(403, {"message": denied.message})
    else:
        reply = _served(found) if found and request.method == "GET" else _missing()
    reply.template = f"{DATASTORE}<instance>"
    return reply


def _found(world: PlatformState, request: Request) -> Instance | None:
    images = (each for each in world.images.values() if each.instances)
    wanted = request.args.get("imageSetId")
    instances = (one for each in images if each.image_set_id == wanted for one in each.instances)
    return next((each for each in instances if _path(each) == request.path), None)


def _served(instance: Instance) -> Reply:
    path = instance.file.path
    headers = {"Content-Type": "application/dicom"}
    return Reply(200, headers=headers, file=path, length=path.stat().st_size)


def _missing() -> Reply:
    return json_reply(404, {"message": "Requested DICOM instance does not exist"})
