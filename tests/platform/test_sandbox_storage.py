"""The sandbox's storage: parts, signatures, ranges, and what it says when it refuses."""

import pytest
from support.sandbox_user import SandboxUser, md5, mha

from gcwatch.sandbox import Sandbox

MIB = 1024**2


@pytest.fixture
def sandbox(tmp_path):
    with Sandbox(tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
def alice(sandbox):
    with SandboxUser(sandbox) as user:
        yield user


def listed(user, upload):
    return user.tell(f"{upload['actions']}/list-parts/")["parts"]


def test_etag_is_the_md5_of_the_part(alice):
    """The storage answers a part with its quoted MD5, and lists it with that."""
    upload = alice.begin()
    reply = alice.put(alice.url_of(upload), data=b"abc", timeout=60)
    assert (reply.status_code, reply.headers["ETag"]) == (200, md5(b"abc"))
    (part,) = listed(alice, upload)
    assert (part["ETag"], part["PartNumber"], part["Size"]) == (md5(b"abc"), 1, 3)


def test_part_put_again_replaces_the_first(alice):
    """The last bytes of a part number count."""
    upload = alice.begin()
    url = alice.url_of(upload)
    for content in (b"one", b"two"):
        alice.put(url, data=content, timeout=60)
    assert [part["ETag"] for part in listed(alice, upload)] == [md5(b"two")]


def test_big_part_goes_through_a_kept_connection(alice):
    """Several parts of some size over one connection arrive whole and in order."""
    upload = alice.begin()
    contents = [bytes([number]) * (5 * MIB + number) for number in (1, 2, 3)]
    tags = []
    for number, content in enumerate(contents, 1):
        reply = alice.put(alice.url_of(upload, number), data=content, timeout=60)
        tags.append((number, reply.headers["ETag"]))
    assert tags == [(number, md5(content)) for number, content in enumerate(contents, 1)]
    assert alice.complete(upload, *tags).json()["status"] == "Completed"


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [(1, '"' + "0" * 32 + '"')],
        [(2, "second"), (1, "first")],
        [(1, "first"), (2, "second")],
        [(1, "first"), (1, "first")],
        [(3, "first")],
    ],
    ids=["none", "wrong tag", "descending", "too small", "twice", "absent"],
)
def test_complete_that_s3_dislikes_is_500_and_harmless(alice, parts):
    """After the 500 the upload is open, and a right complete works."""
    upload = alice.begin()
    tags = {}
    for number, name in ((1, "first"), (2, "second")):
        url = alice.url_of(upload, number)
        tags[name] = alice.put(url, data=name, timeout=60).headers["ETag"]
    sent = [(number, tags.get(tag, tag)) for number, tag in parts]
    reply = alice.complete(upload, *sent)
    assert (reply.status_code, reply.headers["Content-Type"][:9]) == (500, "text/html")
    assert alice.tell(upload["api_url"])["status"] == "Initialized"
    assert alice.complete(upload, (1, tags["first"].strip('"'))).status_code == 200


def test_complete_with_the_parts_as_listed_is_500(alice):
    """LastModified and Size, which list-parts gives, are not taken back."""
    upload = alice.begin()
    alice.put(alice.url_of(upload), data=b"x", timeout=60)
    path = f"{upload['actions']}/complete-multipart-upload/"
    assert alice.call("PATCH", path, {"parts": listed(alice, upload)}).status_code == 500


def test_completed_upload_takes_no_more(alice):
    """After completion everything but a look at it is refused."""
    upload = alice.begin()
    url = alice.url_of(upload)
    tag = alice.put(url, data=b"x", timeout=60).headers["ETag"]
    alice.complete(upload, (1, tag))
    assert alice.complete(upload, (1, tag)).status_code == 500
    assert alice.call("GET", f"{upload['actions']}/list-parts/").status_code == 500
    assert alice.call("PATCH", f"{upload['actions']}/abort-multipart-upload/").status_code == 500
    reply = alice.presign(upload, 1)
    assert (reply.status_code, reply.json()) == (403, {"detail": "Upload limit reached"})
    assert "NoSuchUpload" in alice.put(url, data=b"x", timeout=60).text


def test_aborted_upload_is_over(alice):
    """Abort empties the S3 id, so that every later call with it is 404."""
    upload = alice.begin()
    url = alice.url_of(upload)
    path = f"{upload['actions']}/abort-multipart-upload/"
    aborted = alice.call("PATCH", path).json()
    assert (aborted["status"], aborted["s3_upload_id"]) == ("Aborted", "")
    assert alice.call("PATCH", path).json() == {"detail": "Not found."}
    assert alice.put(url, data=b"x", timeout=60).status_code == 404


def test_byte_quota_stops_urls_only(sandbox, alice):
    """Over the quota no URL is given; parts with a URL still go in."""
    sandbox.configure(byte_quota=5)
    upload = alice.begin()
    urls = alice.presign(upload, 1, 2).json()["presigned_urls"]
    alice.put(urls["1"], data=b"12345", timeout=60)
    assert alice.presign(upload, 3).status_code == 403
    assert alice.put(urls["2"], data=b"6", timeout=60).status_code == 200
    assert alice.tell(upload["api_url"])["status"] == "Initialized"


def test_part_numbers_are_checked(alice):
    """Part numbers go from 1 to 10000, and must be there."""
    upload = alice.begin()
    assert alice.presign(upload, 0, 10_001, 5).json() == {
        "part_numbers": {
            "0": ["Ensure this value is greater than or equal to 1."],
            "1": ["Ensure this value is less than or equal to 10000."],
        }
    }
    reply = alice.call("PATCH", f"{upload['actions']}/generate-presigned-urls/", {})
    assert reply.json() == {"non_field_errors": ["The `part_numbers` field is required"]}


def test_presigned_url_expires(sandbox, alice):
    """A URL is good for its lifetime on the sandbox's clock; a new one works."""
    upload = alice.begin()
    url = alice.url_of(upload)
    sandbox.advance(3540)
    assert alice.put(url, data=b"x", timeout=60).status_code == 200
    sandbox.advance(70)
    reply = alice.put(url, data=b"x", timeout=60)
    assert (reply.status_code, "<Code>AccessDenied</Code>" in reply.text) == (403, True)
    assert alice.put(alice.url_of(upload), data=b"x", timeout=60).status_code == 200


def test_damaged_signature_is_refused(alice):
    """A URL for one part does not open another."""
    url = alice.url_of(alice.begin()).replace("partNumber=1", "partNumber=2")
    reply = alice.put(url, data=b"x" * MIB, timeout=60)
    assert (reply.status_code, "<Code>SignatureDoesNotMatch</Code>" in reply.text) == (403, True)


def test_unsigned_request_is_refused(alice):
    """Nothing is to be had from the storage without a signature."""
    url = alice.url_of(alice.begin()).split("?")[0]
    assert "AccessDenied" in alice.put(url, data=b"x", timeout=60).text


def test_chunked_body_is_refused(alice):
    """A part must say how long it is."""
    reply = alice.put(alice.url_of(alice.begin()), data=iter([b"x"]), timeout=60)
    assert (reply.status_code, "MissingContentLength" in reply.text) == (411, True)


def test_token_does_not_belong_to_the_storage(sandbox, alice):
    """A token beside a signature is refused, and it is on record."""
    headers = {"Authorization": f"Bearer {alice.token}"}
    url = alice.url_of(alice.begin())
    reply = alice.put(url, data=b"x", headers=headers, timeout=60)
    assert reply.status_code == 400
    assert [call["authorization"] for call in sandbox.calls() if call["host"] == "storage"] == [
        True
    ]


@pytest.fixture
def media(alice):
    _, job = alice.copy(mha(*range(100)))
    image = next(each["image"] for each in job["outputs"] if each["image"])
    return alice.tell(image)["files"][0]["file"]


def test_media_redirects_to_the_storage(alice, media):
    """A media URL leads, with the token, to a URL that needs none."""
    reply = alice.download(media)
    assert (reply.status_code, reply.headers["Accept-Ranges"]) == (200, "bytes")
    assert int(reply.headers["Content-Length"]) == len(reply.content)


def test_download_is_resumed_by_range(alice, media):
    """Ranges give the rest of the same bytes; another version gives all."""
    whole = alice.download(media)
    etag = whole.headers["ETag"]
    rest = alice.download(media, headers={"Range": "bytes=10-", "If-Range": etag})
    assert (rest.status_code, rest.content) == (206, whole.content[10:])
    size = len(whole.content)
    assert rest.headers["Content-Range"] == f"bytes 10-{size - 1}/{size}"
    other = alice.download(media, headers={"Range": "bytes=10-", "If-Range": '"old"'})
    assert (other.status_code, other.content) == (200, whole.content)
    tail = alice.download(media, headers={"Range": "bytes=-3"})
    assert tail.content == whole.content[-3:]
    assert alice.download(media, headers={"Range": f"bytes={size}-"}).status_code == 416


def test_head_is_not_what_was_signed(alice, media):
    """A URL for GET refuses HEAD."""
    location = alice.call("GET", media).headers["Location"]
    assert alice.head(location, timeout=60).status_code == 403
    assert alice.get(location, timeout=60).status_code == 200


def test_media_without_rights_is_html(alice, media):
    """Images are 403 without rights, what does not exist is 404, a bad token is nobody's."""
    bad = {"Authorization": "Bearer " + "0" * 64}
    statuses = [alice.call("GET", media, headers=each).status_code for each in ({}, bad)]
    assert statuses == [403, 403]
    assert alice.call("GET", f"{media}x").status_code == 404
