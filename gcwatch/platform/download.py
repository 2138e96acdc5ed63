"""Downloads a file to a `.part` file beside its path, and renames that when it is complete.

An interrupted download continues at the end of its `.part` file (platform 8.4).
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
from gcwatch.platform.http import busy_error
from gcwatch.platform.models import SignedRequest
from gcwatch.platform.transfers import Moved, Transfers

_CHUNK_BYTES: Final = 1 << 16
"""Bytes read at a time; small, as many downloads run at the same time."""


def download_file(transfers: Transfers, url: str, path: Path, moved: Moved) -> str:
    """Given a media URL, download it to *path*; continue an interrupted download.

    Returns:
        The file's SHA-256.

    Raises:
        TryAgain: when the length is not the announced one, or the storage refuses.
        NotYet: when the platform asks to wait (429).
        TokenRefused: when the platform refuses the token.
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
    """Given a request with its own signature, save its answer to *path*.

    Returns:
        The file's SHA-256; None if the signature has expired.

    Raises:
        TryAgain: when the length is not the announced one, or the storage refuses.
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
    """Write a reply's body from an offset on, synced; return the SHA-256 of the whole file."""
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
    """Given a refused download, return the error; raise TokenRefused if the token is refused."""
    if reply.status_code == 429:
        return busy_error(reply)
    if reply.status_code in {401, 403, 404}:
        # For a refused token, media URLs answer 403 or 404, never 401 (platform 8.5).
        platform.me()
    return _incomplete(f"answered {reply.status_code}")


def _partial_file(path: Path) -> Path:
    """Return the path of the `.part` file; create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + ".part")


def _trusted_size(partial: Path) -> int:
    """Return how many bytes of an earlier try can be used."""
    if not partial.exists():
        return 0
    seen = partial.stat()
    # After a power cut the file may have parts that were never written to the disk.
    return seen.st_size if seen.st_mtime >= psutil.boot_time() else 0


def _promised_size(headers: Mapping[str, str], offset: int) -> int | None:
    """Return the file's size after this reply in bytes, None if the reply has no length."""
    length = headers.get("Content-Length")
    return offset + int(length) if length else None


def _incomplete(problem: str) -> TryAgain:
    return TryAgain(Reason("download_incomplete", {"problem": problem}))
