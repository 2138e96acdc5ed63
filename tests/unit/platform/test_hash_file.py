"""The SHA-256 of files: a file of an inbox is hashed once, and never another one in its place."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gcwatch.core.errors import SourceChanged
from gcwatch.files.beneath import SharePath
from gcwatch.inbox import tree
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.http import Http
from gcwatch.platform.transfers import Transfers


@pytest.fixture
def transfers(sandbox):
    with ThreadPoolExecutor(1) as pool:
        made = Transfers(GrandChallenge(Http(sandbox.url, lambda: "")), pool, threading.Event())
        yield made
        made.close()


@pytest.fixture
def listed(tmp_path):
    """One listed file of three bytes."""
    folder = tmp_path / "p1"
    folder.mkdir()
    (folder / "image.mha").write_bytes(b"abc")
    [file] = tree.source_files(SharePath.of(folder), ())
    return file


def test_a_listed_file_has_one_digest(transfers, listed):
    """Whoever asks first."""
    expected = hashlib.sha256(b"abc").hexdigest()
    assert {transfers.hash_file(listed, 3) for _ in range(2)} == {expected}


def test_a_file_that_changed_has_no_digest_any_more(transfers, listed, tmp_path):
    """Although its digest is known, and its size is the same."""
    transfers.hash_file(listed, 3)
    (tmp_path / "p1" / "image.mha").unlink()
    (tmp_path / "p1" / "image.mha").write_bytes(b"xyz")
    with pytest.raises(SourceChanged):
        transfers.hash_file(listed, 3)


def test_a_shorter_part_of_a_file_is_hashed_by_itself(transfers, listed):
    transfers.hash_file(listed, 3)
    assert transfers.hash_file(listed, 2) == hashlib.sha256(b"ab").hexdigest()
