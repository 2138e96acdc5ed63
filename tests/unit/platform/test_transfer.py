"""What gcwatch.platform.upload and download promise: every byte once, or an error that helps."""

import hashlib
import os
import random
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hostile import hostile
from support.sandbox_user import SandboxUser, mha

from gcwatch.core.case import Upload
from gcwatch.core.errors import (
    NotYet,
    SourceChanged,
    Stopped,
    TokenRefused,
    TryAgain,
    Unreachable,
    UploadsGone,
)
from gcwatch.core.reasons import Reason
from gcwatch.files.beneath import SharePath
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.download import download_file
from gcwatch.platform.file_parts import MIB, part_size, split_into_parts
from gcwatch.platform.http import CHUNK_BYTES, Http
from gcwatch.platform.transfers import Transfers
from gcwatch.platform.upload import FileUpload
from gcwatch.threads.heartbeats import Heartbeats

PART = 5 * MIB
SIZE = 4 * PART + 12345


class Sender:
    """Sends files to a sandbox in parts of 5 MiB, the smallest that S3 takes."""

    def __init__(self, sandbox, pool):
        self.sandbox = sandbox
        self.http = Http(sandbox.url, lambda: sandbox.token)
        self.platform = GrandChallenge(self.http)
        self.transfers = Transfers(self.platform, pool)
        self.moved = 0
        self._lock = threading.Lock()

    def begin(self, path, size=None):
        made = self.platform.create_upload("x.mha")
        return Upload(
            socket="ct-image",
            pk=made.pk,
            s3_upload_id=made.s3_upload_id,
            api_url=made.api_url,
            filename="x.mha",
            size=path.stat().st_size if size is None else size,
            part_size=PART,
            created=time.time(),
            files=1,
        )

    def count(self, more):
        with self._lock:
            self.moved += more

    def send(self, path, upload, *, again=False, growth=(), moved=None, pool=None):
        transfers = replace(self.transfers, pool=pool or self.transfers.pool)
        sending = FileUpload(transfers, path, upload, moved or self.count, iter(growth))
        with sending.under_way(begun_before=again) as sha256:
            pass
        return sha256

    def puts(self):
        """The PUTs that the storage stored."""
        return [c for c in self.sandbox.calls() if c["method"] == "PUT" and c["applied"]]

    def calls(self, text):
        return [call for call in self.sandbox.calls() if text in call["path"]]

    def stored(self, upload):
        """The bytes that the sandbox holds of an upload."""
        parts = self.sandbox.platform_state.uploads[upload.pk].parts
        return b"".join(parts[number].path.read_bytes() for number in sorted(parts))

    def status(self, upload):
        return self.sandbox.platform_state.uploads[upload.pk].status


@pytest.fixture
def sender(sandbox):
    with ThreadPoolExecutor(4) as pool:
        made = Sender(sandbox, pool)
        with closing(made.http):
            yield made


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.mha"
    path.write_bytes(os.urandom(SIZE))
    return path


def cut_short(sender, file):
    """Begin an upload of which the first two parts arrive; its record."""
    upload = sender.begin(file)
    sender.sandbox.fault("status", method="PUT", path="partNumber=[345]", status=400, times=None)
    with ThreadPoolExecutor(1) as one_by_one, pytest.raises(TryAgain):
        sender.send(file, upload, pool=one_by_one)
    sender.sandbox.clear_faults()
    return upload


# --- parts ---------------------------------------------------------------------------------------


@given(st.integers(1, 5 * 1024**4))
def test_parts_fit_the_storage(size):
    """At most 10,000 parts, none but the last below 5 MiB, none above 5 GiB."""
    part = part_size(size)
    assert -(-size // part) <= 10_000
    assert 5 * MIB <= part <= 5 * 1024**3


@given(st.integers(1, 10**7), st.integers(1000, 10**6))
def test_parts_cover_the_file_exactly(size, part):
    """Numbered from 1, without gap or overlap, up to the last byte."""
    made = split_into_parts(size, part)
    assert [part.number for part in made] == [*range(1, len(made) + 1)]
    assert made[0].offset == 0
    ends = [part.offset + part.length for part in made]
    assert [part.offset for part in made[1:]] == ends[:-1]
    assert ends[-1] == size
    assert all(part.length > 0 for part in made)


# --- the way up ----------------------------------------------------------------------------------


def test_file_arrives_whole(sender, file):
    """The storage holds the file's bytes, the caller its SHA-256, and the count is its size."""
    upload = sender.begin(file)
    assert sender.send(file, upload) == hashlib.sha256(file.read_bytes()).hexdigest()
    assert sender.stored(upload) == file.read_bytes()
    assert sender.status(upload) == "Completed"
    assert sender.moved == SIZE


def test_the_first_part_is_sent_before_the_last_one_is_written(sender, file):
    """The writer goes on only once the storage has the first part."""
    content = file.read_bytes()
    file.write_bytes(content[: PART + 10])

    def growth():
        yield PART - 1
        assert not sender.puts()
        while not sender.puts():
            yield PART + 10
        file.write_bytes(content)
        yield SIZE

    upload = sender.begin(file, SIZE)
    sha256 = sender.send(file, upload, growth=growth())
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert sender.stored(upload) == content


def test_a_file_that_can_no_longer_be_written_is_never_complete(sender, file):
    """Its parts may be there; the next try sends those that differ again."""

    def growth():
        yield PART
        raise SourceChanged

    upload = sender.begin(file)
    with pytest.raises(SourceChanged):
        sender.send(file, upload, growth=growth())
    assert sender.status(upload) == "Initialized"
    file.write_bytes(os.urandom(SIZE))
    sender.send(file, upload, again=True)
    assert sender.stored(upload) == file.read_bytes()


class _FirstWorkLate(ThreadPoolExecutor):
    """Threads whose first work waits for an event."""

    def __init__(self, event):
        super().__init__(4)
        self._events = iter([event])

    def submit(self, work, *arguments):
        for event in self._events:
            return super().submit(self._work_after, event, work, *arguments)
        return super().submit(work, *arguments)

    @staticmethod
    def _work_after(event, work, *arguments):
        assert event.wait(60), "it did not happen"
        return work(*arguments)


def test_parts_are_sent_before_the_hash_is_known(sender, file):
    """The file is hashed only once two parts are on their way, and all are sent."""
    two_sent = threading.Event()

    def moved(more):
        sender.count(more)
        if sender.moved >= 2 * PART:
            two_sent.set()

    with _FirstWorkLate(two_sent) as pool:
        upload = sender.begin(file)
        sha256 = sender.send(file, upload, moved=moved, pool=pool)
    assert sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert sender.stored(upload) == file.read_bytes()


def test_what_is_refused_once_the_hash_is_known_is_never_complete(sender, file):
    """Parts may be there, but they can't be used; another try sends the rest."""
    upload = sender.begin(file)
    sending = FileUpload(sender.transfers, file, upload, sender.count)

    def refuse(sha256):
        assert sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        raise TryAgain(Reason("checksum"))

    with pytest.raises(TryAgain), sending.under_way(begun_before=False) as sha256:
        refuse(sha256)
    assert sender.status(upload) == "Initialized"
    sender.send(file, upload, again=True)
    assert sender.stored(upload) == file.read_bytes()


def test_a_file_is_read_for_its_hash_with_signs_of_life(sender, file):
    """By another thread than the one that waits, which would seem to hang over a large file."""
    signs = []
    heartbeats = Heartbeats(lambda: signs.append("a sign") or 0.0)
    with heartbeats.of("case"):
        begun = len(signs)
        sender.send(file, sender.begin(file))
        assert len(signs) > begun


def test_three_calls_do_for_a_file_of_many_parts(sender, file):
    """Begin, one call for all addresses, complete: nothing is asked for each part."""
    sender.send(file, sender.begin(file))
    assert len([call for call in sender.sandbox.calls() if call["host"] == "api"]) == 3


def test_parts_go_out_in_parallel_over_few_connections(sender, file, monkeypatch):
    """Ten parts of two uploads need no more connections to the storage than there are threads."""
    opened = []
    accept = sender.sandbox._storage.process_request

    def counted(request, address):
        opened.append(address)
        if len(opened) == 2:
            sender.sandbox.clear_faults()
        accept(request, address)

    monkeypatch.setattr(sender.sandbox._storage, "process_request", counted)
    sender.sandbox.fault("delay", method="PUT", seconds=100, times=None)
    for _ in range(2):
        sender.send(file, sender.begin(file))
    assert len(sender.puts()) == 10
    assert 2 <= len(opened) <= 4


def test_no_token_goes_to_the_storage(sender, file):
    """A presigned URL carries its own signature; the token stays with the API."""
    sender.send(file, sender.begin(file))
    seen = {(call["host"], call["authorization"]) for call in sender.sandbox.calls()}
    assert seen == {("api", True), ("storage", False)}


def test_what_is_stored_is_not_sent_again(sender, file):
    """After a cut only the missing parts go out."""
    upload = cut_short(sender, file)
    assert set(sender.sandbox.platform_state.uploads[upload.pk].parts) == {1, 2}
    sender.sandbox.forget_calls()
    sender.send(file, upload, again=True)
    assert len(sender.puts()) == 3
    assert sender.stored(upload) == file.read_bytes()


def test_part_with_other_bytes_is_sent_again(sender, file):
    """A stored part counts only if its MD5 is that of the file's bytes."""
    upload = sender.begin(file)
    (url,) = sender.platform.presign(upload.pk, upload.s3_upload_id, [2]).values()
    assert sender.http.put(url, b"x" * PART).status_code == 200
    sender.send(file, upload, again=True)
    assert sender.stored(upload) == file.read_bytes()


def test_part_that_is_damaged_on_the_way_is_noticed(sender, file):
    """An ETag that is not the MD5 of what was read stops the upload before it is completed."""
    etag = {"ETag": f'"{"0" * 32}"'}
    sender.sandbox.fault("status", method="PUT", status=200, body="", headers=etag)
    upload = sender.begin(file)
    with pytest.raises(TryAgain) as error:
        sender.send(file, upload)
    assert error.value.reason.code == "checksum"
    assert sender.status(upload) == "Initialized"


def test_cut_part_is_sent_again_at_once(sender, file):
    """A PUT may be repeated: whether call or reply was lost, the part ends up stored."""
    sender.sandbox.fault("cut_before", method="PUT")
    sender.sandbox.fault("cut_after", method="PUT", nth=3)
    upload = sender.begin(file)
    sender.send(file, upload)
    assert sender.stored(upload) == file.read_bytes()


def test_expired_address_is_renewed(sender, file):
    """URLs that expire while parts are on their way are asked for anew, within the same send."""
    upload = sender.begin(file)
    expire = iter([3700])

    def moved(_more):
        for seconds in expire:
            sender.sandbox.advance(seconds)

    sender.send(file, upload, moved=moved)
    assert 403 in {call["status"] for call in sender.sandbox.calls() if call["method"] == "PUT"}
    assert sender.stored(upload) == file.read_bytes()


def test_upload_that_expired_is_gone(sender, file):
    """After a day the record is deleted: everything has to be sent again."""
    upload = sender.begin(file)
    sender.sandbox.advance(90_000)
    for again in (False, True):
        with pytest.raises(UploadsGone):
            sender.send(file, upload, again=again)


def test_upload_that_was_aborted_is_gone(sender, file):
    """An aborted record takes no parts any more."""
    upload = sender.begin(file)
    with SandboxUser(sender.sandbox) as alice:
        path = f"uploads/{upload.pk}/{upload.s3_upload_id}/abort-multipart-upload/"
        assert alice.call("PATCH", path).status_code == 200
    with pytest.raises(UploadsGone):
        sender.send(file, upload, again=True)


def test_completed_upload_is_not_sent_twice(sender, file):
    """If it had been completed before a crash, nothing is put and nothing completed again."""
    upload = sender.begin(file)
    first = sender.send(file, upload)
    sender.sandbox.forget_calls()
    assert sender.send(file, upload, again=True) == first
    assert {call["method"] for call in sender.sandbox.calls()} == {"GET"}


@pytest.mark.parametrize("how", [{"action": "cut_after"}, {"action": "status", "status": 500}])
def test_lost_answer_to_complete_is_settled_by_asking(sender, file, how):
    """Completed but not told: go on. Not completed: fail, and complete at the next try."""
    sender.sandbox.fault(method="PATCH", path="complete-", **how)
    upload = sender.begin(file)
    if how["action"] == "cut_after":
        sender.send(file, upload)
    else:
        with pytest.raises(Unreachable):
            sender.send(file, upload)
        sender.sandbox.forget_calls()
        sender.send(file, upload, again=True)
        assert sender.puts() == []
    assert sender.status(upload) == "Completed"


def test_used_up_quota_is_waiting(sender, file):
    """`Upload limit reached` on an open upload means the bytes of the account."""
    sender.sandbox.configure(byte_quota=0)
    with pytest.raises(NotYet) as error:
        sender.send(file, sender.begin(file))
    assert error.value.reason.code == "no_space_left"


def test_refusal_of_a_completed_upload_is_no_quota(sender, file):
    """The platform says the same 403 of an upload that is no longer open: send anew."""
    upload = sender.begin(file)
    sender.send(file, upload)
    with pytest.raises(UploadsGone):
        sender.send(file, upload)


# --- files that change ---------------------------------------------------------------------------


def test_file_that_shrank_is_noticed(sender, file):
    """Bytes that are not there any more are not made up."""
    upload = sender.begin(file)
    os.truncate(file, 3 * PART + 1)
    with pytest.raises(SourceChanged):
        sender.send(file, upload)
    assert sender.status(upload) == "Initialized"


def test_file_that_grew_is_noticed(sender, file):
    """What was appended after settling is not sent, and what was sent is never completed."""
    upload = sender.begin(file)
    with file.open("ab") as stream:
        stream.write(b"late")
    with pytest.raises(SourceChanged):
        sender.send(file, upload)
    assert sender.status(upload) == "Initialized"
    assert len(sender.stored(upload)) == SIZE


def test_empty_file_is_never_completed_as_something(sender, tmp_path):
    """No importer takes one; where it comes this far it is one empty part, not a broken call."""
    path = tmp_path / "empty"
    path.touch()
    upload = sender.begin(path)
    assert sender.send(path, upload) == hashlib.sha256(b"").hexdigest()
    assert sender.stored(upload) == b""


def test_stop_ends_an_upload_between_two_chunks(sender, file):
    """A stop is heard within the next read, and nothing is completed."""
    upload = sender.begin(file)
    stop = sender.transfers.stop
    with pytest.raises(Stopped):
        sender.send(file, upload, moved=lambda _: stop.set())
    assert sender.status(upload) == "Initialized"


# --- memory --------------------------------------------------------------------------------------

_SEND = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from gcwatch.core.case import Upload
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.http import Http
from gcwatch.platform.file_parts import part_size
from gcwatch.platform.transfers import Transfers
from gcwatch.platform.upload import FileUpload
url, token, name = sys.argv[1:]
path = Path(name)
platform = GrandChallenge(Http(url, lambda: token))
made, size = platform.create_upload("x.mha"), path.stat().st_size
upload = Upload(socket="s", pk=made.pk, s3_upload_id=made.s3_upload_id, filename="x",
    api_url=made.api_url, size=size, part_size=part_size(size), created=0, files=1)
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
with ThreadPoolExecutor(16) as pool:
    transfers = Transfers(platform, pool)
    with FileUpload(transfers, path, upload, lambda _: None).under_way(begun_before=False):
        pass
    platform.close()
print(peak() - before)
"""


def test_memory_does_not_depend_on_the_files_size(sandbox, tmp_path):
    """Sixteen connections carry 300 MiB with less than one part's worth of memory."""
    path = tmp_path / "big"
    with path.open("wb") as stream:
        stream.truncate(300 * MIB)
    command = [sys.executable, "-c", _SEND, sandbox.url, sandbox.token, str(path)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 24 * 1024  # KiB
    assert [row["status"] for row in sandbox.state()["uploads"]] == ["Completed"]


def test_an_upload_whose_parts_the_storage_lost_is_given_up(sender, file):
    """The platform answers 500 for ever: only a new upload helps (platform 10.1)."""
    upload = cut_short(sender, file)
    sender.sandbox.fault("status", path="list-parts", status=500, times=None)

    with pytest.raises(UploadsGone):
        sender.send(file, upload, again=True)


# --- the way down --------------------------------------------------------------------------------

LENGTH = 3 * CHUNK_BYTES + 7


@pytest.fixture
def media(sandbox):
    """The media URL of a result image, and its bytes."""
    with SandboxUser(sandbox) as alice:
        noise = random.Random(1).randbytes(LENGTH - 1)  # the sandbox compresses what it imports
        values = struct.unpack(f"<{len(noise) // 2}h", noise)
        _, job = alice.copy(mha(*values))
        image = next(each["image"] for each in job["outputs"] if each["image"])
        url = alice.tell(image)["files"][0]["file"]
        content = alice.download(url).content
    assert len(content) > 3 * CHUNK_BYTES
    sandbox.forget_calls()
    return url, content


def leave_part(sender, url, path, content):
    """Let a download be cut, and put *content* into its `.part` file."""
    sender.sandbox.fault("truncate", host="storage", keep=CHUNK_BYTES)
    with pytest.raises((TryAgain, Unreachable)):
        download_file(sender.transfers, url, path, sender.count)
    partial = path.root / f"{path.name}.part"
    partial.write_bytes(content)
    sender.sandbox.forget_calls()
    return partial


def storage_gets(sandbox):
    return [call["status"] for call in sandbox.calls() if call["host"] == "storage"]


def test_download_arrives_whole(sender, media, tmp_path):
    """One file, its bytes, and nothing beside it."""
    url, content = media
    download_file(sender.transfers, url, SharePath(tmp_path) / "deep" / "x.mha", sender.count)
    assert (tmp_path / "deep" / "x.mha").read_bytes() == content
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.mha"]
    assert sender.moved == len(content)


@pytest.mark.parametrize(
    "told",
    [
        "bytes 0-{last}/{total}",
        "bytes {first}-{last}/{more}",
        "bytes {later}-{last}/{total}",
        "bytes {first}-{last}/*",
        "lines {first}-{last}/{total}",
        "",
    ],
)
def test_only_the_range_that_was_asked_for_is_written(sender, media, tmp_path, told):
    """Another part of the file would be appended to what is here, and nobody would see it."""
    url, content = media
    first, total = CHUNK_BYTES, len(content)
    leave_part(sender, url, SharePath(tmp_path) / "x.mha", content[:first])
    places = {"first": first, "later": first + 1, "last": total - 1}
    range_told = told.format(**places, total=total, more=total + 1)

    def another_range(reply):
        return replace(reply, headers={**reply.headers, "Content-Range": range_told})

    is_storage = lambda call: call.host == "storage"  # noqa: E731 - one use
    with hostile(sender.sandbox, another_range, is_storage), pytest.raises(TryAgain) as error:
        download_file(sender.transfers, url, SharePath(tmp_path) / "x.mha", sender.count)
    assert error.value.reason.code == "download_incomplete"
    assert [*tmp_path.glob("x.mha*")] == []
    download_file(sender.transfers, url, SharePath(tmp_path) / "x.mha", sender.count)
    assert (tmp_path / "x.mha").read_bytes() == content


@pytest.mark.parametrize("has_if_range", [True, False])
@pytest.mark.parametrize("mark", ["ETag", "Last-Modified"])
def test_two_versions_of_a_file_are_never_joined(sender, media, tmp_path, mark, has_if_range):
    """A file that changed after its first half came, also if the storage knows no If-Range."""
    url, content = media
    path, is_storage = SharePath(tmp_path) / "x.mha", lambda call: call.host == "storage"

    def with_mark(value):
        def mutate(reply):
            marks = {"ETag": "", "Last-Modified": "", mark: value}
            return replace(reply, headers={**reply.headers, **marks})

        return mutate

    with hostile(sender.sandbox, with_mark('"of before"'), is_storage):
        leave_part(sender, url, path, bytes(1000))
    if has_if_range and mark == "ETag":  # the storage's own ETag is another one, so it answers 200
        download_file(sender.transfers, url, path, sender.count)
    else:
        sender.platform.http.stream = without_if_range(sender.platform.http.stream)
        with hostile(sender.sandbox, with_mark('"of now"'), is_storage):
            with pytest.raises(TryAgain) as error:
                download_file(sender.transfers, url, path, sender.count)
            assert "changed on the platform" in error.value.reason.facts["problem"]
            download_file(sender.transfers, url, path, sender.count)
    assert (tmp_path / "x.mha").read_bytes() == content
    assert [each.name for each in tmp_path.glob("x*")] == ["x.mha"]


def without_if_range(stream):
    return lambda url, offset, _etag: stream(url, offset)


def test_a_part_whose_version_is_unknown_is_fetched_again(sender, media, tmp_path):
    """A storage that marks no versions gives no way to tell whether the file is still the same."""
    url, content = media

    def unmarked(reply):
        return replace(reply, headers={**reply.headers, "ETag": 'W/"weak"', "Last-Modified": ""})

    with hostile(sender.sandbox, unmarked, lambda call: call.host == "storage"):
        leave_part(sender, url, SharePath(tmp_path) / "x.mha", bytes(1000))
        download_file(sender.transfers, url, SharePath(tmp_path) / "x.mha", sender.count)
    assert (tmp_path / "x.mha").read_bytes() == content
    assert storage_gets(sender.sandbox) == [200]


@pytest.mark.parametrize("name", ["x" * 255, "\u00e9" * 125 + ".json"])
def test_a_result_with_the_longest_name_arrives(sender, media, tmp_path, name):
    """The name of its `.part` file must not be longer than a file system takes."""
    download_file(sender.transfers, media[0], SharePath(tmp_path) / "deep" / name, sender.count)
    assert [each.name for each in (tmp_path / "deep").iterdir()] == [name]


def test_token_does_not_follow_the_redirect(sender, media, tmp_path):
    """The API gets the token, the storage behind it does not."""
    download_file(sender.transfers, media[0], SharePath(tmp_path) / "x.mha", sender.count)
    seen = {(call["host"], call["authorization"]) for call in sender.sandbox.calls()}
    assert seen == {("api", True), ("storage", False)}


def test_cut_download_goes_on_where_it_was_cut(sender, media, tmp_path):
    """The rest comes by Range; the part that is here is not fetched again."""
    url, content = media
    sender.sandbox.fault("truncate", host="storage", keep=2 * CHUNK_BYTES)
    with pytest.raises((TryAgain, Unreachable)):
        download_file(sender.transfers, url, SharePath(tmp_path) / "x.mha", sender.count)
    assert not (tmp_path / "x.mha").exists()
    partial = (tmp_path / "x.mha.part").stat().st_size
    assert 0 < partial <= 2 * CHUNK_BYTES
    sender.moved = 0
    download_file(sender.transfers, url, SharePath(tmp_path) / "x.mha", sender.count)
    assert (tmp_path / "x.mha").read_bytes() == content
    assert storage_gets(sender.sandbox) == [200, 206]
    assert sender.moved == len(content) - partial


def test_complete_leftover_is_taken_or_fetched_anew(sender, media, tmp_path):
    """A .part that is whole (or too long) gets a 416; the next try ends with the right bytes."""
    url, content = media
    leave_part(sender, url, SharePath(tmp_path) / "x.mha", content + b"more")
    with pytest.raises(TryAgain):
        download_file(sender.transfers, url, SharePath(tmp_path) / "x.mha", sender.count)
    download_file(sender.transfers, url, SharePath(tmp_path) / "x.mha", sender.count)
    assert (tmp_path / "x.mha").read_bytes() == content


def test_leftover_from_before_a_power_cut_is_not_trusted(sender, media, tmp_path):
    """What was written before this boot may have holes: it is fetched from its start."""
    url, content = media
    partial = leave_part(sender, url, SharePath(tmp_path) / "x.mha", bytes(1000))
    before = psutil.boot_time() - 60
    os.utime(partial, (before, before))
    download_file(sender.transfers, url, SharePath(tmp_path) / "x.mha", sender.count)
    assert (tmp_path / "x.mha").read_bytes() == content
    assert storage_gets(sender.sandbox) == [200]


def test_signed_address_is_asked_for_anew(sender, media, tmp_path):
    """Each try begins at the media URL, so a signature that died is never met twice."""
    url, content = media
    sender.sandbox.configure(presign_lifetime=-10)
    with pytest.raises(TryAgain):
        download_file(sender.transfers, url, SharePath(tmp_path) / "x.mha", sender.count)
    sender.sandbox.configure(presign_lifetime=3600)
    download_file(sender.transfers, url, SharePath(tmp_path) / "x.mha", sender.count)
    assert (tmp_path / "x.mha").read_bytes() == content


def test_error_page_never_becomes_a_result(sender, media, tmp_path):
    """A 403 in HTML is an error, not the file's content."""
    sender.sandbox.fault("status", path="media", status=403)
    with pytest.raises(TryAgain):
        download_file(sender.transfers, media[0], SharePath(tmp_path) / "x.mha", sender.count)
    assert not (tmp_path / "x.mha").exists()


def test_throttled_download_is_waiting(sender, media, tmp_path):
    """A 429 costs no attempt, and is waited out as it asks."""
    slow = {"Retry-After": "7"}
    sender.sandbox.fault("status", path="media", status=429, body="{}", headers=slow)
    with pytest.raises(NotYet) as error:
        download_file(sender.transfers, media[0], SharePath(tmp_path) / "x.mha", sender.count)
    assert error.value.wait == 7


def test_refused_token_is_found_out_behind_a_media_404(sender, media, tmp_path):
    """Media URLs never answer 401: before a result counts as missing the token is looked at."""
    sender.sandbox.configure(token_valid=False)
    with pytest.raises(TokenRefused):
        download_file(sender.transfers, media[0], SharePath(tmp_path) / "x.mha", sender.count)


def test_stop_ends_a_download_between_two_chunks(sender, media, tmp_path):
    """What has come stays for the next start."""
    stop = sender.transfers.stop
    with pytest.raises(Stopped):
        download_file(
            sender.transfers, media[0], SharePath(tmp_path) / "x.mha", lambda _: stop.set()
        )
    assert not (tmp_path / "x.mha").exists()
    assert (tmp_path / "x.mha.part").stat().st_size > 0


def test_body_of_another_length_is_no_result(sender, media, tmp_path):
    """A body that is shorter than its Content-Length says is never published, however often."""
    sender.sandbox.fault("truncate", host="storage", keep=10, times=None)
    for _ in range(2):
        with pytest.raises((TryAgain, Unreachable)):
            download_file(sender.transfers, media[0], SharePath(tmp_path) / "x.mha", sender.count)
    assert not (tmp_path / "x.mha").exists()
