"""Replaces a table in an outbox as a whole, unless it is not gcwatch's, or not any more."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from gcwatch.core.tables.table_cells import BYTE_ORDER_MARK, csv_line
from gcwatch.files.atomic import BUFFER_BYTES, FILE_MODE, write_atomically
from gcwatch.files.beneath import SharePath
from gcwatch.outbox.private_store import PrivateStore

_EMPTY: Final = hashlib.sha256().hexdigest()


class NotOurTable(OSError):
    """A file that gcwatch did not write, or that somebody has changed since, has that name."""


def store_of(stores: Path, outbox: Path, what: str) -> Path:
    """Return the private file that remembers what gcwatch wrote into an outbox."""
    digest = hashlib.sha256(f"{what}\0".encode() + os.fsencode(outbox)).hexdigest()
    return stores / f"{digest[:16]}.sqlite"


def replace_table(
    file: SharePath, head: Sequence[str], lines: Callable[[], Iterable[bytes]], store: PrivateStore
) -> None:
    """Replace a table by other lines, unless somebody else's file has its name.

    `head` are the first columns, by which it is known if the store does not know what was written.
    Raise OSError if that fails, NotOurTable if the file is another one.
    """
    digest = hashlib.sha256()
    for line in lines():
        digest.update(line)
    written = digest.hexdigest()
    found = _digest_of_file(file)
    if found != written and not _is_ours(found, file, head, store):
        raise NotOurTable(errno.EEXIST, os.strerror(errno.EEXIST))
    store.about_to_write(written)
    if found != written:
        write_atomically(file, lines(), FILE_MODE)
    store.has_replaced(written)


def _digest_of_file(file: SharePath) -> str | None:
    """Return the SHA-256 of a table; None if there is none. Raise OSError for no regular file."""
    if not file.exists():
        return None
    digest = hashlib.sha256()
    with file.open_file() as stream:
        while block := stream.read(BUFFER_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _is_ours(found: str | None, file: SharePath, head: Sequence[str], store: PrivateStore) -> bool:
    """Whether the file with this SHA-256 may be replaced: gcwatch wrote it, or it is empty."""
    if found in {None, _EMPTY} or store.is_written(str(found)):
        return True
    return not store.has_written() and looks_like_table(file, head)


def looks_like_table(file: SharePath, head: Sequence[str]) -> bool:
    """Whether a file begins as a table of gcwatch, or is empty or missing; raise OSError."""
    if not file.exists():
        return True
    wanted = BYTE_ORDER_MARK + csv_line(head).strip()
    with file.open_file() as stream:
        start = stream.read(len(wanted))
    return start in {b"", wanted}
