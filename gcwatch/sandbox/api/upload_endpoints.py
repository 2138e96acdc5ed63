"""Endpoints of uploads (platform 4)."""

from pathlib import PurePosixPath
from typing import Any

from gcwatch.sandbox.api.requests import (
    RequestContext,
    find_by_pk,
    paginate,
    parse_body,
    require_user,
)
from gcwatch.sandbox.model import Upload
from gcwatch.sandbox.server.reply import Reply, html_refusal, json_refusal, json_reply
from gcwatch.sandbox.storage.objects import UPLOADS_PATH

_SMALLEST_PART_BYTES = 5 * 1024**2


def own_uploads(context: RequestContext) -> list[Upload]:
    """Return the uploads of the user, none for an anonymous one."""
    if context.user is None:
        return []
    return sorted(context.state.uploads_of(context.user), key=lambda each: each.pk)


def list_uploads(context: RequestContext) -> Reply:
    """List the user's uploads, in arbitrary order."""
    return json_reply(
        200, paginate(context.request, own_uploads(context), context.serializer.upload)
    )


def create_upload(context: RequestContext) -> Reply:
    """Create an upload."""
    name = _parse_filename(parse_body(context.request).get("filename"))
    state = context.state
    if len(own_uploads(context)) >= state.settings.max_uploads:
        problem = "You have created too many uploads. Please try again later."
        raise json_refusal(400, {"non_field_errors": [problem]})
    upload = Upload(require_user(context.user), name, state.now())
    state.uploads[upload.pk] = upload
    return json_reply(201, context.serializer.upload(upload))


def _parse_filename(given: Any) -> str:
    problem = None
    name = given.strip() if isinstance(given, str) else ""
    if given is None:
        problem = "This field is required."
    elif not isinstance(given, str):
        problem = "Not a valid string."
    elif not name:
        problem = "This field may not be blank."
    elif "\0" in name:
        problem = "Null characters are not allowed."
    elif len(name) > 128:
        problem = "Ensure this field has no more than 128 characters."
    elif name not in {PurePosixPath(name).name, "..", "."}:
        problem = f"{name} is not a valid filename"
    if problem:
        raise json_refusal(400, {"filename": [problem]})
    return name


def _find_upload(context: RequestContext, pk: str, s3_id: str | None = None) -> Upload:
    found = find_by_pk("UserUpload", pk, own_uploads(context), lambda each: each.pk)
    if s3_id is not None and found.s3_id != s3_id:
        raise json_refusal(404, {"detail": "Not found."})
    return found


def show_upload(context: RequestContext, pk: str) -> Reply:
    """Show one upload; 404 after it is imported or expired."""
    return json_reply(200, context.serializer.upload(_find_upload(context, pk)))


def presign_parts(context: RequestContext, pk: str, s3_id: str) -> Reply:
    """Sign a URL for the PUT of each part."""
    upload = _find_upload(context, pk, s3_id)
    numbers = _parse_part_numbers(parse_body(context.request))
    settings, now = context.state.settings, context.state.now()
    held = sum(each.size for each in own_uploads(context) if each.status == "Completed")
    if upload.status != "Initialized" or held + upload.size >= settings.byte_quota:
        raise json_refusal(403, {"detail": "Upload limit reached"})
    urls = {
        str(number): context.signer.sign_url(
            "PUT",
            f"{UPLOADS_PATH}{upload.key}",
            {"uploadId": upload.s3_id, "partNumber": str(number)},
            now,
            settings.presign_lifetime,
        )
        for number in numbers
    }
    return json_reply(200, {**context.serializer.upload(upload), "presigned_urls": urls})


def _parse_part_numbers(data: dict[str, Any]) -> list[int]:
    numbers = _require_list(data, "part_numbers")
    problems = {}
    for index, number in enumerate(numbers):
        if not isinstance(number, int) or isinstance(number, bool):
            problems[str(index)] = ["A valid integer is required."]
        elif number < 1:
            problems[str(index)] = ["Ensure this value is greater than or equal to 1."]
        elif number > 10_000:
            problems[str(index)] = ["Ensure this value is less than or equal to 10000."]
    if problems:
        raise json_refusal(400, {"part_numbers": problems})
    return numbers


def _require_list(data: dict[str, Any], key: str) -> list[Any]:
    value = data.get(key)
    if value is None:
        raise json_refusal(400, {"non_field_errors": [f"The `{key}` field is required"]})
    if not isinstance(value, list):
        problem = f'Expected a list of items but got type "{type(value).__name__}".'
        raise json_refusal(400, {key: [problem]})
    return value


def list_parts(context: RequestContext, pk: str, s3_id: str) -> Reply:
    """List the stored parts; 500 if the upload is completed or aborted."""
    upload = _find_upload(context, pk, s3_id)
    if upload.status != "Initialized":
        raise html_refusal(500)
    parts = context.serializer.parts(upload)
    return json_reply(200, {**context.serializer.upload(upload), "parts": parts})


def complete_upload(context: RequestContext, pk: str, s3_id: str) -> Reply:
    """Complete an upload; parts that S3 refuses are a 500 (platform 4.6)."""
    upload = _find_upload(context, pk, s3_id)
    parts = _require_list(parse_body(context.request), "parts")
    if upload.status != "Initialized" or not _are_parts_stored(upload, parts):
        raise html_refusal(500)
    named = {part["PartNumber"] for part in parts}
    for number in set(upload.parts) - named:
        upload.parts.pop(number).path.unlink(missing_ok=True)
    upload.status = "Completed"
    return json_reply(200, context.serializer.upload(upload))


def _are_parts_stored(upload: Upload, parts: list[Any]) -> bool:
    for part in parts:
        if not isinstance(part, dict) or set(part) != {"ETag", "PartNumber"}:
            return False
        held = upload.parts.get(part["PartNumber"])
        if held is None or str(part["ETag"]).strip('"') != held.etag:
            return False
    numbers = [part["PartNumber"] for part in parts]
    sizes = [upload.parts[number].size for number in numbers]
    ascending = numbers == sorted(set(numbers))
    return bool(parts) and ascending and all(size >= _SMALLEST_PART_BYTES for size in sizes[:-1])


def abort_upload(context: RequestContext, pk: str, s3_id: str) -> Reply:
    """Abort an upload."""
    upload = _find_upload(context, pk, s3_id)
    if upload.status != "Initialized":
        raise html_refusal(500)
    for part in upload.parts.values():
        part.path.unlink(missing_ok=True)
    upload.parts.clear()
    upload.status, upload.s3_id = "Aborted", ""
    return json_reply(200, context.serializer.upload(upload))
