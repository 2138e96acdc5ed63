"""Downloads a file to a `.part` file beside its path, and renames that when it is complete.

An interrupted download continues at the end of its `.part` file (platform 8.4), if the storage has
the same version of the file still: what tells versions apart stands in an `.etag` file beside it.
"""

import os
import re
import stat
from collections.abc import Mapping
from typing import Final

import psutil

from gcwatch.core.errors import CaseError, TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.files.atomic import replace_file
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import with_suffix
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.file_parts import sha256_state
from gcwatch.platform.http import Reply
from gcwatch.platform.models import SignedRequest
from gcwatch.platform.replies import busy_error
from gcwatch.platform.transfers import Moved, Transfers

_CHUNK_BYTES: Final = 1 << 16
"""Bytes read at a time; small, as many downloads run at the same time."""

_LONGEST_MARK: Final = 256

LARGEST_FILE_BYTES: Final = 1 << 40
"""No result is larger; a body without a length has no other limit."""


def download_file(transfers: Transfers, url: str, path: SharePath, moved: Moved) -> str:
    """Given a media URL, download it to *path*; continue an interrupted download.

    Returns:
        The file's SHA-256.

    Raises:
        TryAgain: when the length is not the announced one, or the storage refuses.
        NotYet: when the platform asks to wait (429).
        TokenRefused: when the platform refuses the token.
        Stopped: when the daemon is stopping.
    """
    partial = _Partial(path)
    offset, version = partial.trusted()
    with transfers.platform.open_media(url, offset, _etag_of(version)) as reply:
        if reply.status_code == 416:
            partial.forget()
        if reply.status_code not in {200, 206}:
            raise _refusal(reply, transfers.platform)
        if reply.status_code == 206 and not _is_rest(reply.headers, offset):
            partial.forget()
            raise _incomplete("the storage sent another part of the file than the one asked for")
        if reply.status_code == 206 and _version_of(reply.headers, offset) != version:
            partial.forget()
            raise _incomplete("the file changed on the platform while it was fetched")
        offset = offset if reply.status_code == 206 else 0
        digest = _save(reply, partial, offset, transfers, moved)
    partial.finish()
    return digest


def download_signed(
    transfers: Transfers, request: SignedRequest, path: SharePath, moved: Moved
) -> str | None:
    """Given a request with its own signature, save its answer to *path*.

    Returns:
        The file's SHA-256; None if the signature has expired.

    Raises:
        TryAgain: when the length is not the announced one, or the storage refuses.
        Stopped: when the daemon is stopping.
    """
    partial = _Partial(path)
    with transfers.platform.open_signed(request) as reply:
        if reply.status_code == 403:
            return None
        if reply.status_code != 200:
            raise _incomplete(f"answered {reply.status_code}")
        digest = _save(reply, partial, 0, transfers, moved)
    partial.finish()
    return digest


def _save(
    reply: Reply, partial: "_Partial", offset: int, transfers: Transfers, moved: Moved
) -> str:
    """Write a reply's body from an offset on, synced; return the SHA-256 of the whole file."""
    digest = sha256_state(partial.path, transfers.stop, offset)
    expected = _promised_size(reply.headers, offset)
    if not offset:
        partial.begin(_version_of(reply.headers, 0))
    with partial.path.append_file() as file:
        for chunk in reply.read_chunks(_CHUNK_BYTES, LARGEST_FILE_BYTES - offset):
            transfers.require_running()
            file.write(chunk)
            digest.update(chunk)
            moved(len(chunk))
        file.flush()
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
    if expected is not None and size != expected:
        raise _incomplete(f"{size} of {expected} bytes arrived")
    return digest.hexdigest()


def _refusal(reply: Reply, platform: GrandChallenge) -> CaseError:
    """Given a refused download, return the error; raise TokenRefused if the token is refused."""
    if reply.status_code == 429:
        return busy_error(reply.headers)
    if reply.status_code in {401, 403, 404}:
        # For a refused token, media URLs answer 403 or 404, never 401 (platform 8.5).
        platform.me()
    return _incomplete(f"answered {reply.status_code}")


class _Partial:
    """The `.part` file of a download, and the `.etag` file that tells which version it is of."""

    def __init__(self, path: SharePath) -> None:
        path.make_parents()
        self._whole = path
        self.path, self._etag = (path.with_name(name) for name in partial_names(path.name))

    def trusted(self) -> tuple[int, str]:
        """Return how many bytes of an earlier try can be used, and of which version they are."""
        seen, version = self.path.status(), self._read_version()
        # What has a second name may be a file of others: it is not written to.
        if seen is None or not stat.S_ISREG(seen.st_mode) or seen.st_nlink > 1 or not version:
            return 0, ""
        # After a power cut the file may have parts that were never written to the disk.
        return (seen.st_size, version) if seen.st_mtime >= psutil.boot_time() else (0, "")

    def _read_version(self) -> str:
        if not self._etag.is_file():
            return ""
        with self._etag.open_file() as file:
            return file.read(2 * _LONGEST_MARK).decode("utf-8", "replace")

    def begin(self, version: str) -> None:
        """Begin with an empty file; without a version, a later try begins again."""
        self._etag.unlink(missing_ok=True)
        self.path.create_file().close()
        if version:
            with self._etag.create_file() as file:
                file.write(version.encode())

    def finish(self) -> None:
        """Give the file its name: it is complete."""
        self._etag.unlink(missing_ok=True)
        replace_file(self.path, self._whole)

    def forget(self) -> None:
        """Remove what an earlier try has left."""
        self.path.unlink(missing_ok=True)
        self._etag.unlink(missing_ok=True)


def partial_names(name: str) -> tuple[str, str]:
    """Given a file's name, return those of its `.part` and `.etag` files; none is too long."""
    return with_suffix(name, ".part"), with_suffix(name, ".etag")


def _version_of(headers: Mapping[str, str], offset: int) -> str:
    """Return what tells a file's version from others: its mark and its size, "" if unknown."""
    etag, modified = (headers.get(key, "").strip() for key in ("ETag", "Last-Modified"))
    mark = etag if etag.startswith('"') else modified  # a weak ETag allows for other bytes
    is_usable = mark.isprintable() and 0 < len(mark) <= _LONGEST_MARK
    return f"{mark} {_promised_size(headers, offset)}" if is_usable else ""


def _etag_of(version: str) -> str:
    """Return the ETag in a version, "" if it has none."""
    return version.rpartition(" ")[0] if version.startswith('"') else ""


def _is_rest(headers: Mapping[str, str], offset: int) -> bool:
    """Whether a partial reply is the rest of the file from an offset on, and nothing else."""
    told = re.fullmatch(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})", _range_of(headers))
    if told is None or not offset:
        return False
    first, last, total = map(int, told.groups())
    return first == offset and last == total - 1 and _promised_size(headers, offset) == total


def _range_of(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Range", "").strip()


def _promised_size(headers: Mapping[str, str], offset: int) -> int | None:
    """Return the file's size after this reply in bytes, None if the reply has no length."""
    length = headers.get("Content-Length", "")
    return offset + int(length) if re.fullmatch("[0-9]{1,15}", length) else None


def _incomplete(problem: str) -> TryAgain:
    return TryAgain(Reason("download_incomplete", {"problem": problem}))
