"""Downloads: a file grows beside its place until it is whole, and goes on where it was cut.

It grows in a `.part` file (platform 8.4).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil
import requests

from gcwatch.core.errors import CaseError, TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.file_parts import sha256_state
from gcwatch.platform.http import busy
from gcwatch.platform.models import SignedRequest
from gcwatch.platform.transfers import Moved, Transfers

_CHUNK_BYTES: Final = 1 << 16
"""Of a download at a time: many go on side by side, and each holds a few of these."""


def download_file(transfers: Transfers, url: str, path: Path, moved: Moved) -> str:
    """Given a media URL, download it to *path*, going on where an earlier try was cut.

    Returns:
        The file's SHA-256.

    Raises:
        TryAgain: when the length is not what was promised, or the storage said no.
        NotYet: when the platform asked for patience.
        TokenRefused: when it said no because it does not know us.
        Stopped: when the daemon is stopping.
    """
    partial = _partial_file(path)
    offset = _trusted_size(partial)
    with transfers.platform.open_media(url, offset) as reply:
        if reply.status_code == 416:
            partial.unlink()
        if reply.status_code not in {200, 206}:
            raise _refusal(reply, transfers.platform)
        offset = offset if reply.status_code == 206 else 0
        digest = _save(reply, partial, offset, transfers, moved)
    partial.replace(path)
    return digest


def download_signed(
    transfers: Transfers, request: SignedRequest, path: Path, moved: Moved
) -> str | None:
    """Given a request that carries its own signature, save its answer to *path*.

    Returns:
        The file's SHA-256; None if the signature is no longer taken.

    Raises:
        TryAgain: when the length is not what was promised, or the storage said no.
        Stopped: when the daemon is stopping.
    """
    partial = _partial_file(path)
    with transfers.platform.open_signed(request) as reply:
        if reply.status_code == 403:
            return None
        if reply.status_code != 200:
            raise _incomplete(f"answered {reply.status_code}")
        digest = _save(reply, partial, 0, transfers, moved)
    partial.replace(path)
    return digest


def _save(
    reply: requests.Response, partial: Path, offset: int, transfers: Transfers, moved: Moved
) -> str:
    """Write a reply's body at an offset, synced; return the SHA-256 of the whole file."""
    digest = sha256_state(partial, transfers.stop, offset)
    expected = _promised_size(reply.headers, offset)
    with partial.open("ab" if offset else "wb") as file:
        for chunk in reply.iter_content(_CHUNK_BYTES):
            transfers.require_running()
            file.write(chunk)
            digest.update(chunk)
            moved(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    size = partial.stat().st_size
    if expected is not None and size != expected:
        raise _incomplete(f"{size} of {expected} bytes arrived")
    return digest.hexdigest()


def _refusal(reply: requests.Response, platform: GrandChallenge) -> CaseError:
    """Media URLs answer a refused token by 403 or 404, never by 401 (platform 8.5)."""
    if reply.status_code == 429:
        return busy(reply)
    if reply.status_code in {401, 403, 404}:
        platform.me()
    return _incomplete(f"answered {reply.status_code}")


def _partial_file(path: Path) -> Path:
    """Return where a file grows until it is whole; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + ".part")


def _trusted_size(partial: Path) -> int:
    """Return how many bytes of an earlier try count."""
    if not partial.exists():
        return 0
    seen = partial.stat()
    # What a power cut left may hold pages that were never written.
    return seen.st_size if seen.st_mtime >= psutil.boot_time() else 0


def _promised_size(headers: Mapping[str, str], offset: int) -> int | None:
    """Return how long the file is to be after this reply, if the reply says so."""
    length = headers.get("Content-Length")
    return offset + int(length) if length else None


def _incomplete(problem: str) -> TryAgain:
    return TryAgain(Reason("download_incomplete", {"problem": problem}))
