"""Uploads a file in parts, several at the same time; stored parts are not sent again.

The first parts may be sent while the last ones are still being written, and while the file is
hashed. Threads of the shared pool
send the parts from disk through a small buffer. The MD5 of each sent part must be equal to its ETag
(platform 4.4).
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from gcwatch.core.case import Upload
from gcwatch.core.errors import NotYet, Refused, SourceChanged, TryAgain, Unreachable, UploadsGone
from gcwatch.core.reasons import Reason
from gcwatch.files.safe_open import Readable, open_readable
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.file_parts import FilePart, md5_of_part, read_part, split_into_parts
from gcwatch.platform.transfers import Moved, Transfers
from gcwatch.threads.heartbeats import with_callers_heartbeat

_PARTS_AT_ONCE: Final = 6
"""Parts of one upload that are sent at the same time; more are not faster."""

_URLS_A_CALL: Final = 200
_URL_TRIES: Final = 3
_QUOTA_SECONDS: Final = 1800.0
"""Time until the next try if the account has no space left."""


@dataclass(frozen=True)
class FileUpload:
    """One file, and the platform's record of its upload; `moved` counts the bytes.

    `growth` writes the file, if it is not there yet: each of its steps writes some more, and tells
    how many of the first bytes are final. Its errors end the upload.

    `under_way` and `send_in_one_part` tell the file's SHA-256, and raise:
        UploadsGone: when the record expired, was aborted, or lost its parts.
        SourceChanged: when the file's size has changed.
        NotYet: when the account has no space left.
        TryAgain, Unreachable: when bytes were damaged or lost on the way.
        Stopped: when the daemon is stopping.
    """

    transfers: Transfers
    file: Readable
    upload: Upload
    moved: Moved
    growth: Iterator[int] = field(default=iter(()))

    @contextmanager
    def under_way(self, *, begun_before: bool) -> Iterator[str]:
        """Send missing parts, several at the same time; yield the SHA-256 once it is known.

        After the body, send the rest and complete the upload; if the body raises, do not. With
        *begun_before*, first ask the platform which parts it has.
        """
        if begun_before and self._status() == "Completed":
            deque(self.growth, maxlen=0)  # if the spool was lost after the last part
            yield self._hash()
            return
        parts = self._begin_parts(self._stored_etags() if begun_before else {})
        with parts.ended_by_errors():
            for final in self.growth:
                parts.start(final)
            yield parts.start_during(self._hash)
            parts.finish()
            self._complete(parts.etags)

    def send_in_one_part(self) -> str:
        """Send a file that is a single part of a new upload in this thread, and complete it."""
        [part] = split_into_parts(self.upload.size, self.upload.part_size)
        etag = self._put_part(part, _PartUrls(self, [1]), stored="")
        self._complete({1: etag})
        return self._hash()

    @property
    def _platform(self) -> GrandChallenge:
        return self.transfers.platform

    def _hash(self) -> str:
        return self.transfers.hash_file(self.file, self.upload.size)

    def _status(self) -> str:
        """Return the upload's status on the platform; raise UploadsGone if it does not exist."""
        try:
            return self._platform.upload(self.upload.pk).status
        except Refused as error:
            if error.status == 404:
                raise UploadsGone from error
            raise

    def _stored_etags(self) -> dict[int, str]:
        """Return the ETags of stored parts by part number; raise UploadsGone if they are lost."""
        try:
            parts = self._platform.parts(self.upload.pk, self.upload.s3_upload_id)
        except Refused as error:
            raise UploadsGone from error
        except Unreachable as error:
            if error.reason.facts.get("status") == 500:
                raise UploadsGone from error  # the storage lost it (platform 10.1)
            raise
        return {number: part.etag for number, part in parts.items()}

    def _begin_parts(self, stored: Mapping[int, str]) -> "_Parts":
        """Return the parts, of which those that are *stored* are only compared."""
        todo = deque(split_into_parts(self.upload.size, self.upload.part_size))
        urls = _PartUrls(self, (part.number for part in todo))
        return _Parts(
            self.transfers.pool,
            lambda part: self._put_part(part, urls, stored.get(part.number, "")),
            todo,
        )

    def _put_part(self, part: FilePart, urls: "_PartUrls", stored: str) -> str:
        """Send one part, unless its bytes are stored already; return its ETag."""
        if stored and stored.strip('"') == md5_of_part(self.file, part, self.transfers.stop):
            self.moved(part.length)
            return stored
        url = urls.get(part.number)
        for _ in range(_URL_TRIES):
            self.transfers.require_running()
            body = PartBody(self.file, part, self.transfers.stop, self.moved)
            reply = self._platform.put_part(url, body if part.length else b"")
            if reply.status_code != 403:
                return _checked_etag(reply.status_code, reply.headers.get("ETag", ""), body, part)
            url = urls.get(part.number, refused=url)
        problem = f"the storage refused part {part.number} {_URL_TRIES} times"
        raise TryAgain(Reason("checksum", {"what": "Upload", "problem": problem}))

    def sign(self, numbers: list[int]) -> Mapping[int, str]:
        """Return URLs for some parts by number; raise UploadsGone or NotYet if there are none."""
        try:
            return self._platform.presign(self.upload.pk, self.upload.s3_upload_id, numbers)
        except Refused as error:
            # `Upload limit reached` means the byte quota only while the upload is Initialized.
            if error.status == 404 or self._status() != "Initialized":
                raise UploadsGone from error
            if error.status == 403:
                raise NotYet(Reason("no_space_left"), _QUOTA_SECONDS) from error
            raise

    def _complete(self, etags: Mapping[int, str]) -> None:
        """Complete the upload; after a lost reply, ask for its status."""
        # Before it is complete, the upload can't be used.
        with open_readable(self.file) as stream:
            if os.fstat(stream.fileno()).st_size != self.upload.size:
                raise SourceChanged
        try:
            self._platform.complete(self.upload.pk, self.upload.s3_upload_id, etags)
        except (Unreachable, Refused):
            if self._status() != "Completed":
                raise


@dataclass
class _Parts:
    """The parts of an upload: those to do, those that are being sent, and the ETags of the rest.

    After a failure no other part is started.
    """

    pool: Executor
    put: Callable[[FilePart], str]
    todo: deque[FilePart]
    etags: dict[int, str] = field(default_factory=dict)
    _running: dict[Future[str], int] = field(default_factory=dict)

    def start(self, end: int | None = None) -> None:
        """Start parts that end at *end* or before (by default all), as far as they may run."""
        self._collect(0)
        while self.todo and len(self._running) < _PARTS_AT_ONCE:
            part = self.todo[0]
            if end is not None and part.offset + part.length > end:
                break
            self._running[self.pool.submit(self.put, self.todo.popleft())] = part.number

    def finish(self) -> None:
        """Start all parts, and wait for them."""
        self.start()
        while self._running:
            self._collect(None)
            self.start()

    def start_during(self, work: Callable[[], str]) -> str:
        """Do something else in the pool, and start parts until it is done; return its result."""
        other = self.pool.submit(with_callers_heartbeat(work))
        try:
            while not other.done():
                self.start()
                wait([*self._running, other], return_when=FIRST_COMPLETED)
            return other.result()
        finally:
            other.cancel()
            wait([other])

    @contextmanager
    def ended_by_errors(self) -> Iterator[None]:
        """After the body, wait for what is still running; start nothing more."""
        try:
            yield
        finally:
            for future in self._running:
                future.cancel()
            wait(self._running)

    def _collect(self, timeout: float | None) -> None:
        """Wait for at least one part and store its ETag; raise its error, if any."""
        done, _ = wait(self._running, timeout, return_when=FIRST_COMPLETED)
        for future in done:
            self.etags[self._running.pop(future)] = future.result()


class PartBody:
    """A request body that streams one part from disk; `md5` is set when it has been sent.

    It has a length, so that requests sends a Content-Length, and it can be sent more than once.
    Raises what `read_part` raises.
    """

    def __init__(self, file: Readable, part: FilePart, stop: threading.Event, moved: Moved) -> None:
        self._file = file
        self._part = part
        self._stop = stop
        self._moved = moved
        self.md5 = ""

    def __len__(self) -> int:
        return self._part.length

    def __iter__(self) -> Iterator[memoryview]:
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in read_part(self._file, self._part, self._stop):
            digest.update(chunk)
            yield chunk
            self._moved(len(chunk))
        self.md5 = digest.hexdigest()


class _PartUrls:
    """The presigned URLs of parts, up to 200 for each call; refused ones are replaced."""

    def __init__(self, upload: FileUpload, numbers: Iterable[int]) -> None:
        self._upload = upload
        self._numbers = sorted(numbers)
        self._urls: dict[int, str] = {}
        self._lock = threading.Lock()

    def get(self, number: int, refused: str = "") -> str:
        """Return a URL for a part that is not the *refused* one."""
        with self._lock:
            if self._urls.get(number, refused) == refused:
                first = self._numbers.index(number)
                self._urls |= self._upload.sign(self._numbers[first : first + _URLS_A_CALL])
            return self._urls[number]


def _checked_etag(status: int, etag: str, body: PartBody, part: FilePart) -> str:
    """Given the storage's answer to a part, return its ETag.

    Raise TryAgain (`checksum`) if the storage has other bytes, UploadsGone if it lost the upload.
    """
    if status == 404:
        raise UploadsGone
    if status != 200:
        raise TryAgain(Reason("server_error", {"call": "PUT storage", "status": status}))
    md5 = body.md5 or hashlib.md5(usedforsecurity=False).hexdigest()
    if etag.strip('"') != md5:
        problem = f"the MD5 of part {part.number} differs from its ETag"
        raise TryAgain(Reason("checksum", {"what": "Upload", "problem": problem}))
    return etag
