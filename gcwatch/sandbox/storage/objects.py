"""The storage origin: S3 as presigned URLs see it (platform 4, 8)."""

import hashlib
import re
from email.utils import formatdate
from pathlib import Path
from xml.sax.saxutils import escape

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request

from gcwatch.sandbox.metaimage import CHUNK
from gcwatch.sandbox.model import Part, PlatformState, Stored, Upload, new_pk
from gcwatch.sandbox.server.reply import Reply
from gcwatch.sandbox.storage import dicom_sets
from gcwatch.sandbox.storage.presign import Denied, Signer

UPLOADS = "/grand-challenge-uploads/"
PROTECTED = "/grand-challenge-protected/"
_LARGEST_PART = 5 * 1024**3
_TYPES = {".json": "application/json", ".csv": "text/csv", ".pdf": "application/pdf"}


class Storage:
    """Answers requests to the storage origin."""

    def __init__(self, world: PlatformState, signer: Signer) -> None:
        self.world = world
        self.signer = signer

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        if request.path.startswith(dicom_sets.DATASTORE):
            return dicom_sets.fetch(self.world, self.signer, request)
        try:
            query = self._admit(request)
            reply = self._put(request, query) if request.method == "PUT" else self._get(request)
        except Denied as denied:
            reply = _error(request, denied)
        bucket = request.path[1:].partition("/")[0]
        reply.template = f"/{bucket}/<key>"
        return reply

    def _admit(self, request: Request) -> dict[str, str]:
        query = request.query_string.decode("latin-1")
        fields = self.signer.check(request.method, request.path, query, self.world.now())
        # The recorded stand-in for S3 let a token pass; the real one refuses two credentials.
        strict = self.world.settings.schema == "2026-07"
        if strict and "Authorization" in request.headers:
            raise Denied("InvalidArgument", "Only one auth mechanism allowed")
        return fields

    def _put(self, request: Request, query: dict[str, str]) -> Reply:
        if request.content_length is None:
            raise Denied("MissingContentLength", "You must provide the Content-Length header.")
        if request.content_length > _LARGEST_PART:
            raise Denied("EntityTooLarge", "Your proposed upload exceeds the maximum size.")
        self._open_upload(request, query)
        part = self._receive(request)
        with self.world.lock:
            try:
                upload = self._open_upload(request, query)
            except Denied:
                part.path.unlink()
                raise
            number = int(query["partNumber"])
            replaced = upload.parts.get(number)
            upload.parts[number] = part
        if replaced:
            replaced.path.unlink(missing_ok=True)
        return Reply(200, headers={"ETag": f'"{part.etag}"'}, applied=True)

    def _open_upload(self, request: Request, query: dict[str, str]) -> Upload:
        with self.world.lock:
            upload = self.world.uploads.get(request.path.rpartition("/")[2])
            is_open = upload is not None and upload.status == "Initialized"
            if upload is None or not is_open or upload.s3_id != query.get("uploadId"):
                raise Denied(
                    "NoSuchUpload",
                    "The specified multipart upload does not exist. The upload ID may be invalid, "
                    "or the upload may have been aborted or completed.",
                )
            return upload

    def _receive(self, request: Request) -> Part:
        """Stream a body to disk; a body that ends too soon leaves nothing behind."""
        path = self.world.folder / "parts" / new_pk()
        md5, buffer = hashlib.md5(usedforsecurity=False), memoryview(bytearray(CHUNK))
        try:
            with path.open("wb", buffering=0) as out:
                while got := request.stream.readinto(buffer):  # type: ignore[attr-defined]
                    piece = buffer[:got]
                    md5.update(piece)
                    out.write(piece)
        except (ClientDisconnected, OSError):
            path.unlink()
            raise
        return Part(md5.hexdigest(), path.stat().st_size, self.world.now(), path)

    def _get(self, request: Request) -> Reply:
        with self.world.lock:
            stored = self.world.stored.get(request.path.removeprefix(PROTECTED))
        if stored is None:
            raise Denied("NoSuchKey", "The specified key does not exist.")
        size = stored.path.stat().st_size
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
        if not found or found.groups() == ("", "") or not _unchanged(request, stored):
            return Reply(200, headers=_headers(stored), file=stored.path, length=size)
        start, end = _span(found[1], found[2], size)
        if start >= size:
            raise Denied("InvalidRange", "The requested range is not satisfiable")
        headers = {**_headers(stored), "Content-Range": f"bytes {start}-{end}/{size}"}
        return Reply(206, headers=headers, file=stored.path, start=start, length=end - start + 1)


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    """First and last byte of a range; "-n" are the last n bytes."""
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last or size - 1), size - 1)


def _unchanged(request: Request, stored: Stored) -> bool:
    condition = request.headers.get("If-Range")
    return condition is None or condition == _etag(stored.path)


def _etag(path: Path) -> str:
    status = path.stat()
    marks = f"{path.name}/{status.st_size}/{status.st_mtime_ns}"
    return f'"{hashlib.md5(marks.encode(), usedforsecurity=False).hexdigest()}"'


def _headers(stored: Stored) -> dict[str, str]:
    return {
        "Content-Type": _TYPES.get(stored.path.suffix, "application/octet-stream"),
        "ETag": _etag(stored.path),
        "Last-Modified": formatdate(stored.path.stat().st_mtime, usegmt=True),
        "Accept-Ranges": "bytes",
    }


_STATUS = {
    "NoSuchUpload": 404,
    "NoSuchKey": 404,
    "InvalidRange": 416,
    "MissingContentLength": 411,
    "InvalidArgument": 400,
    "EntityTooLarge": 400,
}


def _error(request: Request, denied: Denied) -> Reply:
    bucket, _, key = request.path[1:].partition("/")
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{denied.code}</Code><Message>{escape(denied.message)}</Message>"
        f"<Resource>{escape(request.path)}</Resource><RequestId>{new_pk()}</RequestId>"
        f"<Key>{escape(key)}</Key><BucketName>{escape(bucket)}</BucketName></Error>"
    )
    status = _STATUS.get(denied.code, 403)
    return Reply(status, body.encode(), {"Content-Type": "application/xml"})
