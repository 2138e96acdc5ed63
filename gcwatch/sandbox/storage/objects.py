"""The storage origin: S3, as far as presigned URLs use it (platform 4, 8)."""

import hashlib
import re
from email.utils import formatdate
from pathlib import Path
from xml.sax.saxutils import escape

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request

from gcwatch.sandbox.metaimage import CHUNK_BYTES
from gcwatch.sandbox.model import Part, PlatformState, StoredFile, Upload, new_pk
from gcwatch.sandbox.server.reply import Reply
from gcwatch.sandbox.storage import dicom_sets
from gcwatch.sandbox.storage.presign import Denied, Signer

UPLOADS_PATH = "/grand-challenge-uploads/"
PROTECTED_PATH = "/grand-challenge-protected/"
_MAX_PART_BYTES = 5 * 1024**3
_CONTENT_TYPES = {".json": "application/json", ".csv": "text/csv", ".pdf": "application/pdf"}


class Storage:
    """Answers requests to the storage origin."""

    def __init__(self, state: PlatformState, signer: Signer) -> None:
        self.state = state
        self.signer = signer

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        if request.path.startswith(dicom_sets.DATASTORE_PATH):
            return dicom_sets.serve_instance(self.state, self.signer, request)
        try:
            query = self._check_signature(request)
            reply = (
                self._put_part(request, query)
                if request.method == "PUT"
                else self._get_object(request)
            )
        except Denied as denied:
            reply = _error_reply(request, denied)
        bucket = request.path[1:].partition("/")[0]
        reply.route = f"/{bucket}/<key>"
        return reply

    def _check_signature(self, request: Request) -> dict[str, str]:
        query = request.query_string.decode("latin-1")
        fields = self.signer.check_url(request.method, request.path, query, self.state.now())
        # The S3 of the 2025 recordings also accepts a token; the real one does not.
        strict = self.state.settings.schema == "2026-07"
        if strict and "Authorization" in request.headers:
            raise Denied("InvalidArgument", "Only one auth mechanism allowed")
        return fields

    def _put_part(self, request: Request, query: dict[str, str]) -> Reply:
        if request.content_length is None:
            raise Denied("MissingContentLength", "You must provide the Content-Length header.")
        if request.content_length > _MAX_PART_BYTES:
            raise Denied("EntityTooLarge", "Your proposed upload exceeds the maximum size.")
        self._find_open_upload(request, query)
        part = self._store_part(request)
        with self.state.lock:
            try:
                upload = self._find_open_upload(request, query)
            except Denied:
                part.path.unlink()
                raise
            number = int(query["partNumber"])
            replaced = upload.parts.get(number)
            upload.parts[number] = part
        if replaced:
            replaced.path.unlink(missing_ok=True)
        return Reply(200, headers={"ETag": f'"{part.etag}"'}, applied=True)

    def _find_open_upload(self, request: Request, query: dict[str, str]) -> Upload:
        with self.state.lock:
            upload = self.state.uploads.get(request.path.rpartition("/")[2])
            is_open = upload is not None and upload.status == "Initialized"
            if upload is None or not is_open or upload.s3_id != query.get("uploadId"):
                raise Denied(
                    "NoSuchUpload",
                    "The specified multipart upload does not exist. The upload ID may be invalid, "
                    "or the upload may have been aborted or completed.",
                )
            return upload

    def _store_part(self, request: Request) -> Part:
        """Write a body to disk; if it ends too soon, delete the file."""
        path = self.state.folder / "parts" / new_pk()
        md5, buffer = hashlib.md5(usedforsecurity=False), memoryview(bytearray(CHUNK_BYTES))
        try:
            with path.open("wb", buffering=0) as out:
                while got := request.stream.readinto(buffer):  # type: ignore[attr-defined]
                    piece = buffer[:got]
                    md5.update(piece)
                    out.write(piece)
        except (ClientDisconnected, OSError):
            path.unlink()
            raise
        return Part(md5.hexdigest(), path.stat().st_size, self.state.now(), path)

    def _get_object(self, request: Request) -> Reply:
        with self.state.lock:
            stored = self.state.media_files.get(request.path.removeprefix(PROTECTED_PATH))
        if stored is None:
            raise Denied("NoSuchKey", "The specified key does not exist.")
        size = stored.path.stat().st_size
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
        if not found or found.groups() == ("", "") or not _matches_if_range(request, stored):
            return Reply(200, headers=_object_headers(stored), file=stored.path, length=size)
        start, end = _parse_range(found[1], found[2], size)
        if start >= size:
            raise Denied("InvalidRange", "The requested range is not satisfiable")
        headers = {**_object_headers(stored), "Content-Range": f"bytes {start}-{end}/{size}"}
        return Reply(206, headers=headers, file=stored.path, start=start, length=end - start + 1)


def _parse_range(first: str, last: str, size: int) -> tuple[int, int]:
    """Return the first and last byte of a range; "-n" is the last n bytes."""
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last or size - 1), size - 1)


def _matches_if_range(request: Request, stored: StoredFile) -> bool:
    condition = request.headers.get("If-Range")
    return condition is None or condition == _make_etag(stored.path)


def _make_etag(path: Path) -> str:
    status = path.stat()
    marks = f"{path.name}/{status.st_size}/{status.st_mtime_ns}"
    return f'"{hashlib.md5(marks.encode(), usedforsecurity=False).hexdigest()}"'


def _object_headers(stored: StoredFile) -> dict[str, str]:
    return {
        "Content-Type": _CONTENT_TYPES.get(stored.path.suffix, "application/octet-stream"),
        "ETag": _make_etag(stored.path),
        "Last-Modified": formatdate(stored.path.stat().st_mtime, usegmt=True),
        "Accept-Ranges": "bytes",
    }


_ERROR_STATUSES = {
    "NoSuchUpload": 404,
    "NoSuchKey": 404,
    "InvalidRange": 416,
    "MissingContentLength": 411,
    "InvalidArgument": 400,
    "EntityTooLarge": 400,
}


def _error_reply(request: Request, denied: Denied) -> Reply:
    bucket, _, key = request.path[1:].partition("/")
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{denied.code}</Code><Message>{escape(denied.message)}</Message>"
        f"<Resource>{escape(request.path)}</Resource><RequestId>{new_pk()}</RequestId>"
        f"<Key>{escape(key)}</Key><BucketName>{escape(bucket)}</BucketName></Error>"
    )
    status = _ERROR_STATUSES.get(denied.code, 403)
    return Reply(status, body.encode(), {"Content-Type": "application/xml"})
