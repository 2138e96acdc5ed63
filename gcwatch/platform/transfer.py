"""Bytes on their way: uploads in parallel parts, downloads resumed where they were cut.

An upload goes out as parts of one file, each put by a thread of the shared pool straight from disk
through a small buffer; the MD5 of what was sent must equal the part's ETag (platform 4.4). What the
storage already holds is never sent again. A download grows a `.part` file (platform 8.4).
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import psutil
import requests

from gcwatch.core.case import Upload
from gcwatch.core.errors import (
    CaseError,
    NotYet,
    Refused,
    SourceChanged,
    Stopped,
    TryAgain,
    Unreachable,
    UploadsGone,
)
from gcwatch.core.reasons import Reason
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.http import CHUNK, busy
from gcwatch.platform.models import SignedRequest
from gcwatch.threads.heartbeats import heartbeat, with_callers_heartbeat

MIB: Final = 1 << 20
SMALLEST_PART: Final = 16 * MIB
MOST_PARTS: Final = 10_000
PARTS_AT_ONCE: Final = 6
"""Of one upload: more only get into each other's way, on the line and on the processor."""

DOWN_CHUNK: Final = 1 << 16
"""Bytes of a download at a time: many go on side by side, and each holds a few of these."""

URLS_A_CALL: Final = 200
RENEWALS: Final = 3
QUOTA_SECONDS: Final = 1800.0

T = TypeVar("T")
R = TypeVar("R")

Moved = Callable[[int], None]
"""Told how many more bytes have moved."""


def part_size(size: int) -> int:
    """Given a file's size, return the size of its parts so that 10,000 suffice, in whole MiB."""
    needed = -(-size // MOST_PARTS)
    return max(SMALLEST_PART, -(-needed // MIB) * MIB)


@dataclass(frozen=True)
class Piece:
    """One part of a file: its number from 1, where it begins and how long it is."""

    number: int
    offset: int
    length: int


def pieces(size: int, part: int) -> list[Piece]:
    """Given a file's size and its part size, return its parts; an empty file has one."""
    starts = range(0, max(size, 1), part)
    return [Piece(n, at, min(part, size - at)) for n, at in enumerate(starts, 1)]


class PieceBody:
    """A request body that streams one part from disk and knows its MD5 once it was sent.

    It has a length, so requests sends a Content-Length, and can be sent again from the start.

    Raises:
        SourceChanged: when the file is shorter than it was, or gone.
        Stopped: when the daemon is stopping.
    """

    def __init__(self, path: Path, piece: Piece, stop: threading.Event, moved: Moved) -> None:
        self._path = path
        self._piece = piece
        self._stop = stop
        self._moved = moved
        self.md5 = ""

    def __len__(self) -> int:
        return self._piece.length

    def __iter__(self) -> Iterator[memoryview]:
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in _read(self._path, self._piece, self._stop):
            digest.update(chunk)
            yield chunk
            self._moved(len(chunk))
        self.md5 = digest.hexdigest()


def _read(path: Path, piece: Piece, stop: threading.Event) -> Iterator[memoryview]:
    """Yield a part's bytes through one reused buffer."""
    buffer = memoryview(bytearray(min(CHUNK, piece.length)))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceChanged from error  # or urllib3 would take it for a broken connection
    try:
        at, end = piece.offset, piece.offset + piece.length
        while at < end:
            if stop.is_set():
                raise Stopped
            count = os.preadv(descriptor, [buffer[: end - at]], at)
            if not count:
                raise SourceChanged
            yield buffer[:count]
            at += count
            heartbeat()
    finally:
        os.close(descriptor)


def _md5(path: Path, piece: Piece, stop: threading.Event) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in _read(path, piece, stop):
        digest.update(chunk)
    return digest.hexdigest()


def sha256(path: Path, stop: threading.Event, size: int | None = None) -> str:
    """Given a file, return the SHA-256 of all or its first *size* bytes, in hex."""
    length = path.stat().st_size if size is None else size
    return _sha256(path, stop, length).hexdigest()


def _sha256(path: Path, stop: threading.Event, size: int) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for chunk in _read(path, Piece(1, 0, size), stop) if size else ():
        digest.update(chunk)
    return digest


class _Urls:
    """Presigned URLs, asked for many at a time, and again for a part whose URL was refused."""

    def __init__(self, platform: GrandChallenge, upload: Upload, numbers: Iterable[int]) -> None:
        self._platform = platform
        self._upload = upload
        self._numbers = sorted(numbers)
        self._urls: dict[int, str] = {}
        self._lock = threading.Lock()

    def get(self, number: int, refused: str = "") -> str:
        """Return a URL for a part, other than the one that was *refused*."""
        with self._lock:
            if self._urls.get(number, refused) == refused:
                self._urls.update(self._sign(number))
            return self._urls[number]

    def _sign(self, number: int) -> Mapping[int, str]:
        first = self._numbers.index(number)
        numbers = self._numbers[first : first + URLS_A_CALL]
        try:
            return self._platform.presign(self._upload.pk, self._upload.s3_upload_id, numbers)
        except Refused as error:
            _explain_refusal(self._platform, self._upload, error)
            raise


def _explain_refusal(platform: GrandChallenge, upload: Upload, error: Refused) -> None:
    """`Upload limit reached` means the byte quota only while the upload is Initialized."""
    if error.status == 404 or state(platform, upload) != "Initialized":
        raise UploadsGone from error
    if error.status == 403:
        raise NotYet(Reason("no_space_left"), QUOTA_SECONDS) from error


def state(platform: GrandChallenge, upload: Upload) -> str:
    """Return an upload's status on the platform; raise UploadsGone if it is not there."""
    try:
        return platform.upload(upload.pk).status
    except Refused as error:
        if error.status == 404:
            raise UploadsGone from error
        raise


@dataclass
class Transfers:
    """What moves bytes for all cases: one pool of threads, one stop."""

    platform: GrandChallenge
    pool: Executor
    stop: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        """Release threads and connections, once nobody uses them any more."""
        self.pool.shutdown(wait=True)
        self.platform.http.close()

    def send(self, path: Path, upload: Upload, moved: Moved, *, begun_before: bool) -> str:
        """Given a file and its upload record, put what is missing and complete it.

        With *begun_before* the platform is asked first what it already holds.

        Returns:
            The file's SHA-256.

        Raises:
            UploadsGone: the record expired, was aborted, or lost its parts.
            SourceChanged: the file has another size than it had.
        """
        if begun_before and state(self.platform, upload) == "Completed":
            return sha256(path, self.stop, upload.size)
        digest = self.pool.submit(with_callers_heartbeat(sha256), path, self.stop, upload.size)
        try:
            etags = self._put_all(path, upload, moved, self._stored(upload, begun_before))
            if path.stat().st_size != upload.size:
                raise SourceChanged  # while nothing can use the upload yet
            self._complete(upload, etags)
        finally:
            digest.cancel()
            wait([digest])
        return digest.result()

    def send_whole(self, path: Path, upload: Upload, moved: Moved) -> str:
        """Given a file that is one part of a new upload, send it from this very thread.

        Returns and raises as `send`.
        """
        [piece] = pieces(upload.size, upload.part_size)
        etag = self._put(path, piece, _Urls(self.platform, upload, [1]), moved, stored="")
        if path.stat().st_size != upload.size:
            raise SourceChanged
        self._complete(upload, {1: etag})
        return sha256(path, self.stop, upload.size)

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Do the same for some items, side by side; return what came of each, in order.

        The first error is raised once no other is on its way.
        """
        running = [self.pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in running]
        finally:
            for future in running:
                future.cancel()
            wait(running)

    def _stored(self, upload: Upload, begun_before: bool) -> dict[int, str]:
        """Return the ETags that the storage holds already, by part number."""
        if not begun_before:
            return {}
        try:
            parts = self.platform.parts(upload.pk, upload.s3_upload_id)
        except Refused as error:
            raise UploadsGone from error
        except Unreachable as error:
            if error.reason.facts.get("status") == 500:
                raise UploadsGone from error  # the storage lost it (platform 10.1)
            raise
        return {number: part.etag for number, part in parts.items()}

    def _put_all(
        self, path: Path, upload: Upload, moved: Moved, stored: Mapping[int, str]
    ) -> dict[int, str]:
        """Put every part whose bytes are not stored yet; return all ETags.

        A few parts are on their way at once; after a failure no other is begun.
        """
        todo = pieces(upload.size, upload.part_size)
        urls = _Urls(self.platform, upload, (piece.number for piece in todo))
        etags: dict[int, str] = {}
        running: dict[Future[str], int] = {}
        try:
            for piece in todo:
                if len(running) == PARTS_AT_ONCE:
                    _collect(running, etags)
                known = stored.get(piece.number, "")
                future = self.pool.submit(self._put, path, piece, urls, moved, known)
                running[future] = piece.number
            while running:
                _collect(running, etags)
        finally:
            for future in running:
                future.cancel()
            wait(running)
        return etags

    def _put(self, path: Path, piece: Piece, urls: _Urls, moved: Moved, stored: str) -> str:
        """Put one part unless its bytes are stored; return its ETag."""
        if stored and stored.strip('"') == _md5(path, piece, self.stop):
            moved(piece.length)
            return stored
        url = urls.get(piece.number)
        for _ in range(RENEWALS):
            if self.stop.is_set():
                raise Stopped
            body = PieceBody(path, piece, self.stop, moved)
            reply = self.platform.http.put(url, body if piece.length else b"")
            if reply.status_code != 403:
                return _etag(reply.status_code, reply.headers.get("ETag", ""), body, piece)
            url = urls.get(piece.number, refused=url)
        problem = f"the storage refused part {piece.number} {RENEWALS} times"
        raise TryAgain(Reason("checksum", {"what": "Upload", "problem": problem}))

    def _complete(self, upload: Upload, etags: Mapping[int, str]) -> None:
        """Complete; a lost or doubtful answer is settled by asking for the upload."""
        try:
            self.platform.complete(upload.pk, upload.s3_upload_id, etags)
        except (Unreachable, Refused):
            if state(self.platform, upload) != "Completed":
                raise

    # --- the way down ----------------------------------------------------------------------------

    def fetch(self, url: str, path: Path, moved: Moved) -> str:
        """Given a media URL, download it to *path*, going on where an earlier try was cut.

        Returns:
            The file's SHA-256.

        Raises:
            TryAgain: when the length is not what was promised, or the storage said no.
            NotYet: when the platform asked for patience.
            TokenRefused: when it said no because it does not know us.
        """
        partial = _partial(path)
        offset = _trusted_size(partial)
        with self.platform.http.stream(url, offset) as reply:
            if reply.status_code == 416:
                partial.unlink()
            if reply.status_code not in {200, 206}:
                raise self._no_download(reply)
            digest = self._save(reply, partial, offset if reply.status_code == 206 else 0, moved)
        partial.replace(path)
        return digest

    def fetch_signed(self, request: SignedRequest, path: Path, moved: Moved) -> str | None:
        """Given a request that carries its own signature, save its answer to *path*.

        Returns:
            The file's SHA-256; None if the signature is no longer taken.

        Raises:
            TryAgain: when the length is not what was promised, or the storage said no.
        """
        partial = _partial(path)
        with self.platform.http.signed(
            request.method, request.url, request.headers, request.data
        ) as reply:
            if reply.status_code == 403:
                return None
            if reply.status_code != 200:
                raise _incomplete(f"answered {reply.status_code}")
            digest = self._save(reply, partial, 0, moved)
        partial.replace(path)
        return digest

    def _save(self, reply: requests.Response, partial: Path, offset: int, moved: Moved) -> str:
        """Write a reply's body at an offset, synced; return the SHA-256 of the whole file."""
        digest = _sha256(partial, self.stop, offset)
        expected = _promised(reply.headers, offset)
        with partial.open("ab" if offset else "wb") as file:
            for chunk in reply.iter_content(DOWN_CHUNK):
                if self.stop.is_set():
                    raise Stopped
                file.write(chunk)
                digest.update(chunk)
                moved(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        size = partial.stat().st_size
        if expected is not None and size != expected:
            raise _incomplete(f"{size} of {expected} bytes arrived")
        return digest.hexdigest()

    def _no_download(self, reply: requests.Response) -> CaseError:
        """Media URLs answer a refused token by 403 or 404, never by 401 (platform 8.5)."""
        if reply.status_code == 429:
            return busy(reply)
        if reply.status_code in {401, 403, 404}:
            self.platform.me()
        return _incomplete(f"answered {reply.status_code}")


def _etag(status: int, etag: str, body: PieceBody, piece: Piece) -> str:
    """Given the storage's answer to a part, return its ETag; raise if the bytes differ."""
    if status == 404:
        raise UploadsGone
    if status != 200:
        raise TryAgain(Reason("server_error", {"call": "PUT storage", "status": status}))
    md5 = body.md5 or hashlib.md5(usedforsecurity=False).hexdigest()
    if etag.strip('"') != md5:
        problem = f"the MD5 of part {piece.number} differs from its ETag"
        raise TryAgain(Reason("checksum", {"what": "Upload", "problem": problem}))
    return etag


def _partial(path: Path) -> Path:
    """Return where a file grows until it is whole; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + ".part")


def _trusted_size(partial: Path) -> int:
    """Return how much of an earlier try counts; what a power cut left may hold unwritten pages."""
    if not partial.exists():
        return 0
    seen = partial.stat()
    if seen.st_mtime < psutil.boot_time():
        return 0
    return seen.st_size


def _promised(headers: Mapping[str, str], offset: int) -> int | None:
    """Return how long the file is to be after this reply, if the reply says so."""
    length = headers.get("Content-Length")
    return offset + int(length) if length else None


def _incomplete(problem: str) -> TryAgain:
    return TryAgain(Reason("download_incomplete", {"problem": problem}))


def _collect(running: dict[Future[str], int], etags: dict[int, str]) -> None:
    """Wait for at least one part and take down its ETag; raise what went wrong with it."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        etags[running.pop(future)] = future.result()
